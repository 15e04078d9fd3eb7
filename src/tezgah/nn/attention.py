"""Multi-head causal self-attention (Vaswani et al. 2017, section 3.2), grouped (Ainslie et al. 2023).

Two ways to the same numbers. The explicit product writes the (time, time) weights; inside a
compiled CPU region it took 24 ms where torch's fused kernel took 88 (16 sequences of 256, 6 heads
of 64, bf16, forward and backward, 2 cores). Everywhere else the fused kernel is the faster one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.nn.cache import KVCache
from tezgah.nn.config import StackConfig
from tezgah.nn.linear import joined_linear, linear
from tezgah.nn.norms import RMSNorm
from tezgah.nn.positions import rotate
from tezgah.nn.precision import widened

# Longest time for which the explicit product's (time, time) weights are held.
LONGEST_EXPLICIT = 1_024


class Attention(nn.Module):
    """Causal self-attention of one block; `layer` is its place in the stack (and in a cache)."""

    def __init__(self, config: StackConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim, self.dropout = layer, config.head_dim, config.dropout
        queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.query = nn.Linear(config.width, queries, bias=config.qkv_bias)
        self.key = nn.Linear(config.width, keys, bias=config.qkv_bias)
        self.value = nn.Linear(config.width, keys, bias=config.qkv_bias)
        self.output = nn.Linear(queries, config.width, bias=config.linear_bias)
        self.query_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None
        self.key_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None

    def forward(
        self,
        x: Tensor,
        future: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Mix `x`, (batch, time, width), over time; same shape.

        `future`, (time, time), is −∞ after each query's own position and 0 up to it. `rotary` holds
        the cosines and sines of these positions, (time, head_dim / 2). `mask`, (batch or 1, 1, time,
        keys), is true where a query may look; None is causal.
        """
        q, k, v = joined_linear(x, self.query, self.key, self.value)
        q, k, v = (self._heads(part) for part in (q, k, v))  # (batch, heads, time, head_dim)
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        q, k = q.to(v.dtype), k.to(v.dtype)
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        mixed = attend(q, k, v, future, mask, self.dropout if self.training else 0.0)
        return linear(mixed.transpose(1, 2).flatten(2), self.output)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (batch, heads, time, head_dim)


def attend(q: Tensor, k: Tensor, v: Tensor, future: Tensor, mask: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Softmax attention of `q`, (batch, heads, time, head_dim), over `k` and `v`, (batch, kv_heads, keys, head_dim).

    Without a mask it is causal and time equals keys. Returns the shape of `q`.
    """
    explicit = q.device.type == "cpu" and torch.compiler.is_compiling() and k.shape[2] <= LONGEST_EXPLICIT
    if explicit and mask is None:
        return explicit_causal(q, k, v, future, dropout)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, enable_gqa=q.shape[1] != k.shape[1]
    )


def explicit_causal(q: Tensor, k: Tensor, v: Tensor, future: Tensor, dropout: float) -> Tensor:
    """Causal attention as four steps that a compiler fuses; shapes as in `attend`.

    The mask is added, and given from outside: compiled, softmax and mask took 2.7 ms so, against
    6.6 filled in and 8.9 computed inside (96 × 256 × 256, 2 cores).
    """
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = widened(q @ k.mT) * q.shape[3] ** -0.5  # (batch, heads, time, time)
    weights = (scores + future).softmax(-1)
    return F.dropout(weights, dropout).to(v.dtype) @ v
