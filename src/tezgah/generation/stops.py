"""Where a completion ends besides end-of-text: the block cut of code completions.

A model that has finished a function goes on with the next one. CodeParrot's evaluation cuts a
completion at the first of six line starts; so does this (transformers,
research_projects/codeparrot/scripts/human_eval.py, `remove_last_block`'s list of strings).

That takes for granted that the prompt has begun the function. Where it has not, as in MBPP, the completion itself
begins it, imports and helpers before it: then only what comes after its `def` is cut.
"""

import re
from functools import lru_cache

BLOCK_STARTS = ("class", "def", "#", "@", "print", "if")
_NEXT_BLOCK = re.compile("|".join("\n" + re.escape(start) for start in BLOCK_STARTS))


def ends_block(completion: str, function: str | None = None) -> bool:
    r"""Whether a later line of `completion` starts something new at column 0; `function` as in `first_block`.

    >>> ends_block(" a, b):\n    return a\n"), ends_block(" a, b):\n    return a\ndef")
    (False, True)
    """
    return _next_block(completion, function) is not None


def first_block(completion: str, function: str | None = None) -> str:
    r"""`completion` before the first later line that starts something new at column 0.

    The completion's own first line goes on with the prompt's last and is never cut. White space at the
    end goes too. `function` is what the completion has to define, where the prompt does not: nothing is cut before
    the line after its `def`, and nothing at all where that does not come.

    >>> first_block(" a, b):\n    return a * b\n\n\ndef area_of_circle(r):")
    ' a, b):\n    return a * b'
    >>> first_block("def twice(x):\n    if x:\n        return 2 * x\n")
    'def twice(x):\n    if x:\n        return 2 * x'
    >>> first_block("\n# Doubles.\ndef twice(x):\n    return 2 * x\nprint(twice(1))", function="twice")
    '\n# Doubles.\ndef twice(x):\n    return 2 * x'
    """
    return completion[: _next_block(completion, function)].rstrip()


def _next_block(completion: str, function: str | None) -> int | None:
    """Where the next block starts; None where it does not."""
    begin = 0
    if function is not None:
        own = _definition(function).search(completion)
        if own is None:
            return None
        begin = own.end()
    found = _NEXT_BLOCK.search(completion, begin)
    return found.start() if found else None


@lru_cache(maxsize=16)
def _definition(function: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(function)}[ \t]*\(", re.MULTILINE)
