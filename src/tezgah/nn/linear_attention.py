"""Attention whose cost grows with the text, not with its square (Katharopoulos et al. 2020, "Transformers are RNNs").

Where softmax compares every query with every key, a positive feature map φ lets the keys be summed
first: φ(q) · (Σ φ(k) vᵀ) is Σ (φ(q) · φ(k)) v, and the sum is a head_dim × head_dim matrix however
long the text. Code that writes the (time, time) products and then divides computes the same at the old cost.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 128  # positions whose products with one another are written out, in the causal form


def linear_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Attention of `q` over `k` and `v`, each (batch, heads, time, head_dim), with φ(x) = elu(x) + 1; same shape.

    Weights are φ(q) · φ(k), divided by their sum; causal, over what is not later. In float32 at least.
    """
    q, k, v = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (q, k, v))
    q, k = F.elu(q) + 1, F.elu(k) + 1
    v = torch.cat((v, torch.ones_like(v[..., :1])), -1)  # the last column becomes the sum of the weights
    mixed = _causal(q, k, v) if causal else q @ (k.mT @ v)  # (batch, heads, time, head_dim + 1)
    return mixed[..., :-1] / mixed[..., -1:]


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A chunk at a time: what came before it through its sum, the chunk itself through its products."""
    before = torch.zeros_like(k[..., :1, :].mT @ v[..., :1, :])  # (batch, heads, head_dim, head_dim + 1)
    mixed = []
    for queries, keys, values in zip(*(torch.split(part, CHUNK, 2) for part in (q, k, v)), strict=True):
        mixed.append(queries @ before + (queries @ keys.mT).tril() @ values)
        before = before + keys.mT @ values
    return torch.cat(mixed, 2)
