"""Compiling loops with numba: cached where a folder can be written, and said when it takes time."""

import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import event
from numpy.typing import NDArray

from tezgah.console import say, warn

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", bound=np.generic)
OURS = re.compile("compiled-[0-9a-f]{16}")
UNUSED_SECONDS = 30 * 86_400.0
njit: Any = numba.njit  # its stubs know neither what is set for the whole library nor `_nrt`
config: Any = numba.config
_telling = threading.Lock()


def compiled(function: F) -> F:
    """`function` as machine code that runs without the interpreter lock, kept for later processes."""
    folder = cache_folder(Path(function.__code__.co_filename).parent)
    if folder is None:
        return njit(nogil=True)(function)  # type: ignore[no-any-return]
    usual, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return njit(nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = usual


def inlined(function: F) -> F:
    """`function` set into the code of the `compiled` ones that call it.

    A call would hand over the shape and strides of every array, and count its references: cutting and
    counting took 92 ns a word so, 25 without. Such a function must not make arrays.
    """
    return njit(nogil=True, forceinline=True, _nrt=False)(function)  # type: ignore[no-any-return]


def readonly(array: NDArray[N]) -> NDArray[N]:
    """A view that cannot be written, as Arrow's arrays are.

    Code is compiled, and read from the cache, once for arrays of either kind: 0.3 s for each loop.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@cache
def cache_folder(here: Path) -> Path | None:
    """Where machine code of sources in `here` is kept: in NUMBA_CACHE_DIR, beside them, or in the user's cache folder.

    None, with a warning, where none of them can be written. A folder is of one state of the sources:
    numba itself would not notice that a function in another file has changed.
    """
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(here.glob("*.py")))).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    named = os.environ.get("NUMBA_CACHE_DIR")
    homes = [] if home.startswith("~") else [Path(home) / "tezgah"]  # a user without an entry has none
    for parent in [*([Path(named)] if named else []), here / "__pycache__", *homes]:
        folder = parent / f"compiled-{sources}"
        try:
            is_new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                os.utime(folder)  # in use: see _remove_unused
        except OSError:
            continue
        if is_new:
            _remove_unused(parent)
        return folder
    warn("no folder can be written for compiled code: it is compiled anew in every process")
    return None


def _remove_unused(parent: Path) -> None:
    """Remove the machine code of other states of the sources that no process has begun to use for 30 days.

    Several versions may share a folder, each with its own environment, so younger ones stay.
    """
    for folder in parent.glob("compiled-*"):
        with suppress(OSError):  # another process may be removing it too
            if OURS.fullmatch(folder.name) and time.time() - folder.stat().st_mtime > UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def compilation_told(name: str) -> Iterator[None]:
    """While the block runs, say when something of `name` is compiled, and at its end how long that took.

    Within another such block, or beside one in another thread, it leaves the telling to that one.
    """
    if not _telling.acquire(blocking=False):
        yield
        return
    clock = _Clock(name)
    try:
        with event.install_listener("numba:compile", clock):
            yield
    finally:
        _telling.release()
        if clock.seconds:
            say(f"{name}: compiled in {clock.seconds:.0f} s")


class _Clock(event.Listener):
    """Seconds spent compiling; one function's compilation holds those it calls."""

    def __init__(self, name: str) -> None:
        self.name, self.seconds, self._depth, self._begun = name, 0.0, 0, 0.0

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            if not self.seconds:
                say(f"{self.name}: compiling, once for this installation")
            self._begun = time.monotonic()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.monotonic() - self._begun
