"""Ids of texts by the merges of a BPE, or the tokens of a WordPiece: found once for a word, then looked up.

Merging takes most of a microsecond, looking up a tenth of it, and in ordinary text 99 words of a
hundred have been seen before. Ids of a word are the same however it is reached, so what a thread
remembers, and when it forgets, changes nothing but speed.
"""

from concurrent.futures import ThreadPoolExecutor
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.blocks import Block, fill, new_block
from tezgah.tokenizer.classes import character_classes
from tezgah.tokenizer.compiled import compiled, inlined, readonly
from tezgah.tokenizer.longest import longest_tokens
from tezgah.tokenizer.pairs import HELD, KEY, LOW, NO_PAIR, TWO, pair_slot
from tezgah.tokenizer.pretokenize import BERT, SPLITS
from tezgah.tokenizer.settings import Rule
from tezgah.tokenizer.wordtable import VALUE, WORD, enter, find, has_room, rebuilt, tag_of

LONGEST_WORD = 1 << 24  # bytes; a longer piece is cut, for merging needs about 40 bytes of memory for each of its own
REMEMBERED = 128  # bytes; longer words hardly come twice
SLOTS = 1 << 20  # of a full memory, 32 MB: three fifths of them are words
SHORT = 64  # bytes; up to here searching all pairs anew for every merge costs less than a heap
SHARE = 1 << 16  # bytes; a thread is not started for less

# A word's row has in its tag how many ids it has, and in its value these; of more than IN_ROW, or larger ones, the
# tag is IN_POOL more, and the value is where they begin in `pool`.
IN_ROW, IN_POOL, ID_BITS, ONE_ID = 3, 1 << 10, 21, (1 << 21) - 1
FAR = np.int64(1) << np.int64(62)  # the rank of a pair that is never merged


class Rules(NamedTuple):
    """What decides ids, for a BPE; for a WordPiece the two arrays of `longest.token_trees`."""

    ids: NDArray[np.int32]  # of every byte, (256,)
    pairs: NDArray[np.int64]  # a hash table of left << 32 | right → rank << 32 | id of the two, (slots, 2)


class Memory(NamedTuple):
    """The words a thread has met: the table of `wordtable.py`, and the ids of those with many."""

    rows: NDArray[np.int64]
    arena: NDArray[np.uint8]
    starts: NDArray[np.int64]
    pool: NDArray[np.int32]
    used: NDArray[np.int64]  # words, ids in the pool
    block: Block


@compiled
def enter_merges(pairs, merges):
    """Fill the hash table from merges, (merges, 3) of left, right, new; of equal pairs the last counts."""
    for rank in range(len(merges)):
        key = np.int64(merges[rank, 0]) << TWO | np.int64(merges[rank, 1])
        slot = pair_slot(pairs, key)
        pairs[slot, KEY], pairs[slot, HELD] = key, np.int64(rank) << TWO | np.int64(merges[rank, 2])


@inlined
def rank_of(pairs, left, right):
    """Rank << 32 | id of a pair, or FAR."""
    slot = pair_slot(pairs, np.int64(left) << TWO | np.int64(right))
    return pairs[slot, HELD] if pairs[slot, KEY] != NO_PAIR else FAR


@inlined
def merge_short(ids, begin, count, pairs, ranks):
    """Merge `count` ids from `begin` on in place, lowest rank first, leftmost of equals; how many are left."""
    for i in range(count - 1):
        ranks[i] = rank_of(pairs, ids[begin + i], ids[begin + i + 1])
    while count > 1:
        where, best = 0, FAR
        for i in range(count - 1):
            if ranks[i] < best:
                where, best = i, ranks[i]
        if best == FAR:
            break
        count -= 1
        ids[begin + where] = best & LOW
        for i in range(where + 1, count):
            ids[begin + i] = ids[begin + i + 1]
        for i in range(where, count - 1):
            ranks[i] = ranks[i + 1]
        if where < count - 1:
            ranks[where] = rank_of(pairs, ids[begin + where], ids[begin + where + 1])
        if where > 0:
            ranks[where - 1] = rank_of(pairs, ids[begin + where - 1], ids[begin + where])
    return count


@compiled
def merge_long(ids, begin, count, pairs):
    """The same with a heap of (rank, place): count × log(count), however long the word."""
    following, previous = np.arange(1, count + 1), np.arange(-1, count - 1)
    heap = [np.int64(0) for _ in range(0)]
    for k in range(count - 1):
        ranked = rank_of(pairs, ids[begin + k], ids[begin + k + 1])
        if ranked != FAR:
            heappush(heap, (ranked >> TWO) << TWO | k)
    while len(heap) > 0:
        top = heappop(heap)
        rank, i = top >> TWO, top & LOW
        j = following[i]
        if j >= count or ids[begin + i] < 0:
            continue
        ranked = rank_of(pairs, ids[begin + i], ids[begin + j])
        if ranked >> TWO != rank:  # one of the two has been merged since
            continue
        ids[begin + i], ids[begin + j] = ranked & LOW, -1
        after, before = following[j], previous[i]
        following[i] = after
        if after < count:
            previous[after] = i
            ranked = rank_of(pairs, ids[begin + i], ids[begin + after])
            if ranked != FAR:
                heappush(heap, (ranked >> TWO) << TWO | i)
        if before >= 0:
            ranked = rank_of(pairs, ids[begin + before], ids[begin + i])
            if ranked != FAR:
                heappush(heap, (ranked >> TWO) << TWO | before)
    left = 0
    for k in range(count):
        if ids[begin + k] >= 0:
            ids[begin + left] = ids[begin + k]
            left += 1
    return left


