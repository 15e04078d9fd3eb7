"""How often each word occurs: a hash table of words, filled without making a Python object a word.

The loop stops where a table is full and is called again with a larger one, so that all allocation
is Python's.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled, readonly
from tezgah.tokenizer.blocks import fill, new_block
from tezgah.tokenizer.classes import character_classes
from tezgah.tokenizer.pretokenize import SPLITS
from tezgah.tokenizer.settings import Rule
from tezgah.tokenizer.texts import Chunk
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
LONGEST_WORD = 4_096  # bytes; docs/formats.md promises it


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
        count, row_after, after = fill(block, text, offsets, row, at, last_row, classes, split, LONGEST_WORD, rows)
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
    """A growing table of words and counts, filled by one thread; `documents` are the rows counted."""

    def __init__(self) -> None:
        self.block = new_block()
        self._clear()

    def _clear(self) -> None:
        self.words = self.documents = 0
        self.rows = np.zeros((1 << 14, 4), np.int64)
        self.arena, self.starts = np.zeros(1 << 18, np.uint8), np.zeros(1 << 13, np.int64)

    def count(self, text: NDArray[np.uint8], offsets: NDArray[np.int64], split: Rule) -> None:
        """Count the words of `text`, UTF-8, whose rows end at `offsets`, (rows + 1,)."""
        row, at, last = 0, int(offsets[0]), len(offsets) - 1
        text, offsets = readonly(text), readonly(offsets)
        while row < last:
            row, at, self.words = count_rows(
                text, offsets, row, at, last, character_classes(), SPLITS[split],
                self.rows, self.arena, self.starts, self.words, self.block,
            )  # fmt: skip
            if row < last:
                self._grow()
        self.documents += last

    def add(self, more: Words) -> None:
        """Add the counts of other words."""
        word = 0
        more = Words(readonly(more.arena), readonly(more.starts), readonly(more.counts))
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

    def empty_into(self, other: "WordTable") -> None:
        """Hand all that was counted to another table."""
        other.add(self.result())
        other.documents += self.documents
        self._clear()

    def _grow(self) -> None:
        self.rows, self.arena, self.starts = rebuilt(self.rows, self.arena, self.starts, self.words, LONGEST_WORD)


class WordCounter:
    """Counts words by `split` on several threads while its block runs.

    Each thread fills a table of its own, so memory is what `threads` tables and as many chunks take.
    Chunks are begun in the order they come in, and one that was begun is counted to its end.
    """

    def __init__(self, split: Rule, threads: int) -> None:
        self._split, self._threads = split, threads
        self._tables = [WordTable() for _ in range(threads)]
        self._free: SimpleQueue[WordTable] = SimpleQueue()
        for table in self._tables:
            self._free.put(table)
        self._pool = ThreadPoolExecutor(threads)
        self._running: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    def close(self) -> tuple[Words, int]:
        """Count what was added to its end, as `settle` does; no more can be added."""
        self._pool.shutdown()
        return self._merged()

    def start_from(self, words: Words, documents: int) -> None:
        """Go on from words of so many documents, counted before."""
        self._tables[0].add(words)
        self._tables[0].documents += documents

    def add(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Count a chunk, soon: row r is `text[offsets[r]:offsets[r + 1]]`, valid UTF-8."""
        if len(self._running) > self._threads:  # one waits, so that no thread does
            self._running.popleft().result()
        self._running.append(self._pool.submit(self._count, text, offsets))

    def settle(self) -> tuple[Words, int]:
        """The words of all that was added, and of how many documents."""
        while self._running:
            self._running.popleft().result()
        return self._pool.submit(self._merged).result()  # where Ctrl-C does not reach it

    def _merged(self) -> tuple[Words, int]:
        first = self._tables[0]
        for other in self._tables[1:]:
            other.empty_into(first)
        return first.result(), first.documents

    def _count(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        table = self._free.get()
        try:
            table.count(text, offsets, self._split)
        finally:
            self._free.put(table)


def count_texts(chunks: Iterable[Chunk], split: Rule, threads: int) -> Words:
    """Words and their counts in texts that come in chunks, each UTF-8 and where its rows end in it, (rows + 1,)."""
    with WordCounter(split, threads) as counter:
        for chunk in chunks:
            counter.add(*chunk)
        return counter.settle()[0]


def without(words: Words, part: bytes) -> Words:
    """The words, those that hold `part` counted zero times."""
    place = np.fromiter(_places(words.arena.tobytes(), part), np.int64)
    holder = np.searchsorted(words.starts, place, side="right") - 1
    inside = place + len(part) <= words.starts[holder + 1]
    counts = words.counts.copy()
    counts[holder[inside]] = 0
    return words._replace(counts=counts)


def _places(text: bytes, part: bytes) -> Iterator[int]:
    """Where `part` begins in `text`, overlapping ones too."""
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)
