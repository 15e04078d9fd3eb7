"""How long a sample has run, by a clock that stands still while it waits for a core.

A verdict must not depend on how busy the machine is. Linux tells how long a process has computed, and how long it
could have and had to wait (the first two numbers of /proc/PID/schedstat). The wall clock less the waits is the time
that the sample took itself, asleep or at work. Its two processes work in turn, so their waits add up; where a
candidate makes both want a core at once, to wait twice for the same time, what they computed counts.
Where the system does not tell, it is the wall clock.
"""

import re
import time
from pathlib import Path

GRACE = 0.25  # of the limit a sample may go on: one that ends in it is run again, alone
MAX_GRACE_SECONDS = 0.75
GRACE_AMONG_OTHERS = 1.0  # beside other samples: they share caches, memory and the two halves of a core
BUSY = 10  # times the limit, by the wall clock, and a sample on a busy machine has to be run again


def grace_seconds(limit: float, is_alone: bool) -> float:
    """How long a sample may go on after its limit, so that one slowed down by others can be run again."""
    return min(MAX_GRACE_SECONDS, GRACE * limit) if is_alone else GRACE_AMONG_OTHERS * limit


class OwnTime:
    """The time of a sample, that is of the two processes that work at it in turn; limit and grace in seconds."""

    def __init__(self, trial: int, candidate: int | None, limit: float, grace: float) -> None:
        self.began = time.monotonic()
        self.limit, self.grace = limit, grace
        self.trial, self.candidate = trial, candidate
        self.total: float | None = None

    def left(self) -> float:
        """Seconds until it makes sense to look again; none when the sample has had its time."""
        elapsed = time.monotonic() - self.began
        if elapsed < self.limit + self.grace:
            return self.limit + self.grace - elapsed
        if elapsed > BUSY * self.limit:
            return 0.0
        over = self.limit + self.grace - self._own()
        return max(over, 0.01) if over > 0 else 0.0

    def stop(self) -> None:
        """The sample has ended, or its time."""
        self.total = self._own()

    def is_over(self) -> bool:
        """Whether it took more than its limit."""
        return self.total is not None and self.total > self.limit

    def is_close(self) -> bool:
        """Whether another run might find otherwise: it ended soon after its limit, or never had its time."""
        if self.total is None:
            return False
        is_starved = time.monotonic() - self.began > BUSY * self.limit and self.total <= self.limit
        return is_starved or self.limit < self.total < self.limit + self.grace

    def _own(self) -> float:
        elapsed = time.monotonic() - self.began
        if elapsed <= self.limit:
            return elapsed
        processes = [process for process in (self.trial, _process_of(self.candidate)) if process]
        told = [_computed_and_waited(process) for process in processes]
        return max(elapsed - sum(waited for _, waited in told), sum(computed for computed, _ in told))


def _computed_and_waited(process: int) -> tuple[float, float]:
    """Seconds that a process computed, and that it waited for a core."""
    try:
        computed, waited, _ = map(int, Path(f"/proc/{process}/schedstat").read_text().split())
    except (OSError, ValueError):
        return 0.0, 0.0
    return computed / 1e9, waited / 1e9


def _process_of(descriptor: int | None) -> int | None:
    """The number by which this process knows the one of a descriptor; it may have another in its own world."""
    if descriptor is None:
        return None
    try:
        found = re.search(r"^Pid:\s*(\d+)", Path(f"/proc/self/fdinfo/{descriptor}").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