@compiled
def merge_word(text, begin, end, rules, ids, out, ranks):
    """Write the ids of the word `text[begin:end]` from `ids[out]` on; how many."""
    count = end - begin
    for k in range(count):
        ids[out + k] = rules.ids[text[begin + k]]
    if count <= SHORT:
        return merge_short(ids, out, count, rules.pairs, ranks)
    return merge_long(ids, out, count, rules.pairs)


@compiled
def word_ids(text, begin, end, rules, ids, out, ranks, split):
    """Write the ids of the word `text[begin:end]` from `ids[out]` on; how many. BERT's split is WordPiece's alone."""
    if len(split) == BERT:
        return longest_tokens(text, begin, end, rules, ids, out)
    return merge_word(text, begin, end, rules, ids, out, ranks)


@compiled
def merge_words(ids, words, pairs):
    """Merge words that are ids already, in place; (words, 3) of start, length and times as in `merge.Segments`."""
    ranks = np.empty(SHORT, np.int64)
    for word in range(len(words)):
        start, length = words[word, 0], words[word, 1]
        if length <= SHORT:
            words[word, 1] = merge_short(ids, start, length, pairs, ranks)
        else:
            words[word, 1] = merge_long(ids, start, length, pairs)


def pair_table(merges: NDArray[np.int32]) -> NDArray[np.int64]:
    """The hash table of merges, (merges, 3) of left, right and new id, lowest rank first."""
    pairs = np.full((1 << (2 * len(merges) + 2).bit_length(), 2), NO_PAIR, np.int64)
    enter_merges(pairs, merges)
    return pairs


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
    """Ids of UTF-8 text by rules, on several threads, without the interpreter lock."""

    def __init__(self, rules: Rules, split: Rule, threads: int) -> None:
        self.rules, self.split, self.threads = rules, split, threads
        self._memories: SimpleQueue[Memory] = SimpleQueue()
        for _ in range(threads):
            self._memories.put(_new_memory())

    def encode(
        self, text: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of rows `text[offsets[r]:offsets[r + 1]]` in one array, (tokens,), and where each row's end, (rows,)."""
        size_bytes = int(offsets[-1] - offsets[0])
        shares = min(self.threads, size_bytes // SHARE + 1)
        bounds = np.searchsorted(offsets, np.linspace(offsets[0], offsets[-1], shares + 1))
        bounds[0], bounds[-1] = 0, len(offsets) - 1
        parts = [offsets[bounds[k] : bounds[k + 1] + 1] for k in range(shares)]
        if shares == 1:
            return self._encode(text, parts[0])
        with ThreadPoolExecutor(shares) as pool:
            encoded = list(pool.map(lambda part: self._encode(text, part), parts))
        before = np.cumsum([0, *(len(ids) for ids, _ in encoded)])
        ends = [row_ends + start for (_, row_ends), start in zip(encoded, before, strict=False)]
        return np.concatenate([ids for ids, _ in encoded]), np.concatenate(ends)

    def _encode(
        self, text: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """One thread's share."""
        memory = self._memories.get()
        text, offsets, last = readonly(text), readonly(offsets), len(offsets) - 1
        ids = np.empty(int(offsets[-1] - offsets[0]) + IN_ROW, np.int32)
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
        finally:
            self._memories.put(memory)
        return ids[:out], row_ends


def _new_memory() -> Memory:
    """An empty memory, a quarter of a megabyte."""
    return Memory(
        np.zeros((1 << 12, 4), np.int64), np.zeros(1 << 16, np.uint8), np.zeros(1 << 11, np.int64),
        np.zeros(1 << 13, np.int32), np.zeros(2, np.int64), new_block(),
    )  # fmt: skip


def _larger(memory: Memory) -> Memory:
    """The memory with more room; an empty one where it was as large as it may be."""
    if len(memory.rows) >= SLOTS and not has_room(memory.rows, memory.arena, memory.starts, memory.used[0], REMEMBERED):
        return _new_memory()
    rows, arena, starts = rebuilt(memory.rows, memory.arena, memory.starts, memory.used[0], REMEMBERED)
    pool = memory.pool
    if memory.used[1] + REMEMBERED > len(pool):
        pool = np.concatenate([pool, np.zeros_like(pool)])
    return memory._replace(rows=rows, arena=arena, starts=starts, pool=pool)
