"""The simplest filler of masks: the id that most likely stands between two others, by counts of pairs alone."""

import numpy as np
from numpy.typing import NDArray

from tezgah.tokens.pairs import Pairs

NEIGHBOURS = "pairs of neighbours"  # what it goes by beside a model
PRIOR = 1.0  # how many sightings what is known of all places counts for beside those of one neighbour

Ids = NDArray[np.int64]


class Neighbours:
    """p(x | left) · p(right | x) over the pairs of a training text, with the shares of single ids as a prior."""

    def __init__(self, pairs: Pairs) -> None:
        self._size = pairs.vocab_size
        self._after = _Rows(pairs.first, pairs.second, pairs.counts, self._size)
        order = np.argsort(pairs.second, kind="stable")
        self._before = _Rows(pairs.second[order], pairs.first[order], pairs.counts[order], self._size)
        totals = pairs.totals.astype(np.float64)  # (vocab,)
        self._totals, self._shares = totals, totals / max(1.0, totals.sum())

    def guess(self, left: Ids, right: Ids) -> Ids:
        """The likeliest id between each `left` and `right`, (masks,); a neighbour of −1 is not known."""
        return np.fromiter(map(self._between, left.tolist(), right.tolist()), np.int64, len(left))

    def _between(self, left: int, right: int) -> int:
        scores = PRIOR * self._shares  # ∝ p(x | left), (vocab,)
        if left >= 0:
            ids, counts = self._after.row(left)
            scores[ids] += counts
        if right >= 0:
            following = np.full(self._size, PRIOR * self._shares[right])
            ids, counts = self._before.row(right)
            following[ids] += counts
            scores = scores * following / (self._totals + PRIOR)  # × p(right | x)
        return int(scores.argmax())


class _Rows:
    """Sparse rows of a matrix of counts."""

    def __init__(self, rows: Ids, columns: Ids, counts: Ids, size: int) -> None:
        self._ends = np.searchsorted(rows, np.arange(size + 1))
        self._columns, self._counts = columns, counts

    def row(self, number: int) -> tuple[Ids, Ids]:
        """Where a row has counts, and what they are."""
        place = slice(self._ends[number], self._ends[number + 1])
        return self._columns[place], self._counts[place]
