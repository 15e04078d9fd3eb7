"""How often each word occurs: a hash table of words, filled without making a Python object a word.

The loop stops where a table is full and is called again with a larger one, so that all allocation
is Python's.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.classes import character_classes
from tezgah.tokenizer.compiled import compiled, inlined
from tezgah.tokenizer.load import load
from tezgah.tokenizer.pretokenize import SPLIT_NUMBERS, piece_end
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.wordtable import VALUE, WORD, enter, find, has_room, rebuilt

# Longer pieces are cut, so that a text without a space takes time in proportion to its length.
LONGEST_WORD = 4_096  # bytes


class Words(NamedTuple):
    """Distinct words and their counts; word `w` is `arena[starts[w]:starts[w + 1]]`."""

    arena: NDArray[np.uint8]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]


@inlined
def add(text, begin, end, times, rows, arena, starts, words):
    """Count the word `text[begin:end]` `times` more; how many distinct words there are now."""
    first = load(text, begin, min(8, end - begin))
    slot = find(text, begin, end, first, rows, arena, starts)
    if rows[slot, WORD]:
        rows[slot, VALUE] += times
        return words
    return enter(text, begin, end, first, slot, times, rows, arena, starts, words)


@compiled
def count_rows(text, offsets, row, at, last_row, classes, split, rows, arena, starts, words):
    """Count the pieces of rows `row` (from byte `at`) to `last_row`; where it stopped, and the words known.

    Row `r` is `text[offsets[r]:offsets[r + 1]]`. Stops at `last_row`, or earlier where a table is full.
    """
    while row < last_row:
        end = offsets[row + 1]
        while at < end:
            after = piece_end(text, at, end, classes, split)
            if after - at > LONGEST_WORD:
                after = at + LONGEST_WORD
                while text[after] & 0xC0 == 0x80:
                    after -= 1  # a cut falls between characters
            if not has_room(rows, arena, starts, words, LONGEST_WORD):
                return row, at, words
            words = add(text, at, after, 1, rows, arena, starts, words)
            at = after
        row += 1
    return row, at, words


@compiled
def add_words(more_arena, more_starts, more_counts, word, rows, arena, starts, words):
    """Add the counts of other words, from number `word` on; where it stopped, and the words known."""
    while word < len(more_counts):
        if not has_room(rows, arena, starts, words, LONGEST_WORD):
            return word, words
        words = add(more_arena, more_starts[word], more_starts[word + 1], more_counts[word], rows, arena, starts, words)
        word += 1
    return word, words


class WordTable:
    """A growing table of words and counts, filled by one thread."""

    def __init__(self) -> None:
        self.words = 0
        self.rows = np.zeros((1 << 14, 4), np.int64)
        self.arena, self.starts = np.zeros(1 << 18, np.uint8), np.zeros(1 << 13, np.int64)

    def count(self, text: NDArray[np.uint8], offsets: NDArray[np.int64], split: Split) -> None:
        """Count the words of `text`, UTF-8, whose rows end at `offsets`, (rows + 1,)."""
        row, at, last = 0, int(offsets[0]), len(offsets) - 1
        while row < last:
            row, at, self.words = count_rows(
                text, offsets, row, at, last, character_classes(), SPLIT_NUMBERS[split],
                self.rows, self.arena, self.starts, self.words,
            )  # fmt: skip
            if row < last:
                self._grow()

    def add(self, more: Words) -> None:
        """Add the counts of other words."""
        word = 0
        while word < len(more.counts):
            word, self.words = add_words(*more, word, self.rows, self.arena, self.starts, self.words)
            if word < len(more.counts):
                self._grow()

    def result(self) -> Words:
        """The words and their counts so far."""
        held = self.rows[self.rows[:, WORD] != 0]
        counts = np.empty(self.words, np.int64)
        counts[(held[:, WORD] & 0xFFFFFFFF) - 1] = held[:, VALUE]
        return Words(self.arena[: self.starts[self.words]], self.starts[: self.words + 1], counts)

    def _grow(self) -> None:
        self.rows, self.arena, self.starts = rebuilt(self.rows, self.arena, self.starts, self.words, LONGEST_WORD)


def count_words(text: NDArray[np.uint8], offsets: NDArray[np.int64], split: Split, threads: int = 1) -> Words:
    """Words and counts of rows `text[offsets[r]:offsets[r + 1]]`, each thread a share of the rows."""
    shares = np.searchsorted(offsets, np.linspace(offsets[0], offsets[-1], threads + 1))
    shares[0], shares[-1] = 0, len(offsets) - 1
    tables = [WordTable() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        parts = [offsets[shares[k] : shares[k + 1] + 1] for k in range(threads)]
        list(pool.map(lambda table, part: table.count(text, part, split), tables, parts))
    for other in tables[1:]:
        tables[0].add(other.result())
    return tables[0].result()
