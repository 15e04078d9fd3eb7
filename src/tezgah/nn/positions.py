"""Rotary position embedding (RoPE): positions as rotations of query and key pairs.

Su et al. 2021, "RoFormer", eq. 34. A pair is (i, i + head_dim/2), the layout of Llama and
Qwen3 checkpoints, so weights load without permuting rows.
"""

import torch
from torch import Tensor


def rotary_table(head_dim: int, context_length: int, theta: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position's rotation angles.

    Returns two float32 tensors of shape (context_length, head_dim / 2).

    >>> cos, sin = rotary_table(head_dim=4, context_length=2)
    >>> cos[0].tolist(), sin[0].tolist()          # position 0 is not rotated
    ([1.0, 1.0], [0.0, 0.0])
    """
    frequency = theta ** (-torch.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,) radians a step
    angle = torch.arange(context_length)[:, None] * frequency  # (context_length, head_dim / 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair of `x`, (batch, heads, time, head_dim), by its position's angle; same shape.

    Only differences of positions survive in query · key, so a cache may hold rotated keys.
    """
    first, second = x.chunk(2, dim=-1)  # each (batch, heads, time, head_dim / 2)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
