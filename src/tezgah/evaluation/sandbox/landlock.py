"""Landlock: a process gives up the filesystem, but for what a ruleset lets it read, and the network.

Needs no rights and works in most containers; Linux 5.13 or newer. See landlock(7). The ruleset is
made once, in a process that candidates' processes are forked from; each of them only takes it on.
"""

import ctypes
import os
import struct
import sysconfig
from collections.abc import Callable
from pathlib import Path

from tezgah.evaluation.sandbox.system import (
    IS_KNOWN,
    LANDLOCK_ADD_RULE,
    LANDLOCK_CREATE_RULESET,
    LANDLOCK_RESTRICT_SELF,
    ready,
    syscall,
)

_VERSION = 1  # a flag: tell the newest interface instead of making a ruleset
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILESYSTEM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights each interface knows
_NETWORK = 0b11  # bind and connect of TCP, interface 4
_SCOPES = 0b11  # abstract Unix sockets and signals to processes outside, interface 6
_NOT_THE_LIBRARY = ("site-packages", "dist-packages")  # whoever installed a benchmark has its answers there


def interface() -> int:
    """The newest interface that this system knows, 0 where it has no Landlock."""
    if not IS_KNOWN:
        return 0
    try:
        return syscall(LANDLOCK_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def ruleset() -> int:
    """A file descriptor of rules: read Python's standard library and nothing else, write nothing, reach nothing.

    Raises OSError where there is no Landlock.
    """
    newest = interface()
    rights = (1 << _FILESYSTEM_RIGHTS.get(newest, 16)) - 1
    content = struct.pack("=Q", rights)
    if newest >= 4:
        content += struct.pack("=Q", _NETWORK)
    if newest >= 6:
        content += struct.pack("=Q", _SCOPES)
    rules = syscall(LANDLOCK_CREATE_RULESET, content, len(content), 0)
    for path in library():
        _allow(rules, path, _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE)
    return rules


def restriction(rules: int) -> Callable[[], object]:
    """Puts the process that calls it under the rules, for good; it must have said that it wants no new privileges."""
    return ready(LANDLOCK_RESTRICT_SELF, rules, 0)


def library() -> list[Path]:
    """What the standard library is made of; installed packages, which lie among it, are left out."""
    places = {Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))}
    entries = [entry for place in places if place.is_dir() for entry in place.iterdir()]
    return [entry for entry in entries if entry.name not in _NOT_THE_LIBRARY and not entry.is_symlink()]


def _allow(rules: int, path: Path, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, place))
        syscall(LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)
