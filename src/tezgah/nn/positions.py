"""Where a token stands: rotations of queries and keys, or a table that is added to the embeddings.

Rotary position embedding (RoPE): Su et al. 2021, "RoFormer", eq. 34. A pair is (i, i + head_dim/2),
the layout of Llama and Qwen3 checkpoints, so weights load without permuting rows.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tezgah.nn.config import Rope


def rotary_table(head_dim: int, context_length: int, rope: Rope) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position's rotation angles.

    Returns two float32 tensors of shape (context_length, head_dim / 2).

    >>> cos, sin = rotary_table(head_dim=4, context_length=2, rope=Rope(theta=10_000.0))
    >>> cos[0].tolist(), sin[0].tolist()          # position 0 is not rotated
    ([1.0, 1.0], [0.0, 0.0])
    """
    frequency = SCALINGS[rope.scaling](rope.theta ** (-torch.arange(0, head_dim, 2) / head_dim), rope)  # (pairs,)
    angle = torch.arange(context_length)[:, None] * frequency  # (context_length, head_dim / 2) radians
    return angle.cos() * rope.attention_factor, angle.sin() * rope.attention_factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair of `x`, (batch, heads, time, head_dim), by its position's angle; same shape.

    Only differences of positions survive in query · key, so a cache may hold rotated keys.
    """
    first, second = x.chunk(2, dim=-1)  # each (batch, heads, time, head_dim / 2)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def sinusoidal_table(context_length: int, width: int) -> Tensor:
    """A fixed vector for every position (Vaswani et al. 2017, section 3.5), (context_length, width), float32.

    Sines in the even columns, cosines in the odd ones, of wavelengths from 2π to 10,000 · 2π.

    >>> sinusoidal_table(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    frequency = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angle = torch.arange(context_length)[:, None] * frequency  # (context_length, width / 2) radians
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


def _unscaled(frequency: Tensor, rope: Rope) -> Tensor:
    return frequency


def _linear(frequency: Tensor, rope: Rope) -> Tensor:
    """Position interpolation (Chen et al. 2023): a longer text is squeezed into the positions known."""
    return frequency / rope.factor


def _llama3(frequency: Tensor, rope: Rope) -> Tensor:
    """Llama 3.1: slow rotations are interpolated, fast ones are not, and between them it is blended."""
    turns = rope.original_length * frequency / (2 * math.pi)  # in the first context length
    low, high = rope.low_frequency_factor, rope.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequency * kept + frequency / rope.factor * (1 - kept)


def _yarn(frequency: Tensor, rope: Rope) -> Tensor:
    """YaRN (Peng et al. 2023, section 3.2): the blend goes by pairs, from `beta_fast` turns down to `beta_slow`."""
    pairs = len(frequency)
    ends = [
        pairs * math.log(rope.original_length / (turns * 2 * math.pi)) / math.log(rope.theta)
        for turns in (rope.beta_fast, rope.beta_slow)
    ]
    if rope.truncate:
        ends = [math.floor(ends[0]), math.ceil(ends[1])]
    low, high = max(ends[0], 0), min(ends[1], 2 * pairs - 1)
    kept = 1 - ((torch.arange(pairs) - low) / (high - low if high != low else 0.001)).clamp(0, 1)
    return frequency * kept + frequency / rope.factor * (1 - kept)


# "dynamic" (NTK-aware) changes the base only beyond the context length, which no text here exceeds.
SCALINGS: dict[str, Callable[[Tensor, Rope], Tensor]] = {
    "none": _unscaled,
    "dynamic": _unscaled,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}
