"""How long a run is: its budget as a number of steps, fixed before step 1."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tezgah.files import read_struct
from tezgah.training.settings import TrainSettings

READINGS = 10  # in a run, where nothing else is said
RATES_FORMAT = 1


def budget_steps(
    settings: TrainSettings, sequences: int, context_length: int, flops_per_token: float = 0.0
) -> int | None:
    """Steps of a budget in steps, tokens, epochs or FLOPs; None for minutes, which must be measured.

    >>> budget_steps(TrainSettings(epochs=10, batch_size=2), sequences=18, context_length=256)
    90
    >>> budget_steps(TrainSettings(flops=1e9, batch_size=2), 18, context_length=50, flops_per_token=1e5)
    100
    """
    tokens: float | None = settings.tokens
    if settings.flops is not None and flops_per_token:
        tokens = settings.flops / flops_per_token
    if settings.steps is not None:
        return settings.steps
    if tokens is not None:
        return max(1, round(tokens / (settings.batch_size * context_length)))
    if settings.epochs is not None:
        return max(1, round(settings.epochs * sequences / settings.batch_size))
    return None


def most_steps(settings: TrainSettings, sequences: int) -> int | None:
    """The steps of `max_epochs`, None where it is off, or where the sequences of an epoch are not known.

    >>> most_steps(TrainSettings(max_epochs=4, batch_size=8), sequences=1_000)
    500
    """
    if not settings.max_epochs or not sequences:
        return None
    return max(1, round(settings.max_epochs * sequences / settings.batch_size))


@dataclass(frozen=True)
class Plan:
    """How many steps a run has, and after how many of them a reading follows."""

    steps: int
    reading_steps: int


def plan_of(steps: int, reading_steps: int, readings: int = READINGS) -> Plan:
    """`reading_steps` as the recipe gives it, or `readings` of them spread over the run where it gives 0."""
    return Plan(steps, reading_steps or max(1, steps // readings))


def limited(plan: Plan, most: int | None, reading_steps: int) -> Plan:
    """The plan, ended after `most` steps; None is no limit.

    >>> limited(Plan(steps=900, reading_steps=90), most=100, reading_steps=0)
    Plan(steps=100, reading_steps=10)
    """
    return plan if most is None or plan.steps <= most else plan_of(most, reading_steps)


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoints/plan.json`: what turns minutes into steps, measured once, before the steps they pay for."""

    format: int = RATES_FORMAT
    fingerprint: str = ""  # of the training that was measured
    step: int = 0  # where it stood then; 0 unless an earlier budget was in another unit
    spent: float  # seconds of training gone by then
    step_seconds: float
    reading_seconds: float


def read_rates(path: Path, fingerprint: str, step: int) -> Rates | None:
    """The rates that this training, which stands at `step`, was planned with; None where it was not.

    A training that was killed before its first checkpoint leaves its rates alone, and another may follow it.
    """
    if not path.exists():
        return None
    rates = read_struct(path, Rates, RATES_FORMAT, "Remove the file, and the minutes left are planned anew.")
    return rates if rates.fingerprint == fingerprint and rates.step <= step else None


def plan_minutes(minutes: float, rates: Rates, reading_steps: int) -> Plan:
    """The steps that were done when `rates` were measured, and those that fit in what was left of `minutes`.

    Where the recipe does not say how often to read, there are ten readings, or as many as take
    a sixth of the time left; at least two. A run has as many steps as it has readings.

    >>> plan_minutes(1, Rates(spent=0.0, step_seconds=0.5, reading_seconds=1.0), reading_steps=0)
    Plan(steps=100, reading_steps=10)
    >>> plan_minutes(2, Rates(step=70, spent=60.0, step_seconds=0.5, reading_seconds=0.0), reading_steps=0)
    Plan(steps=190, reading_steps=12)
    """
    left = max(0.0, 60 * minutes - rates.spent)
    if reading_steps:
        seconds = rates.step_seconds + rates.reading_seconds / reading_steps
        return Plan(rates.step + max(1, int(left / seconds)), reading_steps)
    affordable = left / 6 / rates.reading_seconds if rates.reading_seconds else READINGS
    readings = max(2, int(min(READINGS, affordable)))
    plan = plan_of(max(readings, int((left - readings * rates.reading_seconds) / rates.step_seconds)), 0, readings)
    return Plan(rates.step + plan.steps, plan.reading_steps)


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
    return max(1e-6, time.perf_counter() - start)  # a clock may be set back, or be a coarse one
