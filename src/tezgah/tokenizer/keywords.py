"""Words that a tokenizer should know whole, such as the keywords of a programming language."""

import keyword
from collections.abc import Sequence

import msgspec

from tezgah.tokenizer.artefact import parse
from tezgah.tokenizer.tokenizer import Tokenizer

KEYWORDS: dict[str, tuple[str, ...]] = {"python": tuple(keyword.kwlist)}


class Known(msgspec.Struct, frozen=True):
    """Which of some words are more than one token, or unknown: bare, and with a space before them."""

    words: int
    missing: tuple[str, ...]
    missing_with_space: tuple[str, ...]


def known_words(tokenizer: Tokenizer, words: Sequence[str]) -> Known:
    """Which of `words` the tokenizer turns into one token that is not its unknown one.

    >>> tokenizer = Tokenizer.train([" if if"], vocab_size=259)      # merges: "if", " if"
    >>> known_words(tokenizer, ["if", "in"])
    Known(words=2, missing=('in',), missing_with_space=('in',))
    """
    unknown_id = parse(tokenizer.json).unknown_id()

    def missing(before: str) -> tuple[str, ...]:
        encoded = [tokenizer.encode(before + word) for word in words]
        return tuple(word for word, ids in zip(words, encoded, strict=True) if len(ids) != 1 or ids[0] == unknown_id)

    return Known(len(words), missing(""), missing(" "))
