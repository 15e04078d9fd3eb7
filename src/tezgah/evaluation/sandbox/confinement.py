"""All that a process gives up before it runs code of somebody else's, and what this system can do of it."""

import os
import resource
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil

from tezgah.evaluation.sandbox import landlock, seccomp
from tezgah.evaluation.sandbox.own_time import GRACE_AMONG_OTHERS
from tezgah.evaluation.sandbox.system import (
    CAPSET,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    PRCTL,
    ready,
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


class Confinement:
    """What processes give up, made ready once for all of them: what can wait until then costs each of them time.

    A process that others are forked from calls `prepare`, each of the others `confine`. Raises OSError where a layer
    cannot be made.
    """

    def __init__(self, limits: Limits, layers: list[str]) -> None:
        self.limits, self.layers = limits, layers
        rules = landlock.ruleset() if "landlock" in layers else None
        self.descriptors = [] if rules is None else [rules]  # open until `confine`
        self._steps = list(self._ready(rules))

    def prepare(self) -> None:
        """Give up what those forked from here inherit the lack of: rights, files, memory. Raises OSError."""
        resource.setrlimit(resource.RLIMIT_AS, _at_most(resource.RLIMIT_AS, self.limits.memory_bytes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, _at_most(resource.RLIMIT_NOFILE, MAX_FILES))
        if self.layers:
            syscall(PRCTL, PR_SET_DUMPABLE, 0, 0, 0, 0)
            syscall(PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            syscall(CAPSET, *_CAPABILITIES)

    def confine(self) -> None:
        """Give up everything else but computing.

        Raises OSError where a layer cannot be put on: then nothing of somebody else's may run here.
        """
        for step in self._steps:
            step()

    def _ready(self, rules: int | None) -> Iterator[Callable[[], object]]:
        most = ceil((1 + GRACE_AMONG_OTHERS) * self.limits.seconds) + 2  # a net: the supervisor is there before
        yield partial(resource.setrlimit, resource.RLIMIT_CPU, _at_most(resource.RLIMIT_CPU, most))
        yield partial(resource.setrlimit, resource.RLIMIT_NPROC, (0, 0))
        if self.layers:
            yield ready(PRCTL, PR_SET_PDEATHSIG, _KILL, 0, 0, 0)
        if rules is not None:
            yield landlock.restriction(rules)
            yield partial(os.close, rules)
        if "seccomp" in self.layers:
            yield seccomp.restriction()


def _at_most(what: int, most: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(what)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    return bound, bound
