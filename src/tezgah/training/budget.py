"""How long a run is: its budget as a number of steps, fixed before step 1."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from tezgah.training.settings import TrainSettings

READINGS = 10  # in a run, where nothing else is said


def budget_steps(settings: TrainSettings, sequences: int, context_length: int) -> int | None:
    """Steps of a budget in steps, tokens or epochs; None for minutes, which must be measured.

    >>> budget_steps(TrainSettings(epochs=10, batch_size=2), sequences=18, context_length=256)
    90
    """
    if settings.steps is not None:
        return settings.steps
    if settings.tokens is not None:
        return max(1, round(settings.tokens / (settings.batch_size * context_length)))
    if settings.epochs is not None:
        return max(1, round(settings.epochs * sequences / settings.batch_size))
    return None


@dataclass(frozen=True)
class Plan:
    """How many steps a run has, and after how many of them a reading follows."""

    steps: int
    reading_steps: int


def plan_of(steps: int, reading_steps: int, readings: int = READINGS) -> Plan:
    """`reading_steps` as the recipe gives it, or `readings` of them spread over the run where it gives 0."""
    return Plan(steps, reading_steps or max(1, steps // readings))


def plan_minutes(minutes: float, spent: float, step_seconds: float, reading_seconds: float, reading_steps: int) -> Plan:
    """Steps that fit in `minutes`, of which `spent` seconds are gone.

    Where the recipe does not say how often to read, there are ten readings, or as many as take
    a sixth of the time left; at least two. A run has as many steps as it has readings.

    >>> plan_minutes(minutes=1, spent=0.0, step_seconds=0.5, reading_seconds=1.0, reading_steps=0)
    Plan(steps=100, reading_steps=10)
    """
    left = max(0.0, 60 * minutes - spent)
    if reading_steps:
        return Plan(max(1, int(left / (step_seconds + reading_seconds / reading_steps))), reading_steps)
    readings = max(2, min(READINGS, int(left / 6 / reading_seconds)))
    return plan_of(max(readings, int((left - readings * reading_seconds) / step_seconds)), 0, readings)


def measure_step(step: Callable[[], None], agree: Callable[[float], float], seconds: float = 5.0) -> float:
    """Median seconds of a step, over about `seconds` and at least three, after two to warm up.

    `agree` makes one process's count everybody's, since a step needs them all.
    """
    step()
    count = int(agree(max(3.0, min(100.0, seconds / _timed(step)))))
    return statistics.median(_timed(step) for _ in range(count))


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
