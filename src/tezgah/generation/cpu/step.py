"""One token of every row through a whole transformer, in compiled code that several threads run together.

The same arithmetic as `nn/`, in float32 between the products. A thread computes its share of a product's outputs,
then waits for the others: five times a block. Everything small (norms, sums) every thread computes for itself, which
takes less time than waiting would.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled
from tezgah.generation.cpu.arrays import (
    DOWN,
    GATE,
    KEY,
    MATRICES,
    OUTPUT,
    QUERY,
    UP,
    VALUE,
    Floats,
    Shape,
    Weights,
    Work,
)
from tezgah.generation.cpu.attention import attend
from tezgah.generation.cpu.memory import address_of, arrive, arrived, floats_at, give_way
from tezgah.generation.cpu.pointwise import activate, add, multiply, normalize
from tezgah.generation.cpu.products import product, share_of

PATIENCE = 4_000  # looks at the counter before another thread may have the core


@compiled
def token_step(
    kind: NDArray[Any],
    thread: int,
    threads: int,
    shape: Shape,
    weights: Weights,
    work: Work,
    keys: NDArray[Any],
    values: NDArray[Any],
    lengths: NDArray[np.int64],
) -> None:
    """A thread's part of the step: from embeddings in `work.x` of every thread to `work.logits`.

    `kind` is an empty array of the matrices' type; `keys` and `values`, (layers, rows, kv_heads, capacity, head_dim),
    get the token's, at `lengths` of each row.
    """
    rows, width = len(lengths), shape.width
    queries, kept = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    x, normed, wide = work.x[thread], work.normed[thread], work.wide[thread]
    outputs, inner = share_of(width, thread, threads), share_of(shape.mlp_width, thread, threads)
    place, phase = 0, 0
    for layer in range(shape.n_layers):
        matrix = MATRICES * layer
        _normalize(x, rows, weights.norms, 2 * layer, shape, normed)
        to = 0
        for part in (QUERY, KEY, VALUE):
            size = queries if part == QUERY else kept
            share = share_of(size, thread, threads)
            _multiply(kind, weights, matrix + part, place + to, width, normed, rows, work.heads, to, share, wide)
            to += size
        place += to
        phase = _meet(work.counter, threads, phase)
        attend(thread, threads, layer, shape, weights, work, keys, values, lengths)
        phase = _meet(work.counter, threads, phase)
        _multiply(kind, weights, matrix + OUTPUT, place, queries, work.mixed, rows, work.out, 0, outputs, wide)
        place += width
        phase = _meet(work.counter, threads, phase)
        _add(x, rows, work.out)
        _normalize(x, rows, weights.norms, 2 * layer + 1, shape, normed)
        for part in range(UP, GATE + shape.is_gated):
            to = shape.mlp_width * (part - UP)
            _multiply(kind, weights, matrix + part, place, width, normed, rows, work.inside, to, inner, wide)
            place += shape.mlp_width
        _activate(work.inside, rows, inner, shape)
        phase = _meet(work.counter, threads, phase)
        _multiply(kind, weights, matrix + DOWN, place, shape.mlp_width, work.inside, rows, work.out, 0, outputs, wide)
        place += width
        phase = _meet(work.counter, threads, phase)
        _add(x, rows, work.out)
    _normalize(x, rows, weights.norms, 2 * shape.n_layers, shape, normed)
    share = share_of(shape.vocab_size, thread, threads)
    matrix = MATRICES * shape.n_layers
    _multiply(kind, weights, matrix, place, width, normed, rows, work.logits, 0, share, wide)


@compiled
def _multiply(
    kind: NDArray[Any],
    weights: Weights,
    matrix: int,
    place: int,
    length: int,
    x: Floats,
    rows: int,
    out: Floats,
    to: int,
    share: tuple[int, int],
    wide: Floats,
) -> None:
    """A thread's share of x · matrixᵀ, scaled and biased, into `out` from its column `to` on; x is (rows, length).

    `matrix` is its number among the matrices, `place` that of its first output among the outputs of all.
    """
    start, stop = share
    address, output = weights.matrices[matrix], address_of(out) + 4 * to
    x_stride, out_stride = x.strides[0], out.strides[0]
    product(kind, address, length, address_of(x), x_stride, rows, output, out_stride, start, stop, address_of(wide))
    first, n = 4 * (place + start), stop - start
    for row in range(rows):
        outputs = floats_at(output + row * out_stride + 4 * start, n)
        if kind.itemsize == 1:
            multiply(outputs, floats_at(address_of(weights.scales) + first, n))
        if len(weights.biases):
            add(outputs, floats_at(address_of(weights.biases) + first, n))


@compiled
def _normalize(x: Floats, rows: int, norms: Floats, norm: int, shape: Shape, out: Floats) -> None:
    """All rows, by weight and bias of one of `norms`, (norms, 2, width)."""
    at = address_of(norms) + norm * norms.strides[0]
    weight, bias = floats_at(at, shape.width), floats_at(at + norms.strides[1], shape.width)
    for row in range(rows):
        to = floats_at(address_of(out) + row * out.strides[0], shape.width)
        normalize(floats_at(address_of(x) + row * x.strides[0], shape.width), weight, bias, shape, to)


@compiled
def _activate(inside: Floats, rows: int, share: tuple[int, int], shape: Shape) -> None:
    """A thread's share of the columns of all rows; a gated MLP's gate lies behind what it multiplies."""
    start, stop = share
    for row in range(rows):
        at = address_of(inside) + row * inside.strides[0] + 4 * start
        behind = 4 * shape.mlp_width if shape.is_gated else 0
        activate(floats_at(at + behind, stop - start), floats_at(at, stop - start), shape)


@compiled
def _add(x: Floats, rows: int, added: Floats) -> None:
    """Rows of `added` onto those of `x`."""
    for row in range(rows):
        out = floats_at(address_of(x) + row * x.strides[0], x.shape[1])
        add(out, floats_at(address_of(added) + row * added.strides[0], x.shape[1]))


@compiled
def _meet(counter: NDArray[np.int64], threads: int, phase: int) -> int:
    """Wait until every thread has come to the end of this phase; the number of the next."""
    phase += 1
    at = address_of(counter)
    arrive(at)
    looks = 0
    while arrived(at) < phase * threads:
        looks += 1
        if looks > PATIENCE:
            give_way()
    return phase
