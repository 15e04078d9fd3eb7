"""Small copies of Llama's code: Meta's, whose rotary pairs lie next to one another, and the book's Llama and Qwen3."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.models.other_code import Sizes, causal_attention

EPSILON, THETA = 1e-5, 10_000.0


def normalized(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight


class MetaNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return normalized(x, self.weight)


class BookScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return normalized(x, self.scale)


def frequencies(head_dim: int, time: int) -> Tensor:
    """Angles, (time, head_dim / 2)."""
    return torch.outer(torch.arange(time).float(), THETA ** (-torch.arange(0, head_dim, 2).float() / head_dim))


class MetaAttention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads, self.kv_heads = sizes.heads, sizes.kv_heads
        head_dim = sizes.width // sizes.heads
        self.wq = nn.Linear(sizes.width, sizes.heads * head_dim, bias=False)
        self.wk = nn.Linear(sizes.width, sizes.kv_heads * head_dim, bias=False)
        self.wv = nn.Linear(sizes.width, sizes.kv_heads * head_dim, bias=False)
        self.wo = nn.Linear(sizes.heads * head_dim, sizes.width, bias=False)

    def forward(self, x: Tensor, freqs_cis: Tensor) -> Tensor:
        q = self.wq(x).unflatten(-1, (self.heads, -1))
        k, v = (part(x).unflatten(-1, (self.kv_heads, -1)) for part in (self.wk, self.wv))
        turned = freqs_cis[: x.shape[1], None]  # (time, 1, head_dim / 2), complex
        q, k = (
            torch.view_as_real(torch.view_as_complex(part.unflatten(-1, (-1, 2))) * turned).flatten(-2)
            for part in (q, k)
        )
        return self.wo(causal_attention(q, k, v, self.heads, self.kv_heads))  # type: ignore[no-any-return]


class MetaMLP(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.w1 = nn.Linear(sizes.width, sizes.mlp, bias=False)
        self.w2 = nn.Linear(sizes.mlp, sizes.width, bias=False)
        self.w3 = nn.Linear(sizes.width, sizes.mlp, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))  # type: ignore[no-any-return]


class MetaBlock(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.attention, self.feed_forward = MetaAttention(sizes), MetaMLP(sizes)
        self.attention_norm, self.ffn_norm = MetaNorm(sizes.width), MetaNorm(sizes.width)

    def forward(self, x: Tensor, freqs_cis: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), freqs_cis)
        return x + self.feed_forward(self.ffn_norm(x))  # type: ignore[no-any-return]


class MetaLlama(nn.Module):
    """The Transformer of Meta's Llama and of llama2.c."""

    freqs_cis: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(sizes.vocab, sizes.width)
        self.layers = nn.ModuleList([MetaBlock(sizes) for _ in range(sizes.layers)])
        self.norm = MetaNorm(sizes.width)
        self.output = nn.Linear(sizes.width, sizes.vocab, bias=False)
        if sizes.tied:
            self.tok_embeddings.weight = self.output.weight
        angles = frequencies(sizes.width // sizes.heads, sizes.context)
        self.register_buffer("freqs_cis", torch.polar(torch.ones_like(angles), angles))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok_embeddings(ids)
        for layer in self.layers:
            x = layer(x, self.freqs_cis)
        return self.output(self.norm(x))  # type: ignore[no-any-return]


class BookRotaryAttention(nn.Module):
    def __init__(self, sizes: Sizes, has_norms: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads = sizes.heads, sizes.kv_heads
        head_dim = sizes.width // sizes.heads
        self.W_query = nn.Linear(sizes.width, sizes.heads * head_dim, bias=False)
        self.W_key = nn.Linear(sizes.width, sizes.kv_heads * head_dim, bias=False)
        self.W_value = nn.Linear(sizes.width, sizes.kv_heads * head_dim, bias=False)
        self.out_proj = nn.Linear(sizes.heads * head_dim, sizes.width, bias=False)
        if has_norms:
            self.q_norm, self.k_norm = BookScale(head_dim), BookScale(head_dim)
        self.has_norms = has_norms

    def forward(self, x: Tensor) -> Tensor:
        q = self.W_query(x).unflatten(-1, (self.heads, -1))
        k, v = (part(x).unflatten(-1, (self.kv_heads, -1)) for part in (self.W_key, self.W_value))
        if self.has_norms:
            q, k = self.q_norm(q), self.k_norm(k)
        angles = frequencies(q.shape[-1], x.shape[1])
        cos, sin = (torch.cat([turn(angles)] * 2, -1)[:, None] for turn in (torch.cos, torch.sin))
        q, k = (part * cos + torch.cat((-part.chunk(2, -1)[1], part.chunk(2, -1)[0]), -1) * sin for part in (q, k))
        return self.out_proj(causal_attention(q, k, v, self.heads, self.kv_heads))  # type: ignore[no-any-return]


class BookSwiGLU(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.width, sizes.mlp, bias=False)
        self.fc2 = nn.Linear(sizes.width, sizes.mlp, bias=False)
        self.fc3 = nn.Linear(sizes.mlp, sizes.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.silu(self.fc1(x)) * self.fc2(x))  # type: ignore[no-any-return]


class BookRotaryBlock(nn.Module):
    def __init__(self, sizes: Sizes, is_qwen3: bool) -> None:
        super().__init__()
        norm = BookScale if is_qwen3 else MetaNorm
        self.att, self.ff = BookRotaryAttention(sizes, is_qwen3), BookSwiGLU(sizes)
        self.norm1, self.norm2 = norm(sizes.width), norm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.att(self.norm1(x))
        return x + self.ff(self.norm2(x))  # type: ignore[no-any-return]


class BookRotary(nn.Module):
    """The Llama and the Qwen3 that stand beside Build a Large Language Model (From Scratch)."""

    def __init__(self, sizes: Sizes, is_qwen3: bool) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(sizes.vocab, sizes.width)
        self.trf_blocks = nn.ModuleList([BookRotaryBlock(sizes, is_qwen3) for _ in range(sizes.layers)])
        self.final_norm = BookScale(sizes.width) if is_qwen3 else MetaNorm(sizes.width)
        self.out_head = nn.Linear(sizes.width, sizes.vocab, bias=False)
        if sizes.tied:
            self.out_head.weight = self.tok_emb.weight
        self.register_buffer("cos", frequencies(sizes.width // sizes.heads, sizes.context).cos())

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok_emb(ids)
        for block in self.trf_blocks:
            x = block(x)
        return self.out_head(self.final_norm(x))  # type: ignore[no-any-return]
