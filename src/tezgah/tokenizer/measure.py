"""How well tokenizers fit texts.

Tokens per word is the *fertility*, words continued the *proportion of continued words* of
Rust et al. 2021 ("How Good is Your Tokenizer?", section 4): 1 and 0 would be one token a word.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.spelling import Spelling, spelling_of
from tezgah.tokenizer.texts import arrays, buffers
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokenizer.words import WordCounts

LONGEST = 10
WARM_UP = " ".join(map("".join, product("abcdefghijklmno", repeat=3)))  # words enough to have every loop compiled
CHUNKS = 8  # read together, and encoded on all cores: 4 MB
RARE = 10  # an id seen fewer times is hardly learned


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """Measures of a tokenizer on texts. A word is a run without white space, with one space before it."""

    documents: int
    bytes: int  # UTF-8
    tokens: int
    words: int
    vocab_size: int
    bytes_per_token: float
    tokens_per_word: float
    words_continued: float  # share of words of two tokens or more, 0 to 1
    vocabulary_used: float  # share of ids that occur in the texts, 0 to 1
    vocabulary_rare: float  # share of ids that occur fewer than 10 times, or never, 0 to 1
    tokens_unknown: float  # share of tokens that stand for what the vocabulary cannot spell, 0 to 1
    tokens_partial: float  # share of tokens that are bytes and no whole characters, 0 to 1
    longest_tokens: tuple[str, ...]  # of the vocabulary, by bytes


@dataclass(frozen=True)
class Measured:
    """What was seen of one tokenizer on texts."""

    measures: Measures
    spelling: Spelling
    counts: NDArray[np.int64]  # (vocab_size,) times each id occurs
    encode_seconds: float  # every text once, on all cores, compilation already done


def measure(tokenizer: Tokenizer, texts: Iterable[Any]) -> Measures:
    """The measures on texts: strings, Arrow string arrays, or batches with a `text` column.

    >>> tokenizer = Tokenizer.train([" su su su"], vocab_size=259)
    >>> measure(tokenizer, ["su su süt"]).tokens_per_word          # " su" is one token, " süt" five
    2.3333333333333335
    """
    return measure_all([tokenizer], texts)[0].measures


def measure_all(tokenizers: Sequence[Tokenizer], texts: Iterable[Any]) -> list[Measured]:
    """The same of several tokenizers, the texts read once, CHUNKS chunks in memory at a time."""
    tallies = [_Tally(tokenizer) for tokenizer in tokenizers]
    words = WordCounts()
    documents = size_bytes = 0
    for chunks in _several(arrays(texts)):
        for array in chunks:
            _, ends = buffers(array)
            documents += len(array)
            size_bytes += int(ends[-1] - ends[0])
            words.add(array)
        for tally in tallies:
            tally.add(chunks)
    distinct, times = words.result()
    return [tally.measured(documents, size_bytes, distinct, times) for tally in tallies]


def _several(arrays: Iterable[Any]) -> Iterator[list[Any]]:
    arrays = iter(arrays)
    while chunks := list(islice(arrays, CHUNKS)):
        yield chunks


class _Tally:
    """How often each id of a tokenizer occurs, and how long finding out took."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.counts = np.zeros(tokenizer.vocab_size, np.int64)  # (vocab_size,)
        self.seconds = 0.0
        tokenizer.encode(WARM_UP)

    def add(self, texts: Sequence[Any]) -> None:
        started = perf_counter()
        ids, _ = self.tokenizer.encode_batch(texts)
        self.seconds += perf_counter() - started
        self.counts += np.bincount(ids, minlength=len(self.counts))

    def measured(self, documents: int, size_bytes: int, distinct: Any, times: NDArray[np.int64]) -> Measured:
        _, offsets = self.tokenizer.encode_batch(distinct)
        length = np.diff(offsets)  # (distinct words,) tokens
        spelling, counts = spelling_of(self.tokenizer), self.counts
        tokens, words = int(counts.sum()), int(times.sum())
        unknown = 0 if spelling.unknown_id is None else int(counts[spelling.unknown_id])
        measures = Measures(
            documents=documents,
            bytes=size_bytes,
            tokens=tokens,
            words=words,
            vocab_size=len(counts),
            bytes_per_token=_ratio(size_bytes, tokens),
            tokens_per_word=_ratio(int(times @ length), words),
            words_continued=_ratio(int(times[length > 1].sum()), words),
            vocabulary_used=float((counts > 0).mean()),
            vocabulary_rare=float((counts < RARE).mean()),
            tokens_unknown=_ratio(unknown, tokens),
            tokens_partial=_ratio(int(counts[spelling.is_partial].sum()), tokens),
            longest_tokens=_longest(spelling),
        )
        return Measured(measures, spelling, counts, self.seconds)


def changed_words(old: Tokenizer, new: Tokenizer, texts: Iterable[Any]) -> float:
    """The share, 0 to 1, of words in the texts that the new tokenizer turns into other ids than the old one."""
    words = WordCounts()
    for array in arrays(texts):
        words.add(array)
    distinct, times = words.result()
    if not len(times):
        raise InputError("what should stay holds no word. Name other files.")
    (ids, offsets), (new_ids, new_offsets) = (tokenizer.encode_batch(distinct) for tokenizer in (old, new))
    length, new_length = np.diff(offsets), np.diff(new_offsets)  # (distinct words,) tokens
    is_changed = length != new_length
    compared = ids[np.repeat(~is_changed, length)] != new_ids[np.repeat(~is_changed, new_length)]
    word_of = np.repeat(np.flatnonzero(~is_changed), length[~is_changed])
    is_changed[word_of[compared]] = True
    return _ratio(int(times[is_changed].sum()), int(times.sum()))


def _longest(spelling: Spelling) -> tuple[str, ...]:
    """The longest tokens that a text may hold, longest first, of equal ones the smaller id first."""
    length = np.where(spelling.is_special, 0, spelling.length)
    order = np.argsort(-length, kind="stable")[:LONGEST]
    return tuple(spelling.bytes[token_id].decode(errors="replace") for token_id in order if length[token_id])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
