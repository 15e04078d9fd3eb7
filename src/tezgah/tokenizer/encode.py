"""Ids of texts by the merges of a BPE, or the tokens of a WordPiece: found once for a word, then looked up.

Merging takes most of a microsecond, looking up a tenth of it, and in ordinary text 99 words of a
hundred have been seen before. Ids of a word are the same however it is reached, so what a thread
remembers, and when it forgets, changes nothing but speed.
"""

from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled, inlined, readonly
from tezgah.tokenizer.blocks import Block, fill, new_block
from tezgah.tokenizer.classes import character_classes
from tezgah.tokenizer.pretokenize import SPLITS
from tezgah.tokenizer.rows import Rows
from tezgah.tokenizer.settings import Rule
from tezgah.tokenizer.texts import CHUNK_BYTES
from tezgah.tokenizer.word_ids import SHORT, Rules, word_ids
from tezgah.tokenizer.wordtable import VALUE, WORD, enter, find, has_room, rebuilt, tag_of

LONGEST_WORD = 1 << 24  # bytes; a longer piece is cut, for merging needs about 40 bytes of memory for each of its own
REMEMBERED = 128  # bytes; longer words hardly come twice
SLOTS = 1 << 20  # of a full memory, 32 MB: three fifths of them are words

# A word's row has in its tag how many ids it has, and in its value these; of more than IN_ROW, or larger ones, the
# tag is IN_POOL more, and the value is where they begin in `pool`.
IN_ROW, IN_POOL, ID_BITS, ONE_ID = 3, 1 << 10, 21, (1 << 21) - 1


class Memory(NamedTuple):
    """The words a thread has met: the table of `wordtable.py`, and the ids of those with many. Its place to work in."""

    rows: NDArray[np.int64]
    arena: NDArray[np.uint8]
    starts: NDArray[np.int64]
    pool: NDArray[np.int32]
    used: NDArray[np.int64]  # words, ids in the pool
    block: Block
    ids: NDArray[np.int32]  # of one chunk


@inlined
def remember(memory, slot, text, begin, end, first, last, ids, out, count):
    """Keep the ids of a new word."""
    used = memory.used
    value, highest = np.int64(0), np.int32(0)
    for k in range(min(count, IN_ROW)):
        value |= np.int64(ids[out + k]) << k * ID_BITS
        highest = max(highest, ids[out + k])
    tag = count
    if count > IN_ROW or highest > ONE_ID:
        tag, value = IN_POOL + count, used[1]
        for k in range(count):
            memory.pool[value + k] = ids[out + k]
        used[1] += count
    rows, arena, starts = memory.rows, memory.arena, memory.starts
    used[0] = enter(text, begin, end, first, last, slot, tag, value, rows, arena, starts, used[0])


@compiled
def encode_rows(text, offsets, row, at, last_row, classes, split, rules, memory, ids, row_ends, out):
    """Write the ids of rows `row` (from byte `at`) to `last_row` from `ids[out]` on; where it stopped.

    Row `r` is `text[offsets[r]:offsets[r + 1]]`, its ids end at `row_ends[r]`. Stops at `last_row`, or
    earlier where the memory is full. `ids` has a place for every byte, and IN_ROW more.
    """
    ranks = np.empty(SHORT, np.int64)
    block = memory.block
    while row < last_row:
        words, row_after, after = fill(
            block, text, offsets, row, at, last_row, classes, split, LONGEST_WORD, memory.rows
        )
        for k in range(words):
            begin, end = block.begins[k], block.ends[k]
            while row < block.rows[k]:
                row_ends[row] = out
                row += 1
            if end - begin > REMEMBERED:
                out += word_ids(text, begin, end, rules, ids, out, ranks, split)
                continue
            first, last = block.firsts[k], block.lasts[k]
            slot = find(text, begin, end, first, last, block.hashes[k], memory.rows, memory.arena, memory.starts)
            if memory.rows[slot, WORD]:
                count, value = tag_of(memory.rows, slot), memory.rows[slot, VALUE]
                if count <= IN_ROW:
                    ids[out], ids[out + 1], ids[out + 2] = (
                        value & ONE_ID,
                        value >> ID_BITS & ONE_ID,
                        value >> 2 * ID_BITS,
                    )
                else:
                    count -= IN_POOL
                    for n in range(count):
                        ids[out + n] = memory.pool[value + n]
                out += count
                continue
            has_ids_room = memory.used[1] + REMEMBERED <= len(memory.pool)
            if not (has_ids_room and has_room(memory.rows, memory.arena, memory.starts, memory.used[0], REMEMBERED)):
                return row, begin, out
            count = word_ids(text, begin, end, rules, ids, out, ranks, split)
            remember(memory, slot, text, begin, end, first, last, ids, out, count)
            out += count
        while row < row_after:
            row_ends[row] = out
            row += 1
        at = after
    return row, at, out


class WordEncoder:
    """Ids of UTF-8 text by rules, without the interpreter lock: as many callers at once as `threads`, others wait."""

    def __init__(self, rules: Rules, split: Rule, threads: int) -> None:
        self.rules, self.split = rules, split
        self._memories: SimpleQueue[Memory] = SimpleQueue()
        for _ in range(threads):
            self._memories.put(_new_memory())

    def encode(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Rows:
        """Ids of rows `text[offsets[r]:offsets[r + 1]]` in one array, (tokens,), and where each row's end, (rows,)."""
        memory = self._memories.get()
        text, offsets, last = readonly(text), readonly(offsets), len(offsets) - 1
        room = int(offsets[-1] - offsets[0]) + IN_ROW
        ids = memory.ids if room <= len(memory.ids) else np.empty(room, np.int32)
        row_ends = np.empty(last, np.int64)
        row, at, out = 0, int(offsets[0]), 0
        classes, split = character_classes(), SPLITS[self.split]
        try:
            while row < last:
                row, at, out = encode_rows(
                    text, offsets, row, at, last, classes, split, self.rules, memory, ids, row_ends, out
                )
                if row < last:
                    memory = _larger(memory)
            return ids[:out].copy(), row_ends
        finally:
            self._memories.put(memory)


def _new_memory() -> Memory:
    """An empty memory: a quarter of a megabyte, and two for the ids of a chunk."""
    return Memory(
        np.zeros((1 << 12, 4), np.int64), np.zeros(1 << 16, np.uint8), np.zeros(1 << 11, np.int64),
        np.zeros(1 << 13, np.int32), np.zeros(2, np.int64), new_block(), np.empty(CHUNK_BYTES + IN_ROW, np.int32),
    )  # fmt: skip


def _larger(memory: Memory) -> Memory:
    """The memory with more room; an empty one where it was as large as it may be."""
    if 5 * (memory.used[0] + 1) >= 3 * SLOTS:
        return _new_memory()
    rows, arena, starts = rebuilt(memory.rows, memory.arena, memory.starts, memory.used[0], REMEMBERED)
    pool = memory.pool
    if memory.used[1] + REMEMBERED > len(pool):
        pool = np.concatenate([pool, np.zeros_like(pool)])
    return memory._replace(rows=rows, arena=arena, starts=starts, pool=pool)
