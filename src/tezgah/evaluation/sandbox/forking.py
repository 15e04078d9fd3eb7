"""Processes made from this one."""

import os
import random
import sys
from collections.abc import Callable

SEED = 0  # of the `random` module, so that a verdict does not hang on luck


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
    """Begin a fresh process: no terminal, no place to write to, no files but these, the same luck every time."""
    os.setsid()
    random.seed(SEED)
    os.dup2(1, 2)  # the empty output; what a worker says on stderr is its own
    keep_only(0, 1, 2, *descriptors)


def keep_only(*descriptors: int) -> None:
    """Close all files but these."""
    kept = sorted(descriptors)
    for before, after in zip([-1, *kept], [*kept, os.sysconf("SC_OPEN_MAX")], strict=True):
        if after > before + 1:  # os.closerange(0, 0) closes everything
            os.closerange(before + 1, after)
