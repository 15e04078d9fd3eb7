"""Where a text is cut into words before merging, as state machines over its UTF-8 bytes.

Each rule of `patterns.py`, and BERT's, is a function that says where the piece that begins at `i` ends: what
its regular expression would match there, one character at a time and without going back (where
the expression would go back, the place it would go back to is remembered). A regular expression
library reads about 15 MB/s so; this reads more than 100 on the same core.
"""

from tezgah.compiled import compiled, inlined
from tezgah.tokenizer.classes import (
    ANY_LETTER,
    ANY_SPACE,
    LETTER,
    LINE_END,
    LOWER,
    MARK,
    MODIFIER,
    NUMBER,
    PUNCTUATION,
    UPPER,
)
from tezgah.tokenizer.runs import kind, run, run_of_others, width
from tezgah.tokenizer.settings import Rule

# A split is told to compiled code by the length of a tuple, which is part of its type: each gets a loop of
# its own, without the others in it (240 MB/s so, 115 where a number chose among them in the loop).
NUMBERS: dict[Rule, int] = {
    "gpt2": 0, "cl100k": 1, "o200k": 2, "whitespace": 3, "digits": 4, "turkish-safe": 5, "bert": 6,
}  # fmt: skip
SPLITS = {name: (0,) * number for name, number in NUMBERS.items()}
GPT2, CL100K, O200K, WHITESPACE, DIGITS, TURKISH_SAFE, BERT = range(7)

UPPERLIKE = UPPER | MODIFIER | LETTER | MARK  # o200k's [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
LOWERLIKE = LOWER | MODIFIER | LETTER | MARK  # o200k's [\p{Ll}\p{Lm}\p{Lo}\p{M}]
BOTHLIKE = UPPERLIKE & LOWERLIKE
NO_WORD = ANY_LETTER | NUMBER | ANY_SPACE
APOSTROPHE, BLANK, SLASH = ord("'"), ord(" "), ord("/")
S, T, M, D, R, E, V, L = (ord(letter) for letter in "stmdrevl")


@inlined
def space(text, i, end, classes):
    r"""`\s+(?!\S)|\s+`: white space leaves its last character to the word that follows."""
    j, last = i, i
    while j < end and kind(text, j, classes) & ANY_SPACE:
        last = j
        j += width(text, j)
    return last if i < last and j < end else j


@inlined
def space_or_lines(text, i, end, classes):
    r"""`\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end in the white space, if there is one."""
    j, last, line = i, i, i
    while j < end:
        what = kind(text, j, classes)
        if not what & ANY_SPACE:
            break
        last = j
        j += width(text, j)
        if what & LINE_END:
            line = j
    if line > i:
        return line
    return last if i < last and j < end else j


@inlined
def suffix(text, i, end, either_case):
    """Where an English suffix ('s, 't, 're, 've, 'm, 'll, 'd) that begins at `i` ends; `i` if none does."""
    if i + 1 >= end or text[i] != APOSTROPHE:
        return i
    first = text[i + 1]
    if either_case:
        first |= 0x20 if first < 0x80 else 0
        if first == 0xC5 and text[i + 2] == 0xBF:  # ſ, the long s, is an s in another case
            return i + 3
    if first in (S, T, M, D):
        # only letters have become these: no other ASCII character differs from them by the bit alone
        return i + 2
    if i + 2 >= end:
        return i
    second = text[i + 2]
    if either_case:
        second |= 0x20 if second < 0x80 else 0
    if ((first in (R, V)) and second == E) or (first == L and second == L):
        return i + 3
    return i


@inlined
def word(text, i, end, classes):
    r"""` ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`."""
    j = i + 1 if text[i] == BLANK and i + 1 < end else i
    what = kind(text, j, classes)
    if what & ANY_LETTER:
        return run(text, j, end, classes, ANY_LETTER)
    if what & NUMBER:
        return run(text, j, end, classes, NUMBER)
    if not what & ANY_SPACE:
        return run_of_others(text, j, end, classes, NO_WORD)
    return space(text, i, end, classes)


@inlined
def gpt2(text, i, end, classes):
    r"""`'(?:[sdmt]|ll|ve|re)`, or what `word` says."""
    after = suffix(text, i, end, False)
    if after > i:
        return after
    return word(text, i, end, classes)


@inlined
def turkish_safe(text, i, end, classes):
    r"""`['’]\p{L}+`, or what `word` says."""
    mark = 0
    if text[i] == APOSTROPHE:
        mark = 1
    elif text[i] == 0xE2 and text[i + 1] == 0x80 and text[i + 2] == 0x99:  # ’
        mark = 3
    if mark and i + mark < end and kind(text, i + mark, classes) & ANY_LETTER:
        return run(text, i + mark, end, classes, ANY_LETTER)
    return word(text, i, end, classes)


@inlined
def whitespace(text, i, end, classes):
    r"""` ?\S+|\s+(?!\S)|\s+`."""
    j = i + 1 if text[i] == BLANK and i + 1 < end else i
    if not kind(text, j, classes) & ANY_SPACE:
        return run_of_others(text, j, end, classes, ANY_SPACE)
    return space(text, i, end, classes)


