"""What happens to the numbers of a row one by one, between the products of a step.

The loops are written so that the compiler makes them for 16 numbers at once: from 0 on, over arrays of one axis, and
with no float64 between.
"""

import math
from typing import Any

import numpy as np

from tezgah.compiled import compiled, inlined
from tezgah.generation.cpu.arrays import GELU, GELU_TANH, SILU, Floats, Shape
from tezgah.generation.cpu.memory import address_of, bits_of, float_of
from tezgah.generation.cpu.vectors import LANES, dot, highest, total

f32: Any = np.float32  # numba computes in float64 wherever a plain number stands


@inlined
def exponential(x: float) -> float:
    """e to the power of a float32, which is held between −87 and 88, to about 1e-7 of itself.

    Cephes' expf: the power of two nearest to it, and a polynomial for the rest. The C library's would be called for one
    number after the other.
    """
    x = f32(-87.0) if x < f32(-87.0) else x
    x = f32(88.0) if x > f32(88.0) else x
    shifted = x * f32(1.44269504) + f32(12582912.0)  # so large that the last bits are a whole number
    twos = shifted - f32(12582912.0)
    x = x - twos * f32(0.693359375) + twos * f32(2.12194440e-4)  # ln 2 in two parts
    y = f32(1.9875691500e-4) * x + f32(1.3981999507e-3)
    y = y * x + f32(8.3334519073e-3)
    y = y * x + f32(4.1665795894e-2)
    y = y * x + f32(1.6666665459e-1)
    y = y * x + f32(5.0000001201e-1)
    y = y * x * x + x + f32(1.0)
    return y * float_of((bits_of(shifted) + np.uint32(127)) << np.uint32(23))  # type: ignore[no-any-return]


@compiled
def softmax(scores: Floats, n: int) -> None:
    """The first `n` scores as shares of 1; behind them up to 15 numbers more are written, so that whole vectors are."""
    at, end = address_of(scores), (n + LANES - 1) // LANES * LANES
    for i in range(n, end):
        scores[i] = -np.inf
    top = highest(at, end)
    for i in range(n):
        scores[i] = exponential(scores[i] - top)
    for i in range(n, end):
        scores[i] = f32(0.0)
    share = f32(1.0 / total(at, end))
    for i in range(n):
        scores[i] *= share


@compiled
def normalize(x: Floats, weight: Floats, bias: Floats, shape: Shape, out: Floats) -> None:
    """By root mean square, or by mean and deviation."""
    width = len(x)
    mean = f32(0.0) if shape.is_rms else total(address_of(x), width) / f32(width)
    for i in range(width):
        out[i] = x[i] - mean
    scale = f32(1.0 / math.sqrt(dot(address_of(out), address_of(out), width) / width + shape.epsilon))
    for i in range(width):
        out[i] = out[i] * scale * weight[i] + bias[i]


@compiled
def activate(z: Floats, others: Floats, shape: Shape) -> None:
    """The activation of `z`, times `others` where the MLP is gated, into `others`, which else is `z` itself."""
    if shape.activation == SILU:
        for i in range(len(z)):
            y = np.divide(z[i], f32(1.0) + exponential(-z[i]))  # `/` would look for zeros
            others[i] = others[i] * y if shape.is_gated else y
    elif shape.activation == GELU_TANH:  # the tanh approximation: z · sigmoid(2 √(2/π) (z + 0.044715 z³))
        for i in range(len(z)):
            u = z[i] * (f32(1.5957691216057308) + f32(0.07135481282553183) * z[i] * z[i])
            y = np.divide(z[i], f32(1.0) + exponential(-u))
            others[i] = others[i] * y if shape.is_gated else y
    elif shape.activation == GELU:
        for i in range(len(z)):
            y = f32(0.5) * z[i] * (f32(1.0) + math.erf(z[i] * f32(0.7071067811865476)))
            others[i] = others[i] * y if shape.is_gated else y
    else:
        for i in range(len(z)):
            y = max(z[i], f32(0.0)) * max(z[i], f32(0.0))
            others[i] = others[i] * y if shape.is_gated else y


@compiled
def add(out: Floats, added: Floats) -> None:
    """Onto `out`."""
    for i in range(len(out)):
        out[i] += added[i]


@compiled
def multiply(out: Floats, factors: Floats) -> None:
    """Into `out`."""
    for i in range(len(out)):
        out[i] *= factors[i]
