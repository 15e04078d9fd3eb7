"""One token of every row through a whole transformer, in compiled code that several threads run together.

The same arithmetic as `nn/`, in float32 between the products. A thread computes its share of a product's outputs,
then waits for the others: four times a block. Everything small (norms, sums) every thread computes for itself, which
takes less time than waiting would.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled
from tezgah.generation.cpu.products import one_row, product, share_of
from tezgah.generation.cpu.vectors import (
    LANES,
    arrive,
    arrived,
    bits_of,
    give_way,
    mix_tile,
)

Floats = NDArray[np.float32]
PATIENCE = 4_000  # looks at the counter before another thread may have the core
QUERY, KEY, VALUE, OUTPUT, UP, GATE, DOWN = range(7)  # the matrices of a block
SILU, GELU, GELU_TANH, RELU2 = range(4)


class Shape(NamedTuple):
    """Sizes and parts, as in `StackConfig`; `activation` is one of the four above."""

    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    mlp_width: int
    vocab_size: int
    is_rms: bool
    epsilon: float
    activation: int
    is_gated: bool
    has_qk_norm: bool


class Weights(NamedTuple):
    """Addresses of the matrices, all of one kind, and whatever is small as arrays.

    `scales` and `biases`, (n_layers, outputs of a block), have a number for every output of the seven matrices in
    their order; `norms` is (n_layers + 1, 2, 2, width): attention's and the MLP's weight and bias, the last block's
    successor holding the final norm's. `cosines` and `sines`, (positions, pairs), are empty where positions are not
    rotary.
    """

    matrices: NDArray[np.int64]
    scales: Floats
    biases: Floats
    norms: Floats
    head_norms: Floats  # (n_layers, 2, head_dim) of queries and keys
    head: int
    head_scales: Floats
    cosines: Floats
    sines: Floats


class Work(NamedTuple):
    """Where the numbers of a step lie. `x` and `normed` are every thread's own, (threads, rows, width)."""

    x: Floats
    normed: Floats
    heads: Floats  # (rows, queries + keys + values)
    mixed: Floats  # (rows, queries)
    out: Floats  # (rows, width)
    inside: Floats  # (rows, mlp_width, twice where it is gated)
    scores: Floats  # (threads, positions)
    logits: Floats  # (rows, vocab)
    counter: NDArray[np.int64]  # (1,): how often a thread has arrived


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
    rows = len(lengths)
    queries, kept = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    x, normed = work.x[thread], work.normed[thread]
    phase = 0
    for layer in range(shape.n_layers):
        scales, biases, at = weights.scales[layer], weights.biases[layer], weights.matrices[layer]
        _normalize(x, rows, weights.norms[layer, 0], shape, normed)
        first = 0
        for part in (QUERY, KEY, VALUE):
            size = queries if part == QUERY else kept
            start, stop = share_of(size, thread, threads)
            product(kind, at[part], scales[first:], shape.width, normed, rows, work.heads, first, start, stop)
            _add(work.heads, rows, first + start, first + stop, biases, first + start)
            first += size
        phase = _meet(work.counter, threads, phase)
        _attend(thread, threads, layer, shape, weights, work, keys, values, lengths)
        phase = _meet(work.counter, threads, phase)
        start, stop = share_of(shape.width, thread, threads)
        product(kind, at[OUTPUT], scales[first:], queries, work.mixed, rows, work.out, 0, start, stop)
        _add(work.out, rows, start, stop, biases, first + start)
        first += shape.width
        phase = _meet(work.counter, threads, phase)
        _sum(x, rows, work.out, shape.width)
        _normalize(x, rows, weights.norms[layer, 1], shape, normed)
        start, stop = share_of(shape.mlp_width, thread, threads)
        for place in range(2 if shape.is_gated else 1):
            to = place * shape.mlp_width
            product(kind, at[UP + place], scales[first:], shape.width, normed, rows, work.inside, to, start, stop)
            _add(work.inside, rows, to + start, to + stop, biases, first + start)
            first += shape.mlp_width
        _activate(work.inside, rows, start, stop, shape)
        phase = _meet(work.counter, threads, phase)
        start, stop = share_of(shape.width, thread, threads)
        product(kind, at[DOWN], scales[first:], shape.mlp_width, work.inside, rows, work.out, 0, start, stop)
        _add(work.out, rows, start, stop, biases, first + start)
        phase = _meet(work.counter, threads, phase)
        _sum(x, rows, work.out, shape.width)
    _normalize(x, rows, weights.norms[shape.n_layers, 0], shape, normed)
    start, stop = share_of(shape.vocab_size, thread, threads)
    product(kind, weights.head, weights.head_scales, shape.width, normed, rows, work.logits, 0, start, stop)


@compiled
def _meet(counter: NDArray[np.int64], threads: int, phase: int) -> int:
    """Wait until every thread has come to the end of this phase; the number of the next."""
    phase += 1
    arrive(counter.ctypes.data)
    looks = 0
    while arrived(counter.ctypes.data) < phase * threads:
        looks += 1
        if looks > PATIENCE:
            give_way()
    return phase


