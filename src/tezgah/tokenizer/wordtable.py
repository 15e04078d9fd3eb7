"""A hash table of words, each with a number and a value: for counting words, and for remembering their ids.

All that is known of a word lies in one row of 32 bytes, half a cache line, its first eight bytes
too, so that a word of up to eight is found by reading one line. Longer ones are compared where they
lie, one after another in an arena.
"""

import numpy as np

from tezgah.tokenizer.compiled import compiled, inlined
from tezgah.tokenizer.load import load, same

# columns of a row: the word's first eight bytes; its length << 32 | its number + 1 (0: nobody's row); its value
FIRST, WORD, VALUE = range(3)
HASH_PRIME = np.uint64(0x9E3779B97F4A7C15)
SHIFT, LOW_HALF = np.uint64(32), 0xFFFFFFFF


@inlined
def hash_of(first, text, begin, end):
    """A hash of `text[begin:end]`, whose first eight bytes are `first`."""
    h = (first ^ np.uint64(end - begin)) * HASH_PRIME
    h ^= h >> SHIFT
    while end - begin > 8:
        begin += 8
        h = (h ^ load(text, begin, min(8, end - begin))) * HASH_PRIME
        h ^= h >> SHIFT
    return np.int64(h >> np.uint64(1))


@inlined
def find(text, begin, end, first, hashed, rows, arena, starts):
    """The row of the word `text[begin:end]`, whose hash is `hashed`: its own, or the empty one where it belongs."""
    length, mask = end - begin, len(rows) - 1
    slot = hashed & mask
    while rows[slot, WORD]:
        if rows[slot, FIRST] == np.int64(first) and rows[slot, WORD] >> 32 == length:
            if length <= 8:
                return slot
            word = (rows[slot, WORD] & LOW_HALF) - 1
            if same(text, begin + 8, arena, starts[word] + 8, length - 8):
                return slot
        slot = (slot + 1) & mask
    return slot


@inlined
def enter(text, begin, end, first, slot, value, rows, arena, starts, words):
    """Give a new word the row `slot`; how many words there are now. There must be room."""
    start = starts[words]
    for k in range(end - begin):
        arena[start + k] = text[begin + k]
    starts[words + 1] = start + end - begin
    rows[slot, FIRST], rows[slot, WORD], rows[slot, VALUE] = np.int64(first), (end - begin) << 32 | (words + 1), value
    return words + 1


@inlined
def has_room(rows, arena, starts, words, bytes_more):
    """Whether one more word of at most `bytes_more` bytes has room."""
    return 2 * (words + 1) < len(rows) and words + 2 < len(starts) and starts[words] + bytes_more <= len(arena)


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
    if 2 * (words + 1) >= len(rows):
        larger = np.zeros((2 * len(rows), 4), np.int64)
        mask = len(larger) - 1
        for old in range(len(rows)):
            if rows[old, WORD]:
                begin = starts[(rows[old, WORD] & LOW_HALF) - 1]
                slot = hash_of(np.uint64(rows[old, FIRST]), arena, begin, begin + (rows[old, WORD] >> 32)) & mask
                while larger[slot, WORD]:
                    slot = (slot + 1) & mask
                larger[slot] = rows[old]
        rows = larger
    return rows, arena, starts
