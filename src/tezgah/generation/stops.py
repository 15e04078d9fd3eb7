"""Where a completion ends besides end-of-text: the block cut of code completions.

A model that has finished a function goes on with the next one. CodeParrot's evaluation cuts a
completion at the first of six line starts; so does this (transformers,
research_projects/codeparrot/scripts/human_eval.py, `remove_last_block`'s list of strings).
"""

import re

BLOCK_STARTS = ("class", "def", "#", "@", "print", "if")
_NEXT_BLOCK = re.compile("|".join("\n" + re.escape(start) for start in BLOCK_STARTS))


def ends_block(completion: str) -> bool:
    r"""Whether a later line of `completion` starts something new at column 0.

    >>> ends_block(" a, b):\n    return a\n"), ends_block(" a, b):\n    return a\ndef")
    (False, True)
    """
    return _NEXT_BLOCK.search(completion) is not None


def first_block(completion: str) -> str:
    r"""`completion` before the first later line that starts something new at column 0.

    The completion's own first line goes on with the prompt's last and is never cut. White space at the
    end goes too.

    >>> first_block(" a, b):\n    return a * b\n\n\ndef area_of_circle(r):")
    ' a, b):\n    return a * b'
    >>> first_block("def twice(x):\n    if x:\n        return 2 * x\n")
    'def twice(x):\n    if x:\n        return 2 * x'
    """
    return _NEXT_BLOCK.split(completion, maxsplit=1)[0].rstrip()
