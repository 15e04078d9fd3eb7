"""How well a tokenizer fits a text.

Tokens per word is the *fertility*, words continued the *proportion of continued words* of
Rust et al. 2021 ("How Good is Your Tokenizer?", section 4): 1 and 0 would be one token a word.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

from tezgah.tokenizer.texts import strings
from tezgah.tokenizer.tokenizer import Tokenizer

LONGEST = 10


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
    longest_tokens: tuple[str, ...]  # of the vocabulary, by bytes


def measure(tokenizer: Tokenizer, texts: Iterable[Any]) -> Measures:
    """The measures on texts: strings, Arrow string arrays, or batches with a `text` column."""
    documents = size_bytes = tokens = 0
    used = np.zeros(tokenizer.vocab_size, dtype=bool)  # (vocab_size,)
    counts: Counter[str] = Counter()
    for batch in _batches(strings(texts)):
        ids, _ = tokenizer.encode_batch(batch)
        documents += len(batch)
        size_bytes += sum(len(text.encode()) for text in batch)
        tokens += ids.size
        used[ids] = True
        for text in batch:
            counts.update(text.split())
    _, offsets = tokenizer.encode_batch(f" {word}" for word in counts)
    length = np.diff(offsets)  # (distinct words,) tokens
    times = np.fromiter(counts.values(), np.int64, len(counts))  # (distinct words,)
    words = int(times.sum())
    return Measures(
        documents=documents,
        bytes=size_bytes,
        tokens=tokens,
        words=words,
        vocab_size=tokenizer.vocab_size,
        bytes_per_token=_ratio(size_bytes, tokens),
        tokens_per_word=_ratio(int(times @ length), words),
        words_continued=_ratio(int(times[length > 1].sum()), words),
        vocabulary_used=float(used.mean()),
        longest_tokens=_longest(tokenizer),
    )


def changed_words(old: Tokenizer, new: Tokenizer, texts: Iterable[Any]) -> float:
    """The share, 0 to 1, of words in the texts that the new tokenizer turns into other ids than the old one."""
    counts: Counter[str] = Counter()
    for text in strings(texts):
        counts.update(text.split())
    before, after = (_rows(tokenizer, counts) for tokenizer in (old, new))
    changed = sum(times for times, a, b in zip(counts.values(), before, after, strict=True) if a != b)
    return _ratio(changed, counts.total())


def _rows(tokenizer: Tokenizer, words: Iterable[str]) -> list[list[int]]:
    """The ids of each word, with the space before it."""
    ids, offsets = tokenizer.encode_batch(f" {word}" for word in words)
    return [ids[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == 256:
            yield batch
            batch = []
    if batch:
        yield batch


def _longest(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The longest tokens but the separator, longest first, of equal ones the smaller id first."""
    tokens = [tokenizer.decode_bytes([each]) for each in range(tokenizer.vocab_size) if each != tokenizer.separator_id]
    return tuple(token.decode(errors="replace") for token in sorted(tokens, key=len, reverse=True)[:LONGEST])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
