"""Small copies of what people train GPTs with: their modules, their names, their forward passes, written out."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Sizes:
    """Of every model here."""

    vocab: int = 53
    context: int = 16
    layers: int = 2
    width: int = 32
    heads: int = 4
    kv_heads: int = 4
    mlp: int = 128
    bias: bool = True  # of every linear (nanoGPT), or of queries, keys and values (Raschka)
    tied: bool = True
    exact: bool = True  # GELU
    has_masks: bool = False  # among the buffers


def randomized(model: nn.Module, seed: int = 1) -> nn.Module:
    """The model with every parameter random, norms and biases too."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            center = 1.0 if parameter.ndim == 1 and "bias" not in name and "shift" not in name else 0.0
            parameter.normal_(center, 0.3 if parameter.ndim == 1 else 0.15)
    return model.eval()


def causal_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, kv_heads: int) -> Tensor:
    """(batch, time, heads, head_dim) each; (batch, time, width) out. One query after the other: no mask is needed."""
    rows = []
    for time in range(q.shape[1]):
        outs = []
        for head in range(heads):
            of = head * kv_heads // heads
            scores = torch.einsum("bd,bsd->bs", q[:, time, head], k[:, : time + 1, of]) / math.sqrt(q.shape[-1])
            outs.append(torch.einsum("bs,bsd->bd", scores.softmax(-1), v[:, : time + 1, of]))
        rows.append(torch.cat(outs, -1))
    return torch.stack(rows, 1)


class NanoNorm(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class NanoAttention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.c_attn = nn.Linear(sizes.width, 3 * sizes.width, bias=sizes.bias)
        self.c_proj = nn.Linear(sizes.width, sizes.width, bias=sizes.bias)
        if sizes.has_masks:
            self.register_buffer("bias", torch.tril(torch.ones(1, 1, sizes.context, sizes.context)))
            self.register_buffer("masked_bias", torch.tensor(-1e4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in self.c_attn(x).chunk(3, -1))
        return self.c_proj(causal_attention(q, k, v, self.heads, self.heads))  # type: ignore[no-any-return]


class NanoBlock(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.exact = sizes.exact
        self.ln_1, self.ln_2 = NanoNorm(sizes.width, sizes.bias), NanoNorm(sizes.width, sizes.bias)
        self.attn = NanoAttention(sizes)
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(sizes.width, sizes.mlp, bias=sizes.bias),
                "c_proj": nn.Linear(sizes.mlp, sizes.width, bias=sizes.bias),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        hidden = F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="none" if self.exact else "tanh")
        return x + self.mlp["c_proj"](hidden)  # type: ignore[no-any-return]


class NanoStack(nn.ModuleDict):
    """What nanoGPT calls the transformer."""

    wte: nn.Embedding
    wpe: nn.Embedding
    h: nn.ModuleList
    ln_f: NanoNorm


class NanoGPT(nn.Module):
    """nanoGPT's GPT; untied and with the tanh approximation it is minGPT's."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        parts = {
            "wte": nn.Embedding(sizes.vocab, sizes.width),
            "wpe": nn.Embedding(sizes.context, sizes.width),
            "h": nn.ModuleList([NanoBlock(sizes) for _ in range(sizes.layers)]),
            "ln_f": NanoNorm(sizes.width, sizes.bias),
        }
        self.transformer = NanoStack(parts)
        self.lm_head = nn.Linear(sizes.width, sizes.vocab, bias=False)
        if sizes.tied:
            self.transformer.wte.weight = self.lm_head.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.transformer.wte(ids) + self.transformer.wpe.weight[: ids.shape[1]]
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))  # type: ignore[no-any-return]


class BookNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return self.scale * (x - mean) / torch.sqrt(variance + 1e-5) + self.shift


class BookAttention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.W_query = nn.Linear(sizes.width, sizes.width, bias=sizes.bias)
        self.W_key = nn.Linear(sizes.width, sizes.width, bias=sizes.bias)
        self.W_value = nn.Linear(sizes.width, sizes.width, bias=sizes.bias)
        self.out_proj = nn.Linear(sizes.width, sizes.width)
        self.register_buffer("mask", torch.triu(torch.ones(sizes.context, sizes.context), diagonal=1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.W_query, self.W_key, self.W_value))
        return self.out_proj(causal_attention(q, k, v, self.heads, self.heads))  # type: ignore[no-any-return]


class BookGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


class BookMLP(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(sizes.width, sizes.mlp), BookGELU(), nn.Linear(sizes.mlp, sizes.width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class BookBlock(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.att, self.ff = BookAttention(sizes), BookMLP(sizes)
        self.norm1, self.norm2 = BookNorm(sizes.width), BookNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.att(self.norm1(x))
        return x + self.ff(self.norm2(x))  # type: ignore[no-any-return]


class BookGPT(nn.Module):
    """The GPTModel of Build a Large Language Model (From Scratch)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(sizes.vocab, sizes.width), nn.Embedding(sizes.context, sizes.width)
        self.trf_blocks = nn.Sequential(*(BookBlock(sizes) for _ in range(sizes.layers)))
        self.final_norm = BookNorm(sizes.width)
        self.out_head = nn.Linear(sizes.width, sizes.vocab, bias=False)
        if sizes.tied:
            self.out_head.weight = self.tok_emb.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok_emb(ids) + self.pos_emb(torch.arange(ids.shape[1]))
        return self.out_head(self.final_norm(self.trf_blocks(x)))  # type: ignore[no-any-return]
