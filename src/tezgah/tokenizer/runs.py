"""Characters of UTF-8 text as compiled code walks over them: how wide, of which class, how far a run goes."""

import numpy as np

from tezgah.compiled import inlined


@inlined
def width(text, i):
    """Bytes of the character that begins at `i`."""
    first = text[i]
    if first < 0x80:
        return 1
    if first < 0xE0:
        return 2
    return 3 if first < 0xF0 else 4


@inlined
def kind(text, i, classes):
    """Class of the character that begins at `i`."""
    first = np.int64(text[i])
    if first < 0x80:
        return classes[first]
    second = np.int64(text[i + 1]) & 0x3F
    if first < 0xE0:
        return classes[(first & 0x1F) << 6 | second]
    third = np.int64(text[i + 2]) & 0x3F
    if first < 0xF0:
        return classes[(first & 0x0F) << 12 | second << 6 | third]
    return classes[(first & 0x07) << 18 | second << 12 | third << 6 | np.int64(text[i + 3]) & 0x3F]


@inlined
def run(text, i, end, classes, wanted):
    """Where the run of characters of the `wanted` classes that begins at `i` ends."""
    while i < end and kind(text, i, classes) & wanted:
        i += width(text, i)
    return i


@inlined
def run_of_others(text, i, end, classes, unwanted):
    """Where the run of characters of none of the `unwanted` classes that begins at `i` ends."""
    while i < end and not kind(text, i, classes) & unwanted:
        i += width(text, i)
    return i
