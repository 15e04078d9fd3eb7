"""The words of texts and how often each occurs, counted without a Python object a word."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tezgah.tokenizer.count import WordTable
from tezgah.tokenizer.texts import buffers


class WordCounts:
    """Counts words: runs without white space. One of more than 4,096 bytes counts as several.

    Memory grows with distinct words alone.

    >>> counts = WordCounts()
    >>> counts.add(pa.array(["su su\\n", "su"], pa.large_string()))
    >>> [column.tolist() for column in counts.result()]
    [[' su'], [3]]
    """

    def __init__(self) -> None:
        self._table = WordTable()

    def add(self, texts: Any) -> None:
        """Count the words of an Arrow array of large strings."""
        self._table.count(*buffers(texts), "whitespace")

    def result(self) -> tuple[Any, NDArray[np.int64]]:
        """The distinct words, each with a space before it, as an Arrow array, and their counts, (words,).

        The split leaves a space with the word after it, so a word may have been met with one and
        without; and white space before white space is a piece by itself, here dropped.
        """
        arena, starts, counts = self._table.result()
        held = [None, pa.py_buffer(np.ascontiguousarray(starts)), pa.py_buffer(np.ascontiguousarray(arena))]
        bare = pc.utf8_ltrim(pa.Array.from_buffers(pa.large_string(), len(counts), held), characters=" ")
        is_word = pc.invert(pc.or_(pc.utf8_is_space(bare), pc.equal(bare, "")))
        words = pa.table({"word": bare, "count": counts}).filter(is_word)
        words = words.group_by("word", use_threads=False).aggregate([("count", "sum")])  # in a fixed order
        nothing, space = pa.scalar("", pa.large_string()), pa.scalar(" ", pa.large_string())
        spaced = pc.binary_join_element_wise(nothing, words["word"].combine_chunks(), space)
        return spaced, words["count_sum"].to_numpy()
