"""Tokens as bytes, found by their bytes: how a merge sees that what it makes is a token already."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled, inlined

NOTHING = -1
TOKENS = 4  # where `used`, the counters of `merge.py`, says how many tokens there are


class Tokens(NamedTuple):
    """Tokens as bytes; token `t` is `arena[starts[t]:starts[t + 1]]`, `slots` find one by its bytes."""

    arena: NDArray[np.uint8]
    starts: NDArray[np.int64]
    symbols: NDArray[np.int32]  # how many first symbols each is made of
    slots: NDArray[np.int32]


@compiled
def longer(array, filled, value):
    """An array of twice the length with the first `filled` elements of `array`, the rest `value`."""
    larger = np.full(2 * len(array), value, array.dtype)
    larger[:filled] = array[:filled]
    return larger


@compiled
def token_of(tokens, used, left, right, mark):
    """The id of `left` and `right` as one token, and the tokens, with it in if it is new.

    The first `mark` bytes of `right`, which say that it goes on a word (WordPiece's ##), are not in the token.
    """
    a, b = tokens.starts[left], tokens.starts[left + 1]
    c, d = tokens.starts[right] + mark, tokens.starts[right + 1]
    length, new = b - a + d - c, used[TOKENS]
    start = tokens.starts[new]
    arena, starts, symbols, slots = tokens.arena, tokens.starts, tokens.symbols, tokens.slots
    while start + length > len(arena):
        arena = longer(arena, start, 0)
    arena[start : start + b - a] = arena[a:b]
    arena[start + b - a : start + length] = arena[c:d]
    slot = token_slot(arena, starts, slots, start, length)
    if slots[slot] != NOTHING:
        return slots[slot], Tokens(arena, starts, symbols, slots)
    if new + 2 > len(starts):
        starts, symbols = longer(starts, new + 1, 0), longer(symbols, new, 0)
    slots[slot], starts[new + 1], symbols[new] = new, start + length, symbols[left] + symbols[right]
    used[TOKENS] += 1
    if 2 * used[TOKENS] > len(slots):
        slots = np.full(2 * len(slots), NOTHING, np.int32)
        for token in range(used[TOKENS]):
            begin = starts[token]
            slots[token_slot(arena, starts, slots, begin, starts[token + 1] - begin)] = token
    return new, Tokens(arena, starts, symbols, slots)


@compiled
def enter_tokens(tokens, count):
    """Make the first `count` tokens findable by their bytes; empty ones are not."""
    for token in range(count):
        start, end = tokens.starts[token], tokens.starts[token + 1]
        if start < end:
            slot = token_slot(tokens.arena, tokens.starts, tokens.slots, start, end - start)
            tokens.slots[slot] = token


@inlined
def token_slot(arena, starts, slots, start, length):
    """The slot of the token of these bytes, or the empty one where it belongs."""
    mask, slot = len(slots) - 1, np.int64(length)
    for k in range(start, start + length):
        slot = (slot * 1_000_003 + arena[k]) & 0xFFFFFFFFFFFF
    slot = (slot ^ (slot >> 20)) & mask
    while slots[slot] != NOTHING:
        held = slots[slot]
        if starts[held + 1] - starts[held] == length:
            k = 0
            while k < length and arena[starts[held] + k] == arena[start + k]:
                k += 1
            if k == length:
                break
        slot = (slot + 1) & mask
    return slot
