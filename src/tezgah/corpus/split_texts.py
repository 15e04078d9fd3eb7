"""The texts of a stored split: all or some of them, one by one, or so many spread over its length."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tezgah.corpus.reading import read_batches, read_index


class SplitTexts:
    """The texts of a split in order, in UTF-8, read from disk each time they are gone through.

    `documents` are the indices of those wanted; all are where it is None.
    """

    def __init__(self, corpus: Path, split: str, documents: NDArray[np.integer] | None = None) -> None:
        self._corpus, self._split = corpus, split
        self._wanted = None if documents is None else frozenset(documents.tolist())

    def __iter__(self) -> Iterator[bytes]:
        texts = chain.from_iterable(batch["text"].to_pylist() for batch in read_batches(self._corpus, self._split))
        for document, text in enumerate(texts):
            if self._wanted is None or document in self._wanted:
                yield text.encode()


def spread_documents(corpus: Path, split: str, most: int) -> Iterator[pa.RecordBatch]:
    """At most `most` documents of a split, evenly over its whole length, in order."""
    total = read_index(corpus).splits[split].documents
    first = 0
    for batch in read_batches(corpus, split):
        places = np.arange(first, first + len(batch))  # (rows,)
        first += len(batch)
        taken = np.flatnonzero((places + 1) * min(most, total) // total > places * min(most, total) // total)
        yield batch.take(taken)
