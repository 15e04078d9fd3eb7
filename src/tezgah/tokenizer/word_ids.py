"""Ids of one word, by the merges of a BPE or the tokens of a WordPiece."""

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled, inlined
from tezgah.tokenizer.longest import longest_tokens
from tezgah.tokenizer.pairs import HELD, KEY, LOW, NO_PAIR, TWO, pair_slot
from tezgah.tokenizer.pretokenize import BERT

SHORT = 64  # bytes; up to here searching all pairs anew for every merge costs less than a heap
FAR = np.int64(1) << np.int64(62)  # the rank of a pair that is never merged


class Rules(NamedTuple):
    """What decides ids, for a BPE; for a WordPiece the two arrays of `longest.token_trees`."""

    ids: NDArray[np.int32]  # of every byte, (256,)
    pairs: NDArray[np.int64]  # a hash table of left << 32 | right → rank << 32 | id of the two, (slots, 2)


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
