"""Multi-head self-attention (Vaswani et al. 2017, section 3.2), grouped (Ainslie et al. 2023).

Three ways to the same numbers. torch's fused kernel is the usual one. Compiled CPU code takes a block of
queries at a time: forward and backward of 12 heads of 64 took 15 ms so where the fused kernel took 38
(two sequences of 512, bf16, 2 cores), 30 and 47 at 1,024. The explicit product writes the (time, time)
weights, for those who want to see them, and for dropout in short compiled sequences.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.nn.blocked_attention import LONGEST_BLOCKED, BlockedAttention, hidden_from
from tezgah.nn.cache import KVCache
from tezgah.nn.config import StackConfig
from tezgah.nn.linear import joined_linear, linear
from tezgah.nn.norms import RMSNorm
from tezgah.nn.positions import rotate
from tezgah.nn.precision import widened
from tezgah.nn.trace import Trace

# Longest time for which compiled CPU code with dropout holds (time, time) weights. Beyond it they cost more than the
# fused kernel: GPT-2 small's step at 1,024 took 3.5 GB and 0.97 × the speed of `transformers`, fused 2.9 GB and 1.15 ×.
LONGEST_EXPLICIT = 256


class Mask(NamedTuple):
    """Who may not look where."""

    bias: Tensor  # (batch or 1, 1, time, keys): −∞ where a query may not look, 0 elsewhere
    alive: Tensor  # (batch or 1, 1, time, 1): 0 for a query that may look nowhere, whose output is 0, else 1


class View(NamedTuple):
    """What all blocks share in one pass. None stands for what does not apply."""

    later: Tensor | None = None  # what hides later keys, as `later_keys` makes it; of a causal stack
    mask: Mask | None = None  # in place of `later`
    rotary: tuple[Tensor, Tensor] | None = None  # cosines and sines, each (time, pairs) or (batch, 1, time, pairs)
    cache: KVCache | None = None
    head_mask: Tensor | None = None  # (layers, heads): what each head's output is multiplied by
    trace: Trace | None = None


class Attention(nn.Module):
    """Self-attention of one block; `layer` is its place in the stack (and in a cache)."""

    def __init__(self, config: StackConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim, self.dropout = layer, config.head_dim, config.attention_dropout
        queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = nn.Linear(config.width, queries, bias=config.qkv_bias)
        self.key = nn.Linear(config.width, keys, bias=config.qkv_bias)
        self.value = nn.Linear(config.width, keys, bias=config.qkv_bias)
        self.output = nn.Linear(queries, config.width, bias=config.output_bias)
        self.query_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None
        self.key_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None

    def forward(self, x: Tensor, view: View) -> Tensor:
        """Mix `x`, (batch, time, width), over time; same shape."""
        q, k, v = joined_linear(x, self.query, self.key, self.value)
        q, k, v = (self._heads(part) for part in (q, k, v))  # (batch, heads, time, head_dim)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if view.rotary is not None:
            q, k = rotate(q, *view.rotary), rotate(k, *view.rotary)
        q, k = q.to(v.dtype), k.to(v.dtype)
        if view.cache is not None:
            k, v = view.cache.append(self.layer, k, v)
        head_mask = None if view.head_mask is None else view.head_mask[self.layer, :, None, None]  # (heads, 1, 1)
        weights = None if view.trace is None else view.trace.attentions
        dropout = self.dropout if self.training else 0.0
        mixed = attend(q, k, v, view.later, view.mask, dropout, head_mask, weights)
        return linear(mixed.transpose(1, 2).flatten(2), self.output)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (batch, heads, time, head_dim)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    later: Tensor | None = None,
    mask: Mask | None = None,
    dropout: float = 0.0,
    head_mask: Tensor | None = None,
    kept: list[Tensor] | None = None,
) -> Tensor:
    """Softmax attention of `q`, (batch, heads, time, head_dim), over `k` and `v`, (batch, kv_heads, keys, head_dim).

    With `later`, of `later_keys`, and no mask it is causal, and time equals keys. The attention weights go into `kept`.
    `head_mask` has a factor for every head. Returns the shape of `q`.
    """
    later, bias = (later, None) if mask is None else (None, mask.bias)
    compiled = q.device.type == "cpu" and torch.compiler.is_compiling()
    if kept is not None or (compiled and dropout and k.shape[2] <= LONGEST_EXPLICIT):
        bias = bias if later is None else hidden_from(later, 0, q.shape[2])
        mixed = explicit_attention(q, k, v, bias, dropout, head_mask, kept)
    elif compiled and not dropout and k.shape[2] <= LONGEST_BLOCKED:
        k, v = _for_every_head(q, k, v)
        mixed = _scaled(BlockedAttention.apply(q, k, v, later, bias), head_mask)  # type: ignore[no-untyped-call]
    else:
        fused = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if bias is None else bias.to(q.dtype),
            dropout_p=dropout,
            is_causal=later is not None,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        mixed = _scaled(fused, head_mask)
    return mixed if mask is None else mixed * mask.alive.to(mixed.dtype)


def _scaled(mixed: Tensor, head_mask: Tensor | None) -> Tensor:
    return mixed if head_mask is None else mixed * head_mask.to(mixed.dtype)


def _for_every_head(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values repeated for the heads of a group."""
    groups = q.shape[1] // k.shape[1]
    return (k, v) if groups == 1 else (k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1))


def explicit_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    dropout: float,
    head_mask: Tensor | None = None,
    kept: list[Tensor] | None = None,
) -> Tensor:
    """The same as four steps that a compiler fuses; shapes as in `attend`.

    The bias is added, and given from outside: compiled, softmax and mask took 2.7 ms so, against
    6.6 filled in and 8.9 computed inside (96 × 256 × 256, 2 cores).
    """
    k, v = _for_every_head(q, k, v)
    scores = widened(q @ k.mT) * q.shape[3] ** -0.5  # (batch, heads, time, keys)
    weights = (scores if bias is None else scores + bias).softmax(-1)
    weights = weights if head_mask is None else weights * head_mask
    if kept is not None:
        kept.append(weights.to(v.dtype))
    return F.dropout(weights, dropout).to(v.dtype) @ v
