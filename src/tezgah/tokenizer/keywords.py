"""Words that a tokenizer should know whole, such as the keywords of a programming language."""

import keyword
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import parse
from tezgah.tokenizer.tokenizer import Tokenizer

KEYWORDS: dict[str, tuple[str, ...]] = {"python": tuple(keyword.kwlist)}


class Known(msgspec.Struct, frozen=True):
    """Which of some words are more than one token, or unknown: bare, and with a space before them."""

    words: int
    missing: tuple[str, ...]
    missing_with_space: tuple[str, ...]


def keywords_of(name: str) -> tuple[str, ...]:
    """The keywords of a language, or the words of a file, one a line. Raises InputError where it is neither.

    >>> len(keywords_of("python"))
    35
    """
    if name in KEYWORDS:
        return KEYWORDS[name]
    path = Path(name)
    if not path.is_file():
        known = ", ".join(KEYWORDS)
        raise InputError(f"--keywords {name}: neither a language known here ({known}) nor a file of words, one a line.")
    try:
        words = tuple(dict.fromkeys(path.read_text("utf-8").split("\n")))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}). Convert it.") from error
    if not (words := tuple(word.strip() for word in words if word.strip())):
        raise InputError(f"{path}: holds no word. Write one a line.")
    return words


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
