"""A hash table of words, each with a number and a value: for counting words, and for remembering their ids.

All that is known of a word lies in one row of 32 bytes, half a cache line: its first and its last
eight bytes and its length too, which are all of a word of up to sixteen. Of longer ones the middle is
compared where it lies, one word after another in an arena.
"""

import numpy as np

from tezgah.compiled import compiled, inlined
from tezgah.tokenizer.load import load, same

# columns of a row: the first and the last eight bytes; length << 48 | tag << 32 | number + 1, 0 in nobody's row; value
FIRST, LAST, WORD, VALUE = range(4)
LENGTH_SHIFT, TAG_SHIFT, TAG, NUMBER = 48, 32, 0xFFFF, 0xFFFFFFFF
HASH_PRIME = np.uint64(0x9E3779B97F4A7C15)
HALF, ONE = np.uint64(32), np.uint64(1)


@inlined
def first_bytes(text, begin, end):
    """The first eight bytes of a word, or all of a shorter one, as one number."""
    return load(text, begin, min(8, end - begin))


@inlined
def last_bytes(text, begin, end):
    """The last eight bytes of a word, or all of a shorter one."""
    return load(text, max(begin, end - 8), min(8, end - begin))


@inlined
def hash_of(first, last, text, begin, end):
    """A hash of `text[begin:end]`."""
    h = (first ^ np.uint64(end - begin)) * HASH_PRIME
    h = (h ^ (h >> HALF) ^ last) * HASH_PRIME
    while end - begin > 16:
        begin += 8
        h = (h ^ (h >> HALF) ^ load(text, begin, 8)) * HASH_PRIME
    return np.int64((h ^ (h >> HALF)) >> ONE)


@inlined
def find(text, begin, end, first, last, hashed, rows, arena, starts):
    """The row of the word `text[begin:end]`, or the empty one where it belongs.

    97 words of 100 are short ones in the first row looked at. One branch tells them from the rest, so
    the processor is already at the next words while it waits for a row: 5 ns a word, 24 without.
    """
    length, slot = end - begin, hashed & (len(rows) - 1)
    is_here = (rows[slot, FIRST] == np.int64(first)) & (rows[slot, LAST] == np.int64(last))
    if is_here & (rows[slot, WORD] >> LENGTH_SHIFT == length) & (length <= 16):
        return slot
    return find_further(text, begin, end, first, last, slot, rows, arena, starts)


@compiled
def find_further(text, begin, end, first, last, slot, rows, arena, starts):
    """The same, looked for from the row `slot` on."""
    length, mask = end - begin, len(rows) - 1
    while rows[slot, WORD]:
        if (
            rows[slot, FIRST] == np.int64(first)
            and rows[slot, LAST] == np.int64(last)
            and rows[slot, WORD] >> LENGTH_SHIFT == length
            and (length <= 16 or same(text, begin + 8, arena, starts[number_of(rows, slot)] + 8, length - 16))
        ):
            break
        slot = (slot + 1) & mask
    return slot


@inlined
def number_of(rows, slot):
    """The number of the word in a row."""
    return (rows[slot, WORD] & NUMBER) - 1


@inlined
def tag_of(rows, slot):
    """The small number that was kept with the word in a row."""
    return (rows[slot, WORD] >> TAG_SHIFT) & TAG


@compiled
def enter(text, begin, end, first, last, slot, tag, value, rows, arena, starts, words):
    """Give a new word the row `slot`; how many words there are now. There must be room."""
    start = starts[words]
    for k in range(end - begin):
        arena[start + k] = text[begin + k]
    starts[words + 1] = start + end - begin
    rows[slot, FIRST], rows[slot, LAST] = np.int64(first), np.int64(last)
    rows[slot, WORD] = (end - begin) << LENGTH_SHIFT | tag << TAG_SHIFT | (words + 1)
    rows[slot, VALUE] = value
    return words + 1


@inlined
def has_room(rows, arena, starts, words, bytes_more):
    """Whether one more word of at most `bytes_more` bytes has room."""
    return 5 * (words + 1) < 3 * len(rows) and words + 2 < len(starts) and starts[words] + bytes_more <= len(arena)


@compiled
def rebuilt(rows, arena, starts, words, bytes_more):
    """The same table with twice the room wherever `has_room` fails."""
    if starts[words] + bytes_more > len(arena):
        wider = np.zeros(2 * (len(arena) + bytes_more), np.uint8)
        wider[: starts[words]] = arena[: starts[words]]
        arena = wider
    if words + 2 >= len(starts):
        more_starts = np.zeros(2 * len(starts), np.int64)
        more_starts[: words + 1] = starts[: words + 1]
        starts = more_starts
    if 5 * (words + 1) >= 3 * len(rows):
        larger = np.zeros((2 * len(rows), 4), np.int64)
        mask = len(larger) - 1
        for old in range(len(rows)):
            if rows[old, WORD]:
                begin = starts[number_of(rows, old)]
                end = begin + (rows[old, WORD] >> LENGTH_SHIFT)
                first, last = np.uint64(rows[old, FIRST]), np.uint64(rows[old, LAST])
                slot = hash_of(first, last, arena, begin, end) & mask
                while larger[slot, WORD]:
                    slot = (slot + 1) & mask
                larger[slot] = rows[old]
        rows = larger
    return rows, arena, starts
