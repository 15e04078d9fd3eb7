"""Which sequence comes when: a shuffle that is arithmetic, so that resuming is a seek.

The k-th sequence of an epoch is P(k), where P is a permutation of 0 … n - 1 chosen by (seed,
epoch). P is a Feistel network (Luby and Rackoff 1988) on the smallest even number of bits, at least
6, that holds n, applied again while its result is outside 0 … n - 1 (cycle walking: Black and Rogaway
2002, "Ciphers with Arbitrary Finite Domains", method 2). Each half of a round is a bijection,
whatever the round function; ours is the finalizer of SplitMix64 (Steele et al. 2014). No library's
random stream is used: those change between versions, this does not.
"""

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
SMALLEST_HALF_BITS = (
    3  # with 2, orders of 4 sequences are unevenly likely by 30 standard deviations of χ²; with 3 by < 2
)

Words = NDArray[np.uint64]


def sequence_indices(seed: int, n_sequences: int, first: int, count: int) -> NDArray[np.int64]:
    """The numbers of the first-th to (first + count - 1)-th sequence seen, over all epochs, (count,).

    Every epoch is a permutation of its own of all `n_sequences`; nothing is remembered between calls.

    >>> sequence_indices(seed=1, n_sequences=5, first=0, count=10).reshape(2, 5)
    array([[0, 3, 4, 2, 1],
           [4, 3, 2, 0, 1]])
    """
    positions = np.arange(first, first + count, dtype=np.uint64)
    size = np.uint64(n_sequences)
    epochs, places = positions // size, positions % size  # (count,)
    keys = mix(mix(np.full(1, seed % 2**64, np.uint64)) + epochs)  # (count,)
    half_bits = max(SMALLEST_HALF_BITS, ((n_sequences - 1).bit_length() + 1) // 2)
    walking = np.arange(count)  # the positions whose place is not final
    while walking.size:
        places[walking] = _feistel(places[walking], keys[walking], half_bits)
        walking = walking[places[walking] >= size]
    return places.astype(np.int64)


def _feistel(values: Words, keys: Words, half_bits: int) -> Words:
    """A permutation of 0 … 4 ** half_bits - 1, chosen by each value's key."""
    shift, mask = np.uint64(half_bits), np.uint64(2**half_bits - 1)
    left, right = values >> shift, values & mask
    for number in range(ROUNDS):
        round_keys = mix(keys + np.uint64(number))
        left, right = right, left ^ (mix(round_keys ^ right) & mask)
    return left << shift | right


def mix(words: Words) -> Words:
    """SplitMix64's step: a bijection of 64-bit words whose every output bit hangs on every input bit."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return words ^ words >> np.uint64(31)
