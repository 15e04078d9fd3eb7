"""Intervals of means over tasks: the bootstrap, with a random stream that no library's version changes.

Tasks are drawn anew with replacement, as many as there are; the interval is that of the percentiles of the means
(Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3).
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tezgah.errors import InputError
from tezgah.seeds import named_seed
from tezgah.tokens.order import mix

LEVEL = 0.95
RESAMPLES = 10_000
DRAWS_AT_ONCE = 1 << 21  # 16 MB


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over some tasks, and between what bounds it lies with a confidence of `level`."""

    value: float
    low: float
    high: float
    level: float = LEVEL

    def __str__(self) -> str:
        """As text: the value, and the bounds in brackets."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def mean_interval(values: ArrayLike, purpose: str, level: float = LEVEL, resamples: int = RESAMPLES) -> Interval:
    """The mean of `values`, (tasks,), and its interval; `purpose` names the random stream.

    Where all values are 0, or all 1, every resample is the same: then the bounds are those of so many trials that
    all failed, or all succeeded (Clopper and Pearson 1934), which hold for the mean of any values in [0, 1].

    >>> print(mean_interval([0.0] * 164, "example"))
    0.0000 [0.0000, 0.0222]
    """
    numbers = np.asarray(values, np.float64)
    if not numbers.size:
        raise InputError("there are no tasks to take a mean of. Give one or more.")
    value = float(numbers.mean())
    if (numbers == numbers[0]).all():
        bound = ((1 - level) / 2) ** (1 / len(numbers))
        low = bound if numbers[0] == 1 else value
        high = 1 - bound if numbers[0] == 0 else value
        return Interval(value=value, low=low, high=high, level=level)
    low, high = percentiles(resampled_means(numbers, purpose, resamples), level)
    return Interval(value=value, low=low, high=high, level=level)


def resampled_means(numbers: NDArray[np.float64], purpose: str, resamples: int) -> NDArray[np.float64]:
    """Means of `numbers`, (tasks,) or (tasks, columns), over tasks drawn anew; (resamples,) or (resamples, columns)."""
    count = len(numbers)
    size = max(1, DRAWS_AT_ONCE // count)
    parts = [
        numbers[draws(purpose, count, start, min(start + size, resamples))].mean(1)
        for start in range(0, resamples, size)
    ]
    return np.concatenate(parts)


def draws(purpose: str, count: int, first: int, last: int) -> NDArray[np.int64]:
    """Which of `count` tasks the resamples from `first` to before `last` hold, (last − first, count).

    A draw is SplitMix64's word of its place, times the count: a bias of count / 2³², which no one can see.
    """
    places = np.arange(first * count, last * count, dtype=np.uint64)
    words = mix(np.uint64(named_seed(0, f"bootstrap {purpose}")) + places) >> np.uint64(32)
    return (words * np.uint64(count) >> np.uint64(32)).astype(np.int64).reshape(-1, count)


def percentiles(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The bounds between which `level` of the `means` lie."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
