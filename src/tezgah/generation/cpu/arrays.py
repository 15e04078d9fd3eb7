"""What the compiled step reads and writes: the sizes of a model, its weights, and the numbers of a step."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
QUERY, KEY, VALUE, OUTPUT, UP, GATE, DOWN = range(7)  # the matrices of a block
MATRICES = 7
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

    `matrices`, (7 · n_layers + 1,), are those of every block in their order, then the head; `scales` and `biases`,
    (outputs,), have a number for every output of all of them, and where there are no biases none. `norms`,
    (2 · n_layers + 1, 2, width), are weight and bias of attention's and the MLP's of every block, then the last one's.
    `cosines` and `sines`, (positions, pairs), are empty where positions are not rotary.
    """

    matrices: NDArray[np.int64]
    scales: Floats
    biases: Floats
    norms: Floats
    head_norms: Floats  # (n_layers, 2, head_dim) of queries and keys
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
    wide: Floats  # (threads, 6 · the longest row of weights)
    logits: Floats  # (rows, vocab)
    counter: NDArray[np.int64]  # (1,): how often a thread has arrived
