"""Compiling the engine's loops: cached where a folder can be written, and said when it takes time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def compilation_told() -> Iterator[None]:
    """While the block runs, say when something is compiled, and at its end how long that took."""
    clock = _Clock()
    with event.install_listener("numba:compile", clock):
        yield
    if clock.seconds:
        say(f"tokenizer engine: compiled in {clock.seconds:.0f} s")


class _Clock(event.Listener):  # type: ignore[misc]
    """Seconds spent compiling; one function's compilation holds those it calls."""

    def __init__(self) -> None:
        self.seconds, self._depth, self._begun = 0.0, 0, 0.0

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            if not self.seconds:
                say("tokenizer engine: compiling, once for this installation")
            self._begun = time.monotonic()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.monotonic() - self._begun


@cache
def _warn_uncached() -> None:
    warn("no folder can be written for compiled code: the tokenizer engine is compiled anew in every process")
