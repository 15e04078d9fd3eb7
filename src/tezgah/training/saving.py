"""Checkpoints are written by a thread of their own, one at a time, while training goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.training.signals import StopWish


class Saver:
    """What was begun and is not yet written. Its error is raised by who waits for it, and lost by nobody."""

    def __init__(self, wish: StopWish) -> None:
        """`wish` is made where training ends early: what waits for space then waits no longer."""
        self._wish = wish
        self._thread = ThreadPoolExecutor(1, "tezgah-checkpoint")
        self._writing: Future[None] | None = None

    def begin(self, write: Callable[[], None]) -> None:
        """Have `write` done, after what was begun before it."""
        self.wait()
        self._writing = self._thread.submit(copy_context().run, write)  # the log hears the thread too

    @property
    def has_failed(self) -> bool:
        """Whether what was begun has come to a bad end."""
        writing = self._writing
        return writing is not None and writing.done() and writing.exception() is not None

    def wait(self) -> None:
        """Until everything is written. Raises what went wrong."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """End the thread, with what was begun written or given up."""
        if self._writing is not None:  # training ends by an error of its own
            self._wish.made = True
            try:
                self.wait()
            except (InputError, OSError, RuntimeError) as error:
                warn(f"the last checkpoint may not have been written: {error}")
        self._thread.shutdown()
