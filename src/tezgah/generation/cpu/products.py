"""Matrix products with few rows, where reading the weights takes the time: a thread's share of the outputs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled
from tezgah.generation.cpu.vectors import LANES, dot_tile, widen

BLOCK = 16  # outputs that one thread takes at least
TILE = 6  # outputs whose weights stay in a core's nearest cache while all rows pass over them
WIDE_TILE = 8  # outputs of one row alone
FEW = 8  # rows for which weights are widened as often as they are read


@compiled
def share_of(n: int, thread: int, threads: int) -> tuple[int, int]:
    """Where a thread's share of `n` outputs begins and ends, in whole blocks of 16."""
    blocks = (n + BLOCK - 1) // BLOCK
    return min(n, blocks * thread // threads * BLOCK), min(n, blocks * (thread + 1) // threads * BLOCK)


def _tiles(rows: int, outputs: int, fetches: bool = True) -> Any:
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
        ahead: int,
        pace: int,
    ) -> None:
        """Addresses, strides and what is asked for ahead as `dot_tile` has them; `n` outputs."""
        output = 0
        while output + outputs <= n:
            at, to = weights + output * stride, out + 4 * output
            if fetches:
                dot_tile(kind, outputs, rows, at, stride, x, x_stride, length, to, out_stride, ahead, pace)
            else:
                dot_tile(kind, outputs, rows, at, stride, x, x_stride, length, to, out_stride, 0, 0)
            output += outputs
        while output < n:
            at, to = weights + output * stride, out + 4 * output
            dot_tile(kind, 1, rows, at, stride, x, x_stride, length, to, out_stride, 0, 0)
            output += 1

    return tiles


# As many sums as the 32 vector registers hold beside the weights; of one row as many as hide an addition's time.
four_rows, three_rows, two_rows, single_row = _tiles(4, TILE), _tiles(3, TILE), _tiles(2, TILE), _tiles(1, WIDE_TILE)
four_near = _tiles(4, TILE, fetches=False)  # of weights that are at hand


@compiled
def one_row(kind: NDArray[Any], weights: int, stride: int, length: int, x: int, out: int, n: int) -> None:
    """Dot products of one row with `n` rows of weights that lie `stride` bytes apart."""
    single_row(kind, weights, stride, length, x, 0, out, 0, n, WIDE_TILE * stride, LANES * kind.itemsize)


@compiled
def product(
    kind: NDArray[Any],
    weights: int,
    length: int,
    x: int,
    x_stride: int,
    rows: int,
    out: int,
    out_stride: int,
    start: int,
    stop: int,
    wide: int,
) -> None:
    """Outputs `start` to `stop` of x · weightsᵀ into those columns of `out`; x is (rows, length), out (rows, outputs).

    All but `kind` are numbers, addresses and strides in bytes: `weights` that of (outputs, length) numbers of `kind`,
    `wide` that of 6 · length float32 for the weights that many rows share.
    """
    stride = length * kind.itemsize
    if rows == 1:
        one_row(kind, weights + start * stride, stride, length, x, out + 4 * start, stop - start)
        return
    single = np.empty(0, np.float32)
    for begin in range(start, stop, TILE):
        n, at, to = min(stop, begin + TILE) - begin, weights + begin * stride, out + 4 * begin
        if kind.itemsize == 4 or rows <= FEW:
            _tile(kind, at, stride, length, x, x_stride, rows, to, out_stride, n)
        else:
            widen(kind, at, n * length, wide)
            whole = rows // 4 * 4
            for row in range(0, whole, 4):
                from_, into = x + row * x_stride, to + row * out_stride
                four_near(single, wide, 4 * length, length, from_, x_stride, into, out_stride, n, 0, 0)
            from_, into = x + whole * x_stride, to + whole * out_stride
            _tile(single, wide, 4 * length, length, from_, x_stride, rows - whole, into, out_stride, n)


@compiled
def _tile(
    kind: NDArray[Any],
    weights: int,
    stride: int,
    length: int,
    x: int,
    x_stride: int,
    rows: int,
    out: int,
    out_stride: int,
    n: int,
) -> None:
    """All rows' dot products with `n` outputs' weights.

    The next tile's are asked for while the first half of the rows is computed, a part with every four: all at once
    would be waited for.
    """
    parts = max(1, rows // 8)
    part = stride // parts
    pace = part * LANES // length
    for row in range(0, rows, 4):
        left, from_, to = rows - row, x + row * x_stride, out + row * out_stride
        ahead = n * stride + min(row // 4, parts - 1) * part
        if left >= 4:
            four_rows(kind, weights, stride, length, from_, x_stride, to, out_stride, n, ahead, pace)
        elif left == 3:
            three_rows(kind, weights, stride, length, from_, x_stride, to, out_stride, n, ahead, pace)
        elif left == 2:
            two_rows(kind, weights, stride, length, from_, x_stride, to, out_stride, n, ahead, pace)
        else:
            single_row(kind, weights, stride, length, from_, x_stride, to, out_stride, n, ahead, pace)
