"""A `tokenizer.json` learned from texts, by any of the algorithms."""

from collections.abc import Iterable
from typing import NamedTuple

from tezgah.cores import available_cores
from tezgah.errors import InputError
from tezgah.tokenizer import wordpiece
from tezgah.tokenizer.artefact import INFILL, MASK, PAD, SEPARATOR, Artefact, byte_level_bpe, with_mask, with_special
from tezgah.tokenizer.count import Words, count_texts, without
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
    With `mask` there are [PAD] and [MASK] too, which a WordPiece has anyway (`artefact.with_mask`), with `infill` the
    three tokens before the parts of a text that is to be filled in (`infill.py`).
    """

    split: Split
    algorithm: Algorithm = "bpe"
    normalize: Normalization = "none"
    min_frequency: int = 0
    max_token_length: int | None = None
    limit_alphabet: int | None = None
    mask: bool = False
    infill: bool = False

    @property
    def rule(self) -> Rule:
        """How text is cut into words: WordPiece in BERT's way whatever the split."""
        return "bert" if self.algorithm == "wordpiece" else self.split

    @property
    def adds_mask(self) -> bool:
        """Whether [PAD] and [MASK] come behind the learned ids."""
        return self.mask and self.algorithm != "wordpiece"

    @property
    def added(self) -> tuple[str, ...]:
        """The tokens that come behind the learned ones."""
        return ((PAD, MASK) if self.adds_mask else ()) + (INFILL if self.infill else ())

    def finished(self, text: str, separator: str = SEPARATOR) -> Artefact:
        """The tokenizer of a `tokenizer.json` with this separator."""
        artefact = Artefact(text, separator)
        if self.adds_mask:
            artefact = with_mask(artefact)
        return with_special(artefact, INFILL) if self.infill else artefact


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
        return method.finished(bytes_json(method.split, normalizer))
    size = vocab_size - len(method.added)
    vocab = train_unigram(Normalizer(normalizer).chunks(chunks), size, method.split)
    check_reached(len(vocab) + len(method.added), vocab_size)
    return method.finished(unigram_json(vocab, method.split, normalizer))


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
    size = vocab_size - len(method.added)
    if method.algorithm == "characters":
        return method.finished(characters_json(words, size, method.split, normalizer))
    if method.algorithm == "wordpiece":
        vocab = wordpiece.train_wordpiece(words, size, method.min_frequency, method.limit_alphabet)
        check_reached(len(vocab) + len(method.added), vocab_size)
        return method.finished(wordpiece.wordpiece_json(vocab, normalizer), wordpiece.SEPARATOR)
    for name in method.added:  # no token of a word is called as they are
        words = without(words, name.encode())
    vocab, merges = train_bpe(words, size, SEPARATOR, method.min_frequency, method.max_token_length)
    check_reached(len(vocab) + len(method.added), vocab_size)
    return method.finished(byte_level_bpe(vocab, merges, method.split, SEPARATOR, normalizer))


def check_size(vocab_size: int, method: Method) -> None:
    """Raise InputError for a vocabulary too large for any model, or without room for all bytes of its alphabet."""
    if vocab_size > LARGEST_VOCABULARY:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} is beyond {LARGEST_VOCABULARY:,}, which no corpus fills. Lower it."
        )
    least = SMALLEST_VOCABULARY + len(method.added)
    if method.algorithm in ("bpe", "unigram") and vocab_size < least:
        special = ", ".join((SEPARATOR, *method.added))
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} is too small: {special} and the 256 bytes take "
            f"{least}. Set it to {least} or more."
        )


def check_reached(reached: int, vocab_size: int) -> None:
    """Raise InputError where the texts gave fewer ids than asked."""
    if reached < vocab_size:
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} cannot be reached: the training texts support {reached:,} "
            f"ids. Set it to {reached:,} or less, or add text."
        )
