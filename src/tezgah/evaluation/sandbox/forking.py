"""Processes made from this one."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def fork(action: Callable[[], None]) -> int:
    """Do `action` in a copy of this process, which ends with it; returns the copy's number."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        action()
        code = 0
    except BaseException:  # noqa: BLE001  nothing of the process it was copied from may run
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def cut_off(*descriptors: int) -> None:
    """Begin a fresh process: no terminal, no place to write to, no files but these."""
    os.setsid()
    os.dup2(1, 2)  # the empty output; what a worker says on stderr is its own
    keep_only(0, 1, 2, *descriptors)


def keep_only(*descriptors: int) -> None:
    """Close all files but these."""
    place = 0
    for kept in (*sorted(descriptors), os.sysconf("SC_OPEN_MAX")):
        if kept > place:  # os.closerange(0, 0) closes everything
            os.closerange(place, kept)
        place = kept + 1


@contextmanager
def no_hooks() -> Iterator[None]:
    """Modules imported meanwhile are not called after each fork: `random` would seed itself anew there."""
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    try:
        yield
    finally:
        os.register_at_fork = register
