"""Documents as windows that fit a model's context, and as batches of them.

Windows of a document do not overlap, and every token is predicted once; or each begins `stride` tokens after the one
before it, and only what that one did not reach is predicted in it, with the rest as context.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tezgah.nn.cross_entropy import IGNORED

Indices = NDArray[np.int64]

SHORTEST_ROW = 16  # tokens; windows shorter than this are all padded to it


class Documents(Protocol):
    """A stream of ids: each document after a separator, one more separator at the end."""

    @property
    def offsets(self) -> NDArray[Any]:
        """Where each document's separator stands, and the last one's, (documents + 1,)."""

    @property
    def bytes(self) -> NDArray[Any]:
        """Bytes of each document's text, (documents,)."""

    def __getitem__(self, place: slice) -> NDArray[Any]:
        """A stretch of ids."""


class Windows(NamedTuple):
    """Windows of some documents, in order; each array is (windows,)."""

    documents: Indices  # whose they are: places in the list of documents that was given
    starts: Indices  # first input, in the stream
    lengths: Indices  # inputs
    context: Indices  # predictions at the beginning that an earlier window makes


def windows_of(offsets: NDArray[Any], documents: Indices, context_length: int, stride: int | None = None) -> Windows:
    """The windows of `documents`, each `stride` tokens after the one before it; without one they do not overlap.

    >>> found = windows_of(np.array([0, 3, 13]), np.array([0, 1]), context_length=4)  # 2 and 9 tokens, 2 separators
    >>> found.starts, found.lengths
    (array([ 0,  3,  7, 11]), array([3, 4, 4, 2]))
    >>> found = windows_of(np.array([0, 3, 13]), np.array([0, 1]), context_length=4, stride=3)
    >>> found.starts, found.lengths, found.context
    (array([0, 3, 6, 9]), array([3, 4, 4, 4]), array([0, 0, 1, 1]))
    """
    step = stride or context_length
    first, last = offsets[documents].astype(np.int64), offsets[documents + 1].astype(np.int64)
    counts = 1 + np.maximum(0, -(-(last - first - context_length) // step))  # (documents,) windows
    owners = np.repeat(np.arange(len(documents)), counts)  # (windows,)
    place = np.arange(len(owners)) - np.repeat(counts.cumsum() - counts, counts)  # (windows,) in its document
    starts = first[owners] + place * step
    lengths = np.minimum(context_length, last[owners] - starts)
    return Windows(owners, starts, lengths, np.where(place > 0, context_length - step, 0))


def batches(lengths: Indices, batch_size: int, context_length: int) -> Iterator[tuple[Indices, tuple[int, int]]]:
    """Windows of like length together, with the (rows, row_length) to pad them to.

    Row lengths are powers of two, and what does not fill a batch moves up to the next, so that
    shapes are few and at most one batch has empty rows.

    >>> list(batches(np.array([3, 60, 64, 5, 9]), batch_size=2, context_length=64))
    [(array([0, 3]), (2, 16)), (array([4, 1]), (2, 64)), (array([2]), (2, 64))]
    """
    powers = 2 ** np.ceil(np.log2(np.maximum(lengths, SHORTEST_ROW))).astype(np.int64)
    row_lengths = np.minimum(powers, context_length)  # (windows,)
    waiting, row_length = np.empty(0, np.int64), 0
    for row_length in np.unique(row_lengths).tolist():
        waiting = np.concatenate((waiting, np.flatnonzero(row_lengths == row_length)))
        full = len(waiting) // batch_size * batch_size
        for rows in waiting[:full].reshape(-1, batch_size):
            yield rows, (batch_size, row_length)
        waiting = waiting[full:]
    if len(waiting):
        yield waiting, (min(batch_size, len(lengths)), row_length)


def filled(stream: Documents, windows: Windows, rows: Indices, shape: tuple[int, int]) -> tuple[Indices, Indices]:
    """Inputs and targets of some windows, each of `shape`, (rows, row_length)."""
    ids, targets = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    for row, window in enumerate(rows.tolist()):
        start, length, context = (int(each[window]) for each in windows[1:])
        piece = stream[start : start + length + 1]
        ids[row, :length], targets[row, context:length] = piece[:-1], piece[1 + context :]
    return ids, targets
