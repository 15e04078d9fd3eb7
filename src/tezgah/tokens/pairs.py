"""Which token follows which, and how often: counted over a token stream."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tezgah.tokens.sequences import Stream

MOST_TOKENS = 1 << 26  # read at most; counts of more change little, and take a second each 50 million
SLICE = 1 << 22  # tokens read at a time


@dataclass(frozen=True)
class Pairs:
    """Every pair of neighbours once, sorted: `counts[k]` times `second[k]` stands behind `first[k]`; each (pairs,)."""

    vocab_size: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def totals(self) -> NDArray[np.int64]:
        """How often each id is followed by any, (vocab,)."""
        return np.bincount(self.first, weights=self.counts, minlength=self.vocab_size).astype(np.int64)


def count_pairs(stream: Stream | NDArray[np.integer], vocab_size: int, most: int = MOST_TOKENS) -> Pairs:
    """The pairs of ids below `vocab_size`; of more than `most` tokens, those in slices spread evenly over them."""
    found, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for start, stop in _slices(len(stream), most):
        ids = stream[start : stop + 1].astype(np.uint64)  # with the one token that follows the slice
        keys, times = np.unique(ids[:-1] * np.uint64(vocab_size) + ids[1:], return_counts=True)
        found, where = np.unique(np.concatenate([found, keys]), return_inverse=True)
        counts = np.bincount(where, weights=np.concatenate([counts, times])).astype(np.int64)
    first, second = np.divmod(found.astype(np.int64), vocab_size)
    return Pairs(vocab_size, first, second, counts)


def _slices(length: int, most: int) -> list[tuple[int, int]]:
    """Where the slices begin and end.

    >>> _slices(10, most=100), _slices(3 * SLICE, most=SLICE + 1)
    ([(0, 10)], [(0, 4194304), (8388608, 8388609)])
    """
    if length <= most:
        return [(start, min(start + SLICE, length)) for start in range(0, length, SLICE)]
    number = -(-most // SLICE)
    starts = [round(k * (length - SLICE) / max(1, number - 1)) for k in range(number)]
    return [(start, start + min(SLICE, most - k * SLICE)) for k, start in enumerate(starts)]
