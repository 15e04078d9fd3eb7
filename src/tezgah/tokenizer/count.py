"""How often each word occurs: a hash table of words, filled without making a Python object a word.

The loop stops where a table is full and is called again with a larger one, so that all allocation
is Python's.
"""

import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.blocks import fill, new_block
from tezgah.tokenizer.classes import character_classes
from tezgah.tokenizer.compiled import compiled
from tezgah.tokenizer.pretokenize import SPLITS
from tezgah.tokenizer.settings import Rule
from tezgah.tokenizer.wordtable import (
    NUMBER,
    VALUE,
    WORD,
    enter,
    find,
    first_bytes,
    has_room,
    hash_of,
    last_bytes,
    rebuilt,
)

# Longer pieces are cut, so that a text without a space takes time in proportion to its length.
LONGEST_WORD = 4_096  # bytes


class Words(NamedTuple):
    """Distinct words and their counts; word `w` is `arena[starts[w]:starts[w + 1]]`."""

    arena: NDArray[np.uint8]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]


@compiled
def count_rows(text, offsets, row, at, last_row, classes, split, rows, arena, starts, words, block):
    """Count the words of rows `row` (from byte `at`) to `last_row`; where it stopped, and the words known.

    Row `r` is `text[offsets[r]:offsets[r + 1]]`. Stops at `last_row`, or earlier where a table is full.
    """
    while row < last_row:
        count, row_after, after = fill(block, text, offsets, row, at, last_row, classes, split, LONGEST_WORD)
        for k in range(count):
            begin, end, first, last = block.begins[k], block.ends[k], block.firsts[k], block.lasts[k]
            slot = find(text, begin, end, first, last, block.hashes[k], rows, arena, starts)
            if rows[slot, WORD]:
                rows[slot, VALUE] += 1
            elif has_room(rows, arena, starts, words, LONGEST_WORD):
                words = enter(text, begin, end, first, last, slot, 0, 1, rows, arena, starts, words)
            else:
                return block.rows[k], begin, words
        row, at = row_after, after
    return row, at, words


@compiled
def add_words(more_arena, more_starts, more_counts, word, rows, arena, starts, words):
    """Add the counts of other words, from number `word` on; where it stopped, and the words known."""
    while word < len(more_counts):
        begin, end, times = more_starts[word], more_starts[word + 1], more_counts[word]
        first, last = first_bytes(more_arena, begin, end), last_bytes(more_arena, begin, end)
        hashed = hash_of(first, last, more_arena, begin, end)
        slot = find(more_arena, begin, end, first, last, hashed, rows, arena, starts)
        if rows[slot, WORD]:
            rows[slot, VALUE] += times
        elif has_room(rows, arena, starts, words, LONGEST_WORD):
            words = enter(more_arena, begin, end, first, last, slot, 0, times, rows, arena, starts, words)
        else:
            break
        word += 1
    return word, words


class WordTable:
    """A growing table of words and counts, filled by one thread."""

    def __init__(self) -> None:
        self.words = 0
        self.rows = np.zeros((1 << 14, 4), np.int64)
        self.arena, self.starts = np.zeros(1 << 18, np.uint8), np.zeros(1 << 13, np.int64)
        self.block = new_block()

    def count(self, text: NDArray[np.uint8], offsets: NDArray[np.int64], split: Rule) -> None:
        """Count the words of `text`, UTF-8, whose rows end at `offsets`, (rows + 1,)."""
        row, at, last = 0, int(offsets[0]), len(offsets) - 1
        while row < last:
            row, at, self.words = count_rows(
                text, offsets, row, at, last, character_classes(), SPLITS[split],
                self.rows, self.arena, self.starts, self.words, self.block,
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
        counts[(held[:, WORD] & NUMBER) - 1] = held[:, VALUE]
        return Words(self.arena[: self.starts[self.words]], self.starts[: self.words + 1], counts)

    def _grow(self) -> None:
        self.rows, self.arena, self.starts = rebuilt(self.rows, self.arena, self.starts, self.words, LONGEST_WORD)


def count_texts(chunks: Iterable[tuple[NDArray[np.uint8], NDArray[np.int64]]], split: Rule, threads: int) -> Words:
    """Words and their counts in texts that come in chunks, each UTF-8 and where its rows end in it, (rows + 1,).

    Each thread fills a table of its own, so memory is what `threads` tables and as many chunks take.
    """
    tables = [WordTable() for _ in range(threads)]
    free: SimpleQueue[WordTable] = SimpleQueue()
    for table in tables:
        free.put(table)

    def count(text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        table = free.get()
        try:
            table.count(text, offsets, split)
        finally:
            free.put(table)

    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[None]] = deque()
        for chunk in chunks:
            if len(running) > threads:  # one waits, so that no thread does
                running.popleft().result()
            running.append(pool.submit(count, *chunk))
        for job in running:
            job.result()
    for other in tables[1:]:
        tables[0].add(other.result())
    return tables[0].result()


def without(words: Words, part: bytes) -> Words:
    """The words, those that hold `part` counted zero times."""
    found = [match.start() for match in re.finditer(b"(?=" + re.escape(part) + b")", words.arena.tobytes())]
    place = np.array(found, np.int64)
    holder = np.searchsorted(words.starts, place, side="right") - 1
    inside = place + len(part) <= words.starts[holder + 1]
    counts = words.counts.copy()
    counts[holder[inside]] = 0
    return words._replace(counts=counts)
