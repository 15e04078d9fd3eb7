"""Learning merges (Sennrich et al. 2016): the most frequent pair of neighbours becomes a token, again and again.

The rules are those of Hugging Face `tokenizers`, so that merges and ids are equal: the highest
count first, ties to the smaller (left id, right id); a merged token whose bytes are a token already
takes that token's id. Counts are int64.

A step touches the words that hold the merged pair and nothing else. Every pair has a count in a
hash table; a heap holds (count, pair, words) as they were when the pair last grew, and an entry
whose count has fallen since is put back with the count of today. Counts only fall once a pair has
come to be, so what is on top with today's count is the most frequent pair there is.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled, inlined
from tezgah.tokenizer.pairs import KEY, pair_slot
from tezgah.tokenizer.tokentable import NOTHING, TOKENS, longer, token_of


class Segments(NamedTuple):
    """Words as ids, rewritten in place; word `w` is the `words[w, LENGTH]` ids from `words[w, START]` on."""

    ids: NDArray[np.int32]
    words: NDArray[np.int64]  # (words, 3): what is known of a word lies in one cache line


START, LENGTH, TIMES = range(3)


# A hash table of pairs, (slots, 4): all that is known of a pair lies in one cache line. The columns are
# left << 32 | right (or NOTHING), its count, the step it last grew in, the newest node of the words it grew in.
COUNT, GREW, LIST = range(1, 4)
Pairs = NDArray[np.int64]


class Heap(NamedTuple):
    """A binary heap, and the linked lists of words its entries point to."""

    counts: NDArray[np.int64]
    keys: NDArray[np.int64]
    lists: NDArray[np.int32]
    node_words: NDArray[np.int32]
    node_next: NDArray[np.int32]


# places of the counters in `used`
# (TOKENS, 4, is that of the tokens)
PAIRS, ENTRIES, NODES, FREE_NODE, _, STEP, MERGES, TOUCHED = range(8)


@compiled
def with_room(pairs, heap, touched, used, more):
    """The tables, larger where there is no room for `more` new pairs and nodes and as many that grow."""
    if lacks_pairs(pairs, used, more):
        size = len(pairs)
        while 2 * (used[PAIRS] + more) >= size:
            size *= 2
        larger = np.full((size, 4), NOTHING, np.int64)
        for old in range(len(pairs)):
            if pairs[old, KEY] != NOTHING:
                larger[pair_slot(larger, pairs[old, KEY])] = pairs[old]
        pairs = larger
    words, following = heap.node_words, heap.node_next
    while used[NODES] + more >= len(words):
        words, following = longer(words, used[NODES], 0), longer(following, used[NODES], 0)
    while used[TOUCHED] + more >= len(touched):
        touched = longer(touched, used[TOUCHED], 0)
    return pairs, Heap(heap.counts, heap.keys, heap.lists, words, following), touched


@inlined
def lacks_pairs(pairs, used, more):
    """Whether the hash table would be more than half full with `more` pairs."""
    return 2 * (used[PAIRS] + more) >= len(pairs)


@inlined
def lacks_room(pairs, heap, touched, used, more):
    """Whether `with_room` would change anything."""
    lacks_nodes = used[NODES] + more >= len(heap.node_words)
    return lacks_pairs(pairs, used, more) | lacks_nodes | (used[TOUCHED] + more >= len(touched))


@inlined
def grow_pair(pairs, heap, touched, used, key, times, word):
    """Count a pair `times` more, and remember that it grew in `word`."""
    slot = pair_slot(pairs, key)
    if pairs[slot, KEY] == NOTHING:
        pairs[slot, KEY], pairs[slot, COUNT] = key, 0
        used[PAIRS] += 1
    pairs[slot, COUNT] += times
    if pairs[slot, GREW] != used[STEP]:
        pairs[slot, GREW], pairs[slot, LIST] = used[STEP], NOTHING
        touched[used[TOUCHED]] = key
        used[TOUCHED] += 1
    newest = pairs[slot, LIST]
    if newest != NOTHING and heap.node_words[newest] == word:
        return
    node = used[FREE_NODE]
    if node == NOTHING:
        node = used[NODES]
        used[NODES] += 1
    else:
        used[FREE_NODE] = heap.node_next[node]
    heap.node_words[node], heap.node_next[node] = word, newest
    pairs[slot, LIST] = node


@inlined
def shrink_pair(pairs, used, key, times):
    """Count a pair `times` less."""
    slot = pair_slot(pairs, key)
    if pairs[slot, KEY] == NOTHING:  # a pair too long to be counted when it came to be
        pairs[slot, KEY], pairs[slot, COUNT] = key, 0
        used[PAIRS] += 1
    pairs[slot, COUNT] -= times


@inlined
def before(count, key, other_count, other_key):
    """Whether a pair is merged before another."""
    return count > other_count or (count == other_count and key < other_key)


@inlined
def push(heap, used, count, key, words):
    """Add an entry, for which there must be room."""
    at = used[ENTRIES]
    used[ENTRIES] += 1
    while at:
        parent = (at - 1) >> 1
        if not before(count, key, heap.counts[parent], heap.keys[parent]):
            break
        heap.counts[at], heap.keys[at], heap.lists[at] = heap.counts[parent], heap.keys[parent], heap.lists[parent]
        at = parent
    heap.counts[at], heap.keys[at], heap.lists[at] = count, key, words


@inlined
def replace_top(heap, size, count, key, words):
    """Put an entry in the place of the first, and down to where it belongs among the first `size`."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and before(heap.counts[right], heap.keys[right], heap.counts[child], heap.keys[child]):
            child = right
        if not before(heap.counts[child], heap.keys[child], count, key):
            break
        heap.counts[at], heap.keys[at], heap.lists[at] = heap.counts[child], heap.keys[child], heap.lists[child]
        at = child
    heap.counts[at], heap.keys[at], heap.lists[at] = count, key, words


