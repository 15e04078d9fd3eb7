"""What a person reads while work goes on: messages and progress, on stderr.

Results go to stdout and are printed by the command line alone.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


def say(message: str) -> None:
    """One line of information."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """One line the user should not miss; work goes on."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


class Progress(Protocol):
    """A progress bar in use."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Move on by `amount` units; `note` replaces the text at the bar's end."""


@contextmanager
def progress(title: str, total: float | None, unit: str, done: float = 0) -> Iterator[Progress]:
    """A progress bar with rate and time left on a terminal, a line now and then elsewhere.

    `total` is None where the end is not known. `done` units were finished by an earlier run.
    """
    raise NotImplementedError