@inlined
def digits(text, i, end, classes):
    r"""`\p{N}`, or GPT-2's rule in what is between the digits."""
    if kind(text, i, classes) & NUMBER:
        return i + width(text, i)
    # GPT-2's rule, in the text up to the next digit: a piece would cross it only as white space before it
    after = gpt2(text, i, end, classes)
    if kind(text, i, classes) & ANY_SPACE:
        if text[i] == BLANK and i + 1 < end and kind(text, i + 1, classes) & NUMBER:
            return i + 1
        whole = run(text, i, end, classes, ANY_SPACE)
        if whole < end and kind(text, whole, classes) & NUMBER:
            return whole
    return after


@inlined
def three_numbers(text, i, end, classes):
    r"""`\p{N}{1,3}`."""
    j = i + width(text, i)
    for _ in range(2):
        if j < end and kind(text, j, classes) & NUMBER:
            j += width(text, j)
    return j


@inlined
def signs(text, i, end, classes, slash):
    r"""` ?[^\s\p{L}\p{N}]+[\r\n]*`, with o200k's slashes after it; `i` where it does not match."""
    j = i + 1 if text[i] == BLANK and i + 1 < end else i
    after = run_of_others(text, j, end, classes, NO_WORD)
    if after == j:
        return i
    while after < end and (kind(text, after, classes) & LINE_END or (slash and text[after] == SLASH)):
        after += 1
    return after


@inlined
def cl100k(text, i, end, classes):
    """GPT-4's rule, the first of PATTERNS["cl100k"]'s alternatives that matches."""
    after = suffix(text, i, end, True)
    if after > i:
        return after
    what = kind(text, i, classes)
    if what & ANY_LETTER:
        return run(text, i, end, classes, ANY_LETTER)
    if what & NUMBER:
        return three_numbers(text, i, end, classes)
    if not what & LINE_END:
        j = i + width(text, i)
        if j < end and kind(text, j, classes) & ANY_LETTER:
            return run(text, j, end, classes, ANY_LETTER)
        after = signs(text, i, end, classes, False)
        if after > i:
            return after
    return space_or_lines(text, i, end, classes)


@inlined
def lower_word(text, i, end, classes):
    """`[upper-like]*[lower-like]+` from `i`; `i` where it does not match.

    The first run is as long as it can be; if no lower-like character follows it, it gives back
    down to its last character that is both.
    """
    j, both = i, i
    while j < end:
        what = kind(text, j, classes)
        if not what & UPPERLIKE:
            break
        j += width(text, j)
        if what & BOTHLIKE:
            both = j
    if j < end and kind(text, j, classes) & LOWERLIKE:
        return run(text, j, end, classes, LOWERLIKE)
    return both


@inlined
def upper_word(text, i, end, classes):
    """`[upper-like]+[lower-like]*` from `i`; `i` where it does not match."""
    j = run(text, i, end, classes, UPPERLIKE)
    return run(text, j, end, classes, LOWERLIKE) if j > i else i


@inlined
def o200k(text, i, end, classes):
    """GPT-4o's rule, the first of PATTERNS["o200k"]'s alternatives that matches."""
    what = kind(text, i, classes)
    after_first = i + width(text, i)
    sign = not what & (ANY_LETTER | NUMBER | LINE_END)  # a word may begin with one such character
    for wanted in range(2):
        begin = after_first if sign else i
        after = lower_word(text, begin, end, classes) if wanted == 0 else upper_word(text, begin, end, classes)
        if sign and after == begin:
            begin = i
            after = lower_word(text, begin, end, classes) if wanted == 0 else upper_word(text, begin, end, classes)
        if after > begin:
            return suffix(text, after, end, True)
    if what & NUMBER:
        return three_numbers(text, i, end, classes)
    after = signs(text, i, end, classes, True)
    return after if after > i else space_or_lines(text, i, end, classes)


@inlined
def bert(text, i, end, classes):
    """BERT's rule: a punctuation character by itself, white space by itself (`blocks.fill` drops it), the rest."""
    what = kind(text, i, classes)
    if what & PUNCTUATION:
        return i + width(text, i)
    if what & ANY_SPACE:
        return run(text, i, end, classes, ANY_SPACE)
    return run_of_others(text, i, end, classes, ANY_SPACE | PUNCTUATION)


@inlined
def piece_end(text, i, end, classes, split):
    """Where the piece that begins at `i` ends, by a split of SPLITS."""
    number = len(split)
    if number == GPT2:
        return gpt2(text, i, end, classes)
    if number == TURKISH_SAFE:
        return turkish_safe(text, i, end, classes)
    if number == CL100K:
        return cl100k(text, i, end, classes)
    if number == O200K:
        return o200k(text, i, end, classes)
    if number == WHITESPACE:
        return whitespace(text, i, end, classes)
    if number == BERT:
        return bert(text, i, end, classes)
    return digits(text, i, end, classes)


@compiled
def piece_ends(text, begin, end, classes, split, ends):
    """Write the end of every piece of `text[begin:end]` into `ends`; how many there are."""
    count, i = 0, begin
    while i < end:
        i = piece_end(text, i, end, classes, split)
        ends[count] = i
        count += 1
    return count
