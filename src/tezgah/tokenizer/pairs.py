"""A hash table of pairs of small numbers, as encoders look things up in: (slots, 2) of key and what it stands for."""

import numpy as np

from tezgah.compiled import inlined

KEY, HELD = 0, 1
NO_PAIR = np.int64(-1)  # the key of an empty slot
PAIR_PRIME = np.uint64(0x9E3779B97F4A7C15)
TWO, LOW = np.int64(32), np.int64(0xFFFFFFFF)  # a key is left << TWO | right


@inlined
def pair_slot(pairs, key):
    """Where `key` is, or the empty slot where it belongs."""
    mask = len(pairs) - 1
    slot = np.int64((np.uint64(key) * PAIR_PRIME) >> np.uint64(32)) & mask
    while pairs[slot, KEY] != key and pairs[slot, KEY] != NO_PAIR:
        slot = (slot + 1) & mask
    return slot
