"""The longest token that fits, again and again, from a word's beginning to its end: how WordPiece encodes.

The tokens lie in two trees of bytes, one of those that begin a word and one of those that go on in
it: a word is walked down a tree, and the last token passed is the longest.
"""

import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled
from tezgah.tokenizer.pairs import HELD, KEY, NO_PAIR, TWO, pair_slot

# Roots of the trees. No token is empty, so the first root's place among the nodes' ids holds the unknown token's.
BEGINNING, CONTINUING = 0, 1
NO_TOKEN = np.int32(-1)
LONGEST_WORD = 100  # characters; a longer word is unknown, as in BERT


@compiled
def longest_tokens(text, begin, end, rules, ids, out):
    """Write the ids of the word `text[begin:end]` from `ids[out]` on; how many.

    The unknown token alone where the tokens do not make up the word, or it has more than LONGEST_WORD characters.
    """
    characters = 0
    for k in range(begin, end):
        characters += text[k] & 0xC0 != 0x80
    count, root = 0, BEGINNING
    while begin < end and characters <= LONGEST_WORD:
        node, found, after = np.int64(root), NO_TOKEN, begin
        for k in range(begin, end):
            slot = pair_slot(rules.pairs, node << TWO | np.int64(text[k]))
            if rules.pairs[slot, KEY] == NO_PAIR:
                break
            node = rules.pairs[slot, HELD]
            if rules.ids[node] != NO_TOKEN:
                found, after = rules.ids[node], k + 1
        if found == NO_TOKEN:
            break
        ids[out + count] = found
        count, begin, root = count + 1, after, CONTINUING
    if begin < end:
        ids[out] = rules.ids[BEGINNING]
        return 1
    return count


@compiled
def enter_tokens(arena, starts, roots, pairs, node_ids):
    """Fill the trees with tokens `arena[starts[t]:starts[t + 1]]`, each under its root, the first with id 0."""
    nodes = 2
    for token in range(len(roots)):
        node = np.int64(roots[token])
        for k in range(starts[token], starts[token + 1]):
            key = node << TWO | np.int64(arena[k])
            slot = pair_slot(pairs, key)
            if pairs[slot, KEY] == NO_PAIR:
                pairs[slot, KEY], pairs[slot, HELD] = key, nodes
                nodes += 1
            node = pairs[slot, HELD]
        if starts[token] < starts[token + 1]:
            node_ids[node] = token


def token_trees(vocab: dict[str, int], mark: str, unknown: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The token id of every node, (nodes,), and a hash table of node << 32 | byte → node below."""
    tokens, roots = [b""] * (max(vocab.values()) + 1), np.full(max(vocab.values()) + 1, BEGINNING)
    for name, token_id in vocab.items():
        tokens[token_id] = name.removeprefix(mark).encode()
        roots[token_id] = CONTINUING if name.startswith(mark) else BEGINNING
    starts = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    node_ids = np.full(2 + starts[-1], NO_TOKEN, np.int32)
    pairs = np.full((1 << int(2 * starts[-1] + 2).bit_length(), 2), NO_PAIR, np.int64)
    enter_tokens(np.frombuffer(b"".join(tokens), np.uint8), starts, roots, pairs, node_ids)
    node_ids[BEGINNING] = vocab[unknown]
    return node_ids, pairs
