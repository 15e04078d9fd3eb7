"""All that a process gives up before it runs code of somebody else's, and what this system can do of it."""

import os
import resource
import struct
from dataclasses import dataclass
from math import ceil

from tezgah.evaluation.sandbox import landlock, seccomp
from tezgah.evaluation.sandbox.own_time import GRACE_AMONG_OTHERS
from tezgah.evaluation.sandbox.system import (
    CAPSET,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
    syscall,
)

NEEDED = ("landlock", "seccomp")  # for more than:
WEAK = "weak"
MAX_FILES = 32  # open at a time
_KILL = 9
_CAPABILITIES = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # version 3, this process; none of them


@dataclass(frozen=True)
class Limits:
    """What one sample may use: seconds of its own time, and bytes of address space."""

    seconds: float
    memory_bytes: int


def available(wanted: list[str]) -> list[str]:
    """The layers of `wanted` that one process can put on by itself here: landlock, seccomp."""
    can = {"landlock": landlock.interface() > 0, "seccomp": seccomp.is_available()}
    return [layer for layer in wanted if can.get(layer)]


def level(layers: list[str]) -> str:
    """What layers make together, in one word.

    >>> level(["landlock", "seccomp", "namespaces"]), level(["seccomp"])
    ('landlock+seccomp+namespaces', 'weak')
    """
    return "+".join(layers) if set(NEEDED) <= set(layers) else WEAK


def prepare(limits: Limits, layers: list[str]) -> None:
    """Give up, in a process that others are forked from, what these inherit the lack of: rights, files, memory.

    What costs time is done here once instead of in each of them. Raises OSError.
    """
    _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, MAX_FILES)
    if layers:
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        syscall(CAPSET, *_CAPABILITIES)
    if "seccomp" in layers:
        seccomp.packed()


def confine(limits: Limits, layers: list[str], rules: int | None) -> None:
    """Give up everything else but computing. `rules` is Landlock's ruleset, made before by `landlock.ruleset`.

    Raises OSError where a layer cannot be put on: then nothing of somebody else's may run here.
    """
    most = (1 + GRACE_AMONG_OTHERS) * limits.seconds
    _lower(resource.RLIMIT_CPU, ceil(most) + 2)  # a net: the supervisor is there before
    _lower(resource.RLIMIT_NPROC, 0)
    if layers:
        prctl(PR_SET_PDEATHSIG, _KILL)
    if rules is not None:
        landlock.restrict(rules)
        os.close(rules)
    if "seccomp" in layers:
        seccomp.restrict()


def _lower(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (bound, bound))
