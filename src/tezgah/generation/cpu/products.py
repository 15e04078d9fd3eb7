"""Matrix products with few rows, where reading the weights takes the time: a thread's share of the outputs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled
from tezgah.generation.cpu.vectors import dot_tile

BLOCK = 16  # outputs whose weights stay in a core's cache while all rows pass over them


@compiled
def share_of(n: int, thread: int, threads: int) -> tuple[int, int]:
    """Where a thread's share of `n` outputs begins and ends, in whole blocks of 16."""
    blocks = (n + BLOCK - 1) // BLOCK
    return min(n, blocks * thread // threads * BLOCK), min(n, blocks * (thread + 1) // threads * BLOCK)


@compiled
def product(
    kind: NDArray[Any],
    weights: int,
    scales: NDArray[np.float32],
    length: int,
    x: NDArray[np.float32],
    rows: int,
    out: NDArray[np.float32],
    first: int,
    start: int,
    stop: int,
) -> None:
    """Outputs `start` to `stop` of x · weightsᵀ into columns `first` + those of `out`; x is (rows, length).

    `weights` is the address of (outputs, length) numbers of `kind`; `scales`, (outputs,), multiply int8's.
    """
    stride, x_stride, out_stride = length * kind.itemsize, x.strides[0], out.strides[0]
    here = out.ctypes.data + 4 * first
    for begin in range(start, stop, BLOCK):
        end = min(stop, begin + BLOCK)
        row = 0
        while row < rows:
            left, output = rows - row, begin
            from_, to = x.ctypes.data + row * x_stride, here + row * out_stride
            if left >= 8:
                row += 8
                while output + 2 <= end:
                    at = weights + output * stride
                    dot_tile(kind, 2, 8, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 2
                while output < end:
                    at = weights + output * stride
                    dot_tile(kind, 1, 8, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 1
            elif left >= 4:
                row += 4
                while output + 4 <= end:
                    at = weights + output * stride
                    dot_tile(kind, 4, 4, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 4
                while output < end:
                    at = weights + output * stride
                    dot_tile(kind, 1, 4, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 1
            elif left >= 2:
                row += 2
                while output + 8 <= end:
                    at = weights + output * stride
                    dot_tile(kind, 8, 2, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 8
                while output < end:
                    at = weights + output * stride
                    dot_tile(kind, 1, 2, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 1
            else:
                row += 1
                while output + 8 <= end:
                    at = weights + output * stride
                    dot_tile(kind, 8, 1, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 8
                while output < end:
                    at = weights + output * stride
                    dot_tile(kind, 1, 1, at, stride, from_, x_stride, length, to + 4 * output, out_stride)
                    output += 1
    if kind.itemsize == 1:
        for row in range(rows):
            for output in range(start, stop):
                out[row, first + output] *= scales[output]
