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


def _tiles(rows: int, outputs: int) -> Any:
    """Dot products of so many rows with weights in tiles of so many outputs; what is left of them one by one."""

    @compiled
    def tiles(
        kind: NDArray[Any],
        weights: int,
        stride: int,
        length: int,
        x: int,
        x_stride: int,
        out: int,
        out_stride: int,
        n: int,
    ) -> None:
        """Addresses and strides as `dot_tile` has them; `n` outputs."""
        output = 0
        while output + outputs <= n:
            at, to = weights + output * stride, out + 4 * output
            dot_tile(kind, outputs, rows, at, stride, x, x_stride, length, to, out_stride)
            output += outputs
        while output < n:
            at, to = weights + output * stride, out + 4 * output
            dot_tile(kind, 1, rows, at, stride, x, x_stride, length, to, out_stride)
            output += 1

    return tiles


# As many outputs as sums, weights and inputs of so many rows leave room for in the vector registers.
eight_rows, four_rows, two_rows, one_row = _tiles(8, 2), _tiles(4, 4), _tiles(2, 8), _tiles(1, 8)


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
    for begin in range(start, stop, BLOCK):
        n, at = min(stop, begin + BLOCK) - begin, weights + begin * stride
        row = 0
        while row < rows:
            left = rows - row
            from_ = x.ctypes.data + row * x_stride
            to = out.ctypes.data + 4 * (first + begin) + row * out_stride
            if left >= 8:
                eight_rows(kind, at, stride, length, from_, x_stride, to, out_stride, n)
                row += 8
            elif left >= 4:
                four_rows(kind, at, stride, length, from_, x_stride, to, out_stride, n)
                row += 4
            elif left >= 2:
                two_rows(kind, at, stride, length, from_, x_stride, to, out_stride, n)
                row += 2
            else:
                one_row(kind, at, stride, length, from_, x_stride, to, out_stride, n)
                row += 1
    if kind.itemsize == 1:
        for row in range(rows):
            for output in range(start, stop):
                out[row, first + output] *= scales[output]
