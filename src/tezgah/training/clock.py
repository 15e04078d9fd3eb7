"""Time spent on training, which never runs backwards whatever the system's clock does."""

import time


class Clock:
    """Seconds of training: those of earlier sessions, and those that pass from now on."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds, self._read = seconds, time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far. Where the clock was set back, the time until this reading is not counted."""
        now = time.perf_counter()
        self._seconds += max(0.0, now - self._read)
        self._read = now
        return self._seconds