@inlined
def drop_top(heap, used):
    """Take the first entry away."""
    last = used[ENTRIES] - 1
    used[ENTRIES] = last
    replace_top(heap, last, heap.counts[last], heap.keys[last], heap.lists[last])


@inlined
def rewrite(segments, word, left, right, new, pairs, heap, touched, used, symbols, max_symbols):
    """Merge `left` and `right` into `new` in a word, left to right, and count its pairs anew."""
    ids, times, begin = segments.ids, segments.words[word, TIMES], segments.words[word, START]
    end = begin + segments.words[word, LENGTH]
    i = begin
    while i + 1 < end and not (ids[i] == left and ids[i + 1] == right):
        i += 1
    out = i
    while i < end:
        if not (ids[i] == left and i + 1 < end and ids[i + 1] == right):
            ids[out] = ids[i]
            i, out = i + 1, out + 1
            continue
        if out > begin:
            previous = np.int64(ids[out - 1])
            shrink_pair(pairs, used, previous << 32 | left, times)
            if symbols[previous] + symbols[new] < max_symbols:
                grow_pair(pairs, heap, touched, used, previous << 32 | new, times, word)
        i += 2
        if i < end:
            following = np.int64(ids[i])
            shrink_pair(pairs, used, np.int64(right) << 32 | following, times)
            if symbols[following] + symbols[new] < max_symbols:
                grow_pair(pairs, heap, touched, used, np.int64(new) << 32 | following, times, word)
        ids[out] = new
        out += 1
    segments.words[word, LENGTH] = out - begin


@compiled
def push_touched(pairs, heap, touched, used):
    """Enter the pairs that grew in this step; returns the heap, larger if need be."""
    counts, keys, lists = heap.counts, heap.keys, heap.lists
    while used[ENTRIES] + used[TOUCHED] > len(counts):
        counts, keys = longer(counts, used[ENTRIES], 0), longer(keys, used[ENTRIES], 0)
        lists = longer(lists, used[ENTRIES], 0)
    heap = Heap(counts, keys, lists, heap.node_words, heap.node_next)
    for k in range(used[TOUCHED]):
        slot = pair_slot(pairs, touched[k])
        if pairs[slot, COUNT] > 0:
            push(heap, used, pairs[slot, COUNT], touched[k], pairs[slot, LIST])
    used[TOUCHED] = 0
    return heap


@compiled
def first_pairs(segments, pairs, heap, used):
    """Count every pair of neighbours in the segments; returns the tables, larger."""
    touched = np.zeros(1 << 16, np.int64)
    used[STEP] = 0
    for word in range(len(segments.words)):
        begin, length = segments.words[word, START], segments.words[word, LENGTH]
        if lacks_room(pairs, heap, touched, used, length):
            pairs, heap, touched = with_room(pairs, heap, touched, used, length)
        for i in range(begin, begin + length - 1):
            key = np.int64(segments.ids[i]) << 32 | np.int64(segments.ids[i + 1])
            grow_pair(pairs, heap, touched, used, key, segments.words[word, TIMES], word)
    return pairs, push_touched(pairs, heap, touched, used)


@compiled
def learn(segments, pairs, heap, tokens, used, merges, token_limit, merge_limit, min_count, max_symbols, mark):
    """Merge until there are `token_limit` tokens or `merge_limit` merges, or no pair reaches `min_count`.

    Writes (left, right, new) into `merges`, (merges, 3). Returns the tables and whether pairs are left.
    """
    touched = np.zeros(1 << 12, np.int64)
    while used[TOKENS] < token_limit and used[MERGES] < merge_limit:
        if used[ENTRIES] == 0:
            return pairs, heap, tokens, False
        count, key, node = heap.counts[0], heap.keys[0], heap.lists[0]
        today = pairs[pair_slot(pairs, key), COUNT]
        if today != count:
            if today > 0:
                replace_top(heap, used[ENTRIES], today, key, node)
            else:
                drop_top(heap, used)
            continue
        if count < min_count:
            return pairs, heap, tokens, False
        drop_top(heap, used)
        left, right = np.int32(key >> 32), np.int32(key & 0xFFFFFFFF)
        new, tokens = token_of(tokens, used, left, right, mark)
        merges[used[MERGES], 0], merges[used[MERGES], 1], merges[used[MERGES], 2] = left, right, new
        used[MERGES] += 1
        used[STEP] += 1
        while node != NOTHING:
            word, following = heap.node_words[node], heap.node_next[node]
            heap.node_next[node] = used[FREE_NODE]
            used[FREE_NODE] = node
            length = segments.words[word, LENGTH]
            if lacks_room(pairs, heap, touched, used, 2 * length):
                pairs, heap, touched = with_room(pairs, heap, touched, used, 2 * length)
            rewrite(segments, word, left, right, new, pairs, heap, touched, used, tokens.symbols, max_symbols)
            node = following
        heap = push_touched(pairs, heap, touched, used)
    return pairs, heap, tokens, True
