"""Texts that are equal to the byte, found by sorting 16-byte hashes: 16 bytes of memory a text.

BLAKE2b with 128 bits: among 10^12 different texts the chance that any two meet is below 10^-14.
"""

import hashlib

import numpy as np
import pyarrow as pa

from tezgah.corpus.columns import BEGINS
from tezgah.corpus.cut import text_buffers

HASH_BYTES = 16


class TextHashes:
    """A hash of every text, over all its parts, from batches in order."""

    def __init__(self) -> None:
        self._done = bytearray()
        self._open = hashlib.blake2b(digest_size=HASH_BYTES)
        self._texts = 0

    def add(self, documents: pa.RecordBatch) -> None:
        """A text goes on until the next row that begins one, also in a later batch."""
        offsets, data = text_buffers(documents["text"])
        view = memoryview(data)
        begins = documents[BEGINS].to_numpy(zero_copy_only=False)
        for is_first, start, end in zip(begins.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if is_first:
                self._close()
                self._texts += 1
            self._open.update(view[start:end])

    def finish(self) -> np.ndarray:
        """All hashes, (texts, 2) uint64."""
        self._close()
        self._texts = 0
        return np.frombuffer(bytes(self._done), np.uint64).reshape(-1, 2)

    def _close(self) -> None:
        if self._texts:
            self._done += self._open.digest()
            self._open = hashlib.blake2b(digest_size=HASH_BYTES)


def first_equal(hashes: np.ndarray) -> np.ndarray:
    """For every text the index of the first one equal to it, itself where there is none before, (texts,) int64.

    >>> first_equal(np.array([[7, 1], [5, 2], [7, 1]], np.uint64)).tolist()
    [0, 1, 0]
    """
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal hashes stay in reading order
    ordered = hashes[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), np.int64)
    first[order] = order[np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))]
    return first
