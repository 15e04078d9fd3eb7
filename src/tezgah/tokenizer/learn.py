"""A `tokenizer.json` learned from texts, by any of the algorithms."""

from collections.abc import Iterable
from typing import NamedTuple

from tezgah.cores import available_cores
from tezgah.errors import InputError
from tezgah.tokenizer import wordpiece
from tezgah.tokenizer.artefact import SEPARATOR, Artefact, byte_level_bpe
from tezgah.tokenizer.count import Words, count_texts
from tezgah.tokenizer.engine import train_bpe
from tezgah.tokenizer.normalize import NORMALIZERS, Normalizer
from tezgah.tokenizer.plain import bytes_json, characters_json
from tezgah.tokenizer.settings import Algorithm, Normalization, Rule, Split
from tezgah.tokenizer.texts import Chunk
from tezgah.tokenizer.unigram import train_unigram, unigram_json


class Method(NamedTuple):
    """How a vocabulary is learned.

    A pair that is rarer than `min_frequency` is not merged (bpe, wordpiece); tokens have fewer than
    `max_token_length` bytes (bpe); the alphabet is the `limit_alphabet` most frequent characters (wordpiece).
    """

    split: Split
    algorithm: Algorithm = "bpe"
    normalize: Normalization = "none"
    min_frequency: int = 0
    max_token_length: int | None = None
    limit_alphabet: int | None = None

    @property
    def rule(self) -> Rule:
        """How text is cut into words: WordPiece in BERT's way whatever the split."""
        return "bert" if self.algorithm == "wordpiece" else self.split


COUNTING: tuple[Algorithm, ...] = ("bpe", "wordpiece", "characters")  # all these learn from is counted words
SMALLEST_VOCABULARY = 257  # the separator and the 256 bytes
LARGEST_VOCABULARY = 1 << 28


def learn(chunks: Iterable[Chunk], vocab_size: int, method: Method) -> Artefact:
    """What is learned from chunks of texts (`texts.utf8`)."""
    check_size(vocab_size, method)
    if method.algorithm in COUNTING:
        return learn_from_words(count(chunks, method), vocab_size, method)
    normalizer = NORMALIZERS[method.normalize]
    if method.algorithm == "bytes":
        return Artefact(bytes_json(method.split, normalizer), SEPARATOR)
    vocab = train_unigram(Normalizer(normalizer).chunks(chunks), vocab_size, method.split)
    check_reached(len(vocab), vocab_size)
    return Artefact(unigram_json(vocab, method.split, normalizer), SEPARATOR)


def count(chunks: Iterable[Chunk], method: Method) -> Words:
    """The words that one of the COUNTING algorithms learns from, of normalized texts."""
    normalizer = Normalizer(NORMALIZERS[method.normalize])
    return count_texts(normalizer.chunks(chunks), method.rule, available_cores())


def learn_from_words(words: Words, vocab_size: int, method: Method) -> Artefact:
    """What one of the COUNTING algorithms learns from the words that `count` counted."""
    check_size(vocab_size, method)
    normalizer = NORMALIZERS[method.normalize]
    if method.algorithm != "bpe" and not len(words.counts):
        raise InputError("the training texts are empty: there is no character to learn. Add text.")
    if method.algorithm == "characters":
        return Artefact(characters_json(words, vocab_size, method.split, normalizer), SEPARATOR)
    if method.algorithm == "wordpiece":
        vocab = wordpiece.train_wordpiece(words, vocab_size, method.min_frequency, method.limit_alphabet)
        check_reached(len(vocab), vocab_size)
        return Artefact(wordpiece.wordpiece_json(vocab, normalizer), wordpiece.SEPARATOR)
    vocab, merges = train_bpe(words, vocab_size, SEPARATOR, method.min_frequency, method.max_token_length)
    check_reached(len(vocab), vocab_size)
    return Artefact(byte_level_bpe(vocab, merges, method.split, SEPARATOR, normalizer), SEPARATOR)


def check_size(vocab_size: int, method: Method) -> None:
    """Raise InputError for a vocabulary too large for any model, or without room for all bytes of its alphabet."""
    if vocab_size > LARGEST_VOCABULARY:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} is beyond {LARGEST_VOCABULARY:,}, which no corpus fills. Lower it."
        )
    if method.algorithm in ("bpe", "unigram") and vocab_size < SMALLEST_VOCABULARY:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} is too small: {SEPARATOR} and the 256 bytes take "
            f"{SMALLEST_VOCABULARY}. Set it to {SMALLEST_VOCABULARY} or more."
        )


def check_reached(reached: int, vocab_size: int) -> None:
    """Raise InputError where the texts gave fewer ids than asked."""
    if reached < vocab_size:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} cannot be reached: the training texts support {reached:,} "
            f"ids. Set it to {reached:,} or less, or add text."
        )
