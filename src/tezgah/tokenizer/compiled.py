"""Compiling the engine's loops: cached where a folder can be written, and said when it takes time."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numba
from numba.core import event

from tezgah.console import say, warn

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` as machine code that runs without the interpreter lock.

    The code is kept beside the source, in the user's cache folder or in NUMBA_CACHE_DIR, whichever
    can be written; where none can, every process compiles anew.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # numba found no place for the cache
        _warn_uncached()
        return inlined(function)


def inlined(function: F) -> F:
    """`function` for use inside `compiled` ones."""
    return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]


@cache
def _warn_uncached() -> None:
    warn("no folder can be written for compiled code: the tokenizer engine is compiled anew in every process")
