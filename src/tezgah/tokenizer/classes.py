"""The class of every Unicode character, as far as the splits tell characters apart."""

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

# Powers of two, so that a set of classes is one number and membership one AND.
OTHER, UPPER, LOWER, MODIFIER, LETTER, MARK, NUMBER, SPACE, LINE_END = (1 << bit for bit in range(9))
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
    """The class of every code point, (0x110000,).

    >>> character_classes()[[ord("ğ"), ord("\\n")]].tolist() == [LOWER, LINE_END]
    True
    """
    table = resources.files("tezgah.tokenizer").joinpath("character_classes.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in table.splitlines()[1:]]
    starts = np.array([int(start, 16) for start, _ in rows] + [0x110000])
    classes = np.repeat(np.array([NAMES[name] for _, name in rows], np.uint16), np.diff(starts))
    classes[[ord("\r"), ord("\n")]] = LINE_END
    classes.setflags(write=False)
    return classes
