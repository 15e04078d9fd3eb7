"""Whether a text has come before, in memory that does not grow.

Two tables of hashes, the current one and the one before it. A hash goes into the current; when
that is half full it becomes the one before, and an empty one takes its place. So of texts equal to
the byte all but the first are found, unless about `remembered` others or more lie between two of them.
"""

import numpy as np
from numpy.typing import NDArray

from tezgah.corpus.duplicates import first_equal

REMEMBERED = 1 << 20  # texts, about; twice as many at most. Takes 64 MiB

Hashes = NDArray[np.uint64]  # (texts, 2), of duplicates.py; of 10^12 texts none is likely to be (0, 0), an empty slot


class SeenTexts:
    """The texts of late. Which of them are known follows from the texts in their order alone."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._most = remembered
        slots = 1 << (2 * remembered - 1).bit_length()  # half empty, so that few look-ups take a second step
        self._current, self._before = (np.zeros((slots, 2), np.uint64) for _ in range(2))
        self._held = 0

    def are_new(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which texts come for the first time, (texts,); from now on all of them are known."""
        new = np.empty(len(hashes), bool)
        for start in range(0, len(hashes), self._most):
            new[start : start + self._most] = self._some_are_new(hashes[start : start + self._most])
        return new

    def _some_are_new(self, hashes: Hashes) -> NDArray[np.bool_]:
        if self._held + len(hashes) > self._most:
            self._current, self._before = self._before, self._current
            self._current[:] = 0
            self._held = 0
        is_first = first_equal(hashes) == np.arange(len(hashes))
        is_held = _put(self._current, hashes, is_first)
        self._held += int((is_first & ~is_held).sum())
        new: NDArray[np.bool_] = is_first & ~is_held & ~_look(self._before, hashes)
        return new


def _look(table: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Which hashes are in the table, (texts,)."""
    known = np.zeros(len(hashes), bool)
    slots = _first_slots(table, hashes)
    open_ = np.arange(len(hashes))  # those that are neither found nor known to be absent
    while open_.size:
        held = table[slots[open_]]  # (open, 2)
        is_equal = (held == hashes[open_]).all(axis=1)
        known[open_[is_equal]] = True
        open_ = open_[held.any(axis=1) & ~is_equal]
        slots[open_] = (slots[open_] + 1) % len(table)
    return known


def _put(table: Hashes, hashes: Hashes, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Put the `wanted` hashes, no two of them equal, into the table; which were there before, (texts,)."""
    known = np.zeros(len(hashes), bool)
    slots = _first_slots(table, hashes)
    open_ = np.flatnonzero(wanted)
    while open_.size:
        held = table[slots[open_]]  # (open, 2)
        is_equal = (held == hashes[open_]).all(axis=1)
        known[open_[is_equal]] = True
        free = open_[~held.any(axis=1)]
        table[slots[free]] = hashes[free]  # of several that want one slot the last has it
        has_place = (table[slots[open_]] == hashes[open_]).all(axis=1)
        open_ = open_[~has_place]
        slots[open_] = (slots[open_] + 1) % len(table)
    return known


def _first_slots(table: Hashes, hashes: Hashes) -> NDArray[np.int64]:
    return (hashes[:, 0] % np.uint64(len(table))).astype(np.int64)