@compiled
def _attend(
    thread: int,
    threads: int,
    layer: int,
    shape: Shape,
    weights: Weights,
    work: Work,
    keys: NDArray[Any],
    values: NDArray[Any],
    lengths: NDArray[np.int64],
) -> None:
    """Attention of this thread's share of the key heads of all rows, each with the query heads of its group."""
    size = shape.head_dim
    group = shape.n_heads // shape.n_kv_heads
    queries, kept = shape.n_heads * size, shape.n_kv_heads * size
    scores, heads = work.scores[thread], work.heads
    units = len(lengths) * shape.n_kv_heads
    kind = keys[0, 0, 0, 0, :0]
    stride = keys.strides[3]
    for unit in range(units * thread // threads, units * (thread + 1) // threads):
        row, head = unit // shape.n_kv_heads, unit % shape.n_kv_heads
        position = lengths[row]
        time = position + 1
        key = heads[row, queries + head * size : queries + (head + 1) * size]
        _turn(key, weights.head_norms[layer, 1], position, shape, weights, 1.0)
        _keep(key, keys[layer, row, head, position])
        _keep(heads[row, queries + kept + head * size :], values[layer, row, head, position])
        held, mixed_from = keys[layer, row, head].ctypes.data, values[layer, row, head].ctypes.data
        for query_head in range(head * group, (head + 1) * group):
            query = heads[row, query_head * size : (query_head + 1) * size]
            _turn(query, weights.head_norms[layer, 0], position, shape, weights, 1.0 / math.sqrt(size))
            one_row(kind, held, stride, size, query.ctypes.data, 0, scores.ctypes.data, 0, time)
            _softmax(scores, time)
            out = work.mixed[row, query_head * size : (query_head + 1) * size].ctypes.data
            begin = 0
            while begin + 4 * LANES <= size:
                at = mixed_from + begin * keys.itemsize
                mix_tile(kind, 4, scores.ctypes.data, time, at, stride, out + 4 * begin)
                begin += 4 * LANES
            while begin < size:
                at = mixed_from + begin * keys.itemsize
                mix_tile(kind, 1, scores.ctypes.data, time, at, stride, out + 4 * begin)
                begin += LANES


@compiled
def _turn(head: Floats, norm: Floats, position: int, shape: Shape, weights: Weights, factor: float) -> None:
    """A query or key normalized, rotated to its position, and multiplied."""
    pairs = shape.head_dim // 2
    if shape.has_qk_norm:
        square = 0.0
        for i in range(2 * pairs):
            square += np.float64(head[i]) * np.float64(head[i])
        scale = np.float32(1.0 / math.sqrt(square / (2 * pairs) + shape.epsilon))
        for i in range(2 * pairs):
            head[i] = head[i] * scale * norm[i]
    if weights.cosines.shape[0]:
        for i in range(pairs):
            cos, sin = weights.cosines[position, i], weights.sines[position, i]
            a, b = head[i], head[i + pairs]
            head[i], head[i + pairs] = a * cos - b * sin, b * cos + a * sin
    for i in range(2 * pairs):
        head[i] *= np.float32(factor)


@compiled
def _keep(numbers: Floats, kept: NDArray[Any]) -> None:
    """Numbers into the cache: as they are, or as bfloat16's bits, rounded to the nearest, to even from the middle."""
    for i in range(len(kept)):
        if kept.itemsize == 2:
            bits = bits_of(numbers[i])
            kept[i] = np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))
        else:
            kept[i] = numbers[i]


@compiled
def _softmax(scores: Floats, time: int) -> None:
    top = scores[0]
    for place in range(1, time):
        top = max(top, scores[place])
    total = 0.0
    for place in range(time):
        scores[place] = math.exp(scores[place] - top)
        total += scores[place]
    share = np.float32(1.0 / total)
    for place in range(time):
        scores[place] *= share


@compiled
def _normalize(x: Floats, rows: int, norm: Floats, shape: Shape, out: Floats) -> None:
    """`x`, (rows, width), by root mean square, or by mean and deviation; `norm` holds weight and bias."""
    width = shape.width
    for row in range(rows):
        mean, square = 0.0, 0.0
        if not shape.is_rms:
            for i in range(width):
                mean += x[row, i]
            mean /= width
        for i in range(width):
            square += (x[row, i] - mean) * (x[row, i] - mean)
        scale = np.float32(1.0 / math.sqrt(square / width + shape.epsilon))
        middle = np.float32(mean)
        for i in range(width):
            out[row, i] = (x[row, i] - middle) * scale * norm[0, i] + norm[1, i]


@compiled
def _activate(inside: Floats, rows: int, start: int, stop: int, shape: Shape) -> None:
    """The activation of columns `start` to `stop`; of a gated MLP that of the gate's, which lie behind, times them."""
    to = shape.mlp_width
    for row in range(rows):
        for i in range(start, stop):
            z = inside[row, to + i] if shape.is_gated else inside[row, i]
            if shape.activation == SILU:
                y = z / (np.float32(1.0) + math.exp(-z))
            elif shape.activation == GELU:
                y = np.float32(0.5) * z * (np.float32(1.0) + math.erf(z * np.float32(0.7071067811865476)))
            elif shape.activation == GELU_TANH:  # the tanh approximation: z · sigmoid(2 √(2/π) (z + 0.044715 z³))
                u = z * (np.float32(1.5957691216057308) + np.float32(0.07135481282553183) * z * z)
                y = z / (np.float32(1.0) + math.exp(-u))
            else:
                y = max(z, np.float32(0.0)) * max(z, np.float32(0.0))
            inside[row, i] = inside[row, i] * y if shape.is_gated else y


@compiled
def _sum(x: Floats, rows: int, added: Floats, width: int) -> None:
    for row in range(rows):
        for i in range(width):
            x[row, i] += added[row, i]


@compiled
def _add(out: Floats, rows: int, start: int, stop: int, biases: Floats, first: int) -> None:
    """Biases, from `first` on, onto columns `start` to `stop`."""
    for row in range(rows):
        for i in range(stop - start):
            out[row, start + i] += biases[first + i]
