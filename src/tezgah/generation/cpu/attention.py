"""Attention of one token of every row over the cache, which it joins."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled
from tezgah.generation.cpu.arrays import Floats, Shape, Weights, Work
from tezgah.generation.cpu.memory import address_of, bits_of, floats_at
from tezgah.generation.cpu.pointwise import softmax
from tezgah.generation.cpu.products import one_row
from tezgah.generation.cpu.vectors import LANES, dot, mix_tile


@compiled
def attend(
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
    """Attention of this thread's share of the key heads of all rows, each with the query heads of its group.

    From `work.heads` to `work.mixed`; keys and values as in `token_step`.
    """
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
        at = address_of(heads) + row * heads.strides[0]
        key = floats_at(at + 4 * (queries + head * size), size)
        _turn(key, 1, layer, position, shape, weights, 1.0)
        _keep(key, keys, layer, row, head, position)
        _keep(floats_at(at + 4 * (queries + kept + head * size), size), values, layer, row, head, position)
        held = layer * keys.strides[0] + row * keys.strides[1] + head * keys.strides[2]
        for query_head in range(head * group, (head + 1) * group):
            query = at + 4 * query_head * size
            _turn(floats_at(query, size), 0, layer, position, shape, weights, 1.0 / math.sqrt(size))
            one_row(kind, address_of(keys) + held, stride, size, query, address_of(scores), time)
            softmax(scores, time)
            out = address_of(work.mixed) + row * work.mixed.strides[0] + 4 * query_head * size
            _mix(kind, address_of(values) + held, stride, size, address_of(scores), time, out)


@compiled
def _mix(kind: NDArray[Any], values: int, stride: int, size: int, shares: int, time: int, out: int) -> None:
    """Values, by their shares, into `size` numbers at an address."""
    begin = 0
    while begin + 4 * LANES <= size:
        mix_tile(kind, 4, shares, time, values + begin * kind.itemsize, stride, out + 4 * begin)
        begin += 4 * LANES
    while begin < size:
        mix_tile(kind, 1, shares, time, values + begin * kind.itemsize, stride, out + 4 * begin)
        begin += LANES


@compiled
def _turn(head: Floats, part: int, layer: int, position: int, shape: Shape, weights: Weights, factor: float) -> None:
    """A query (part 0) or key (1): normalized, rotated to its position, and multiplied."""
    size = len(head)
    if shape.has_qk_norm:
        norms = weights.head_norms
        norm = floats_at(address_of(norms) + layer * norms.strides[0] + part * norms.strides[1], size)
        scale = np.float32(1.0 / math.sqrt(dot(address_of(head), address_of(head), size) / size + shape.epsilon))
        for i in range(size):
            head[i] = head[i] * scale * norm[i]
    pairs = size // 2
    if weights.cosines.shape[0]:
        first, second = floats_at(address_of(head), pairs), floats_at(address_of(head) + 4 * pairs, pairs)
        at = position * weights.cosines.strides[0]
        cosines, sines = (
            floats_at(address_of(weights.cosines) + at, pairs),
            floats_at(address_of(weights.sines) + at, pairs),
        )
        for i in range(pairs):
            a, b = first[i], second[i]
            first[i], second[i] = a * cosines[i] - b * sines[i], b * cosines[i] + a * sines[i]
    for i in range(size):
        head[i] *= np.float32(factor)


@compiled
def _keep(head: Floats, held: NDArray[Any], layer: int, row: int, kv_head: int, position: int) -> None:
    """A head into the cache: as it is, or as bfloat16's bits, rounded to the nearest, to even from the middle."""
    for i in range(len(head)):
        if held.itemsize == 2:
            bits = bits_of(head[i])
            even = (bits >> np.uint32(16)) & np.uint32(1)
            held[layer, row, kv_head, position, i] = np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))
        else:
            held[layer, row, kv_head, position, i] = head[i]
