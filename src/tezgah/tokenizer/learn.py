"""A `tokenizer.json` learned from texts, by any of the algorithms."""

from collections.abc import Iterable

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

COUNTING: tuple[Algorithm, ...] = ("bpe", "wordpiece", "characters")  # all these learn from is counted words
SMALLEST_VOCABULARY = 257  # the separator and the 256 bytes


def learn(
    chunks: Iterable[Chunk], vocab_size: int, split: Split, algorithm: Algorithm, normalization: Normalization
) -> Artefact:
    """What `algorithm` learns from chunks of texts (`texts.utf8`)."""
    check_size(vocab_size, algorithm)
    if algorithm in COUNTING:
        words = count(chunks, split, algorithm, normalization)
        return learn_from_words(words, vocab_size, split, algorithm, normalization)
    normalizer = NORMALIZERS[normalization]
    if algorithm == "bytes":
        return Artefact(bytes_json(split, normalizer), SEPARATOR)
    vocab = train_unigram(Normalizer(normalizer).chunks(chunks), vocab_size, split)
    check_reached(len(vocab), vocab_size)
    return Artefact(unigram_json(vocab, split, normalizer), SEPARATOR)


def count(chunks: Iterable[Chunk], split: Split, algorithm: Algorithm, normalization: Normalization) -> Words:
    """The words that `algorithm` learns from, of normalized texts."""
    normalizer = Normalizer(NORMALIZERS[normalization])
    return count_texts(normalizer.chunks(chunks), rule_of(algorithm, split), available_cores())


def learn_from_words(
    words: Words, vocab_size: int, split: Split, algorithm: Algorithm, normalization: Normalization
) -> Artefact:
    """What one of the COUNTING algorithms learns from the words that `count` counted."""
    check_size(vocab_size, algorithm)
    normalizer = NORMALIZERS[normalization]
    if algorithm != "bpe" and not len(words.counts):
        raise InputError("the training texts are empty: there is no character to learn. Add text.")
    if algorithm == "characters":
        return Artefact(characters_json(words, vocab_size, split, normalizer), SEPARATOR)
    if algorithm == "wordpiece":
        vocab = wordpiece.train_wordpiece(words, vocab_size)
        check_reached(len(vocab), vocab_size)
        return Artefact(wordpiece.wordpiece_json(vocab, normalizer), wordpiece.SEPARATOR)
    vocab, merges = train_bpe(words, vocab_size, SEPARATOR)
    check_reached(len(vocab), vocab_size)
    return Artefact(byte_level_bpe(vocab, merges, split, SEPARATOR, normalizer), SEPARATOR)


def rule_of(algorithm: Algorithm, split: Split) -> Rule:
    """How an algorithm cuts text: WordPiece in BERT's way whatever the split."""
    return "bert" if algorithm == "wordpiece" else split


def check_size(vocab_size: int, algorithm: Algorithm) -> None:
    """Raise InputError for a vocabulary that lacks room for all bytes where these are the alphabet."""
    if algorithm in ("bpe", "unigram") and vocab_size < SMALLEST_VOCABULARY:
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
