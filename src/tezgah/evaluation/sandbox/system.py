"""Calls of the operating system that Python's library does not offer."""

import ctypes
import errno
import os
import platform
from collections.abc import Callable
from typing import Any

Argument = int | bytes | None | ctypes.Array[ctypes.c_char] | ctypes.Structure

MACHINE = platform.machine()
IS_KNOWN = MACHINE in ("x86_64", "aarch64") and ctypes.sizeof(ctypes.c_void_p) == 8

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
MOUNT_SETATTR = 442
CAPSET = {"x86_64": 126, "aarch64": 91}.get(MACHINE, -1)
SECCOMP = {"x86_64": 317, "aarch64": 277}.get(MACHINE, -1)
PRCTL = {"x86_64": 157, "aarch64": 167}.get(MACHINE, -1)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: Argument) -> int:
    """A system call by number. Raises OSError."""
    return ready(number, *arguments)()


def ready(number: int, *arguments: Argument) -> Callable[[], int]:
    """The same, made ready here and done where it is called: in a process forked from this one, say."""
    function, given = _function("syscall"), (ctypes.c_long(number), *map(_as_c, arguments))
    return lambda: _checked(function(*given))


def unshare(flags: int) -> None:
    """Leave namespaces. Raises OSError."""
    _checked(_function("unshare")(flags))


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int) -> None:
    """Mount a filesystem. Raises OSError."""
    _checked(_function("mount")(source, target, kind, ctypes.c_ulong(flags), None))


def _function(name: str) -> Any:
    """A function of the C library's. Raises OSError where this system's has none of that name."""
    try:
        return getattr(_libc, name)
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None


def _as_c(argument: Argument) -> object:
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    return ctypes.byref(argument) if isinstance(argument, ctypes.Structure) else argument


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
