"""The documents of one source as a token stream of their own, wherever they stand in the whole one."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tezgah.tokens.index import TokensIndex
from tezgah.tokens.shards import TokenStream


class SourceStream:
    """Runs of the documents of a stream, one after the other, with the separator behind the last of them at the end.

    A document that followed another of the same source still does; it is the stream that would be made of
    this source alone. Nothing is copied: a run is two numbers.
    """

    def __init__(self, whole: TokenStream, source: str, runs: NDArray[np.int64]) -> None:
        """`runs` are the first document of each and the one behind its last, (runs, 2), ascending."""
        self._whole = whole
        self.folder: Path = whole.folder
        self.index: TokensIndex = whole.index
        self.split = f"{source!r} training"
        self._begins, ends = whole.offsets[runs[:, 0]], whole.offsets[runs[:, 1]].copy()  # (runs,)
        if len(ends):
            ends[-1] += 1  # a separator stands behind every document
        self._starts = np.concatenate([[0], np.cumsum(ends - self._begins)])  # (runs + 1,)
        self._runs = runs

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each document's separator stands, and the last one's, (documents + 1,)."""
        pieces = [
            self._whole.offsets[first:behind] - begin + start
            for (first, behind), begin, start in zip(self._runs.tolist(), self._begins, self._starts, strict=False)
        ]
        return np.concatenate([*pieces, [len(self) - 1]]) if pieces else np.empty(0, np.int64)

    def __len__(self) -> int:
        """Tokens, separators included."""
        return int(self._starts[-1])

    def __getitem__(self, tokens: slice) -> NDArray[np.integer]:
        """The tokens of a slice, (tokens,); slices end where the stream does."""
        start, stop, _ = tokens.indices(len(self))
        pieces = []
        run = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            end = min(stop, int(self._starts[run + 1]))
            shift = int(self._begins[run] - self._starts[run])
            pieces.append(self._whole[start + shift : end + shift])
            start, run = end, run + 1
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces or [np.empty(0, self.index.dtype)])


def source_streams(whole: TokenStream) -> dict[str, SourceStream]:
    """What each source has of a split, by its name, in the order of the index; an empty stream where it has nothing."""
    numbers = whole.document_sources()  # (documents,)
    bounds = np.flatnonzero(np.diff(numbers, prepend=-1)) if len(numbers) else np.empty(0, np.int64)
    runs = np.stack([bounds, np.append(bounds[1:], len(numbers))[: len(bounds)]], axis=1)  # (runs, 2)
    owners = numbers[bounds]  # (runs,)
    return {name: SourceStream(whole, name, runs[owners == number]) for number, name in enumerate(whole.index.sources)}
