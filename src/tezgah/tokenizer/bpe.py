"""Training a BPE (Sennrich et al. 2016) on counted words, from nothing or on from merges that are there."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.count import Words
from tezgah.tokenizer.merge import FREE_NODE, MERGES, Heap, Segments, first_pairs, learn
from tezgah.tokenizer.tokentable import NOTHING, TOKENS, Tokens, enter_tokens

MERGES_A_TURN = 1_024  # between two looks at the clock
NO_LIMIT = 1 << 62


class Bpe(NamedTuple):
    """Tokens by id, and the merges that make them, in their order: (merges, 3) of left, right and new id."""

    tokens: list[bytes]
    merges: NDArray[np.int32]


def train(
    segments: Segments,
    tokens: Sequence[bytes],
    vocab_size: int,
    min_frequency: int = 0,
    max_token_length: int | None = None,
    mark: bytes = b"",
    advance: Callable[[int], None] = lambda merges: None,
) -> Bpe:
    """Merge the segments until there are `vocab_size` tokens, or no pair is left that occurs `min_frequency` times.

    `tokens` are those there are already, by id; an empty one can not be made by a merge. A merge gives
    tokens of fewer than `max_token_length` bytes only. `mark` begins every token that goes on a word, and is
    left out where such a token is joined to what is before it. The rules are those of Hugging Face `tokenizers`.
    """
    known, used = _token_table(tokens), np.zeros(8, np.int64)
    used[FREE_NODE], used[TOKENS] = NOTHING, len(tokens)
    pairs, heap = np.full((1 << 16, 4), NOTHING, np.int64), _empty_heap()
    pairs, heap = first_pairs(segments, pairs, heap, used)
    merges, more = np.zeros((0, 3), np.int32), True
    while more and used[TOKENS] < vocab_size:
        done = int(used[MERGES])
        merges = np.concatenate([merges[:done], np.zeros((MERGES_A_TURN, 3), np.int32)])
        pairs, heap, known, more = learn(
            segments, pairs, heap, known, used, merges, vocab_size, len(merges),
            max(1, min_frequency), max_token_length or NO_LIMIT, len(mark),
        )  # fmt: skip
        advance(int(used[MERGES]) - done)
    ends = known.starts[: used[TOKENS] + 1].tolist()
    arena = known.arena.tobytes()
    made = [arena[begin:end] for begin, end in itertools.pairwise(ends)]
    return Bpe(made, merges[: used[MERGES]])


def byte_segments(words: Words, byte_ids: NDArray[np.int32]) -> Segments:
    """Words as the ids of their bytes; `byte_ids`, (256,), has one below 0 for a byte that is left out."""
    return segments_of(byte_ids[words.arena], words.starts, words.counts)


def segments_of(ids: NDArray[np.int32], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Segments:
    """Words `ids[starts[w]:starts[w + 1]]` that occur `counts[w]` times; ids below 0 are left out."""
    if (ids >= 0).all():
        return Segments(ids, _rows(starts, counts))
    kept = np.concatenate([[0], (ids >= 0).cumsum()])
    return Segments(ids[ids >= 0], _rows(kept[starts], counts))


def _rows(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([starts[:-1], np.diff(starts), counts], axis=1)  # (words, 3)


def _token_table(tokens: Sequence[bytes]) -> Tokens:
    """The tokens there are, and some room; `tokentable.token_of` makes more."""
    lengths = np.array([len(token) for token in tokens])
    starts = np.zeros(len(tokens) + MERGES_A_TURN, np.int64)
    starts[1 : len(tokens) + 1] = lengths.cumsum()
    arena = np.zeros(max(1 << 16, 2 * int(starts[len(tokens)])), np.uint8)
    arena[: starts[len(tokens)]] = np.frombuffer(b"".join(tokens), np.uint8)
    lengths_in_symbols = np.ones(len(starts), np.int32)
    lengths_in_symbols[: len(tokens)] = lengths
    slots = np.full(1 << (2 * len(starts)).bit_length(), NOTHING, np.int32)
    table = Tokens(arena, starts, lengths_in_symbols, slots)
    enter_tokens(table, len(tokens))
    return table


def _empty_heap() -> Heap:
    longs, ints = np.zeros((2, 1 << 16), np.int64), np.zeros((3, 1 << 16), np.int32)
    return Heap(longs[0], longs[1], ints[0], ints[1], ints[2])
