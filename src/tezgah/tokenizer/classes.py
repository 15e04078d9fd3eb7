"""The class of every Unicode character, as far as the splits tell characters apart."""

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

# Powers of two, so that a set of classes is one number and membership one AND.
OTHER, UPPER, LOWER, MODIFIER, LETTER, MARK, NUMBER, SPACE, LINE_END, PUNCTUATION = (1 << bit for bit in range(10))
ANY_LETTER = UPPER | LOWER | MODIFIER | LETTER
ANY_SPACE = SPACE | LINE_END
NAMES = {
    "Other": OTHER,
    "Lu": UPPER,
    "Ll": LOWER,
    "Lt": UPPER,
    "Lm": MODIFIER,
    "Lo": LETTER,
    "M": MARK,
    "N": NUMBER,
    "Space": SPACE,
}


@cache
def character_classes() -> NDArray[np.uint16]:
    """The class of every code point, (0x110000,); what BERT cuts as punctuation is PUNCTUATION besides.

    >>> character_classes()[[ord("ğ"), ord("\\n"), ord("!")]].tolist() == [LOWER, LINE_END, OTHER | PUNCTUATION]
    True
    """
    rows = _rows("character_classes.txt")
    starts = np.array([int(start, 16) for start, _ in rows] + [0x110000])
    classes = np.repeat(np.array([NAMES[name] for _, name in rows], np.uint16), np.diff(starts))
    classes[[ord("\r"), ord("\n")]] = LINE_END
    for first, last in _rows("bert_punctuation.txt"):
        classes[int(first, 16) : int(last, 16) + 1] |= PUNCTUATION
    classes.setflags(write=False)
    return classes


def _rows(name: str) -> list[list[str]]:
    """The rows of a table beside this file, its first line left out."""
    table = resources.files("tezgah.tokenizer").joinpath(name).read_text(encoding="utf-8")
    return [line.split() for line in table.splitlines()[1:]]
