"""Intervals of means over tasks: the bootstrap, with a random stream that no library's version changes.

Tasks are drawn anew with replacement, as many as there are; the interval is that of the percentiles of the means
(Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3). Where nearly all tasks have the same
value drawing anew shows too little, and where there is one task it shows nothing: see `widened`.
"""

from math import comb

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tezgah.errors import InputError
from tezgah.seeds import named_seed
from tezgah.tokens.order import mix

LEVEL = 0.95
RESAMPLES = 10_000
DRAWS_AT_ONCE = 1 << 21  # 16 MB
FEW = 5  # tasks; below it a bootstrap of them is narrower than what is known


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over some tasks, and between what bounds it lies with a confidence of `level`; None where one is all."""

    value: float
    low: float | None
    high: float | None
    level: float = LEVEL

    def __str__(self) -> str:
        """As text: the value, and the bounds in brackets."""
        bounds = "–" if self.low is None or self.high is None else f"{self.low:.4f}, {self.high:.4f}"
        return f"{self.value:.4f} [{bounds}]"


def share_interval(values: ArrayLike, purpose: str, level: float = LEVEL, resamples: int = RESAMPLES) -> Interval:
    """The mean of `values`, (tasks,), each from 0 to 1, and its interval; `purpose` names the random stream.

    >>> print(share_interval([0.0] * 164, "example"))
    0.0000 [0.0000, 0.0222]
    """
    numbers = np.asarray(values, np.float64)
    if not numbers.size:
        raise InputError("there are no tasks to take a mean of. Give one or more.")
    bounds = percentiles(resampled_means(numbers, purpose, resamples), level)
    low, high = widened(bounds, numbers, 0, 1, level)
    return Interval(value=float(numbers.mean()), low=low, high=high, level=level)


def mean_interval(values: ArrayLike, purpose: str) -> Interval:
    """The mean of `values`, (tasks,), which may be any numbers, and its interval; no bounds of one alone."""
    numbers = np.asarray(values, np.float64)
    return ratio_interval(numbers, np.ones(len(numbers)), purpose)


def ratio_interval(parts: ArrayLike, wholes: ArrayLike, purpose: str) -> Interval:
    """The sum of `parts` over the sum of `wholes`, (tasks,) each, and its interval over tasks drawn anew.

    A task whose whole is 0 does not count. Where one alone counts there are no bounds.
    """
    both = np.stack([np.asarray(parts, np.float64), np.asarray(wholes, np.float64)], axis=1)  # (tasks, 2)
    both = both[both[:, 1] > 0]
    if not len(both):
        raise InputError("there is nothing to take a share of. Give tasks with some text.")
    value = float(both[:, 0].sum() / both[:, 1].sum())
    if len(both) == 1:
        return Interval(value=value, low=None, high=None)
    means = resampled_means(both, purpose, RESAMPLES)
    low, high = percentiles(means[:, 0] / means[:, 1], LEVEL)
    return Interval(value=value, low=low, high=high)


def widened(
    bounds: tuple[float, float], numbers: NDArray[np.float64], least: float, most: float, level: float
) -> tuple[float, float]:
    """A bootstrap's bounds of the mean of `numbers`, (tasks,), made to hold where nearly all of these are the same.

    Where fewer than `FEW` tasks have another value than v, the commonest, a task has another with a chance of at most
    p, the bound of so many successes in so many trials (Clopper and Pearson 1934). A value is from `least` to `most`;
    so the mean is at least v − p (v − least), and at most v + p (most − v). The bounds are never drawn together.
    """
    values, counts = np.unique(numbers.round(9), return_counts=True)  # a difference of shares may be so by rounding
    others = len(numbers) - int(counts.max())
    if others >= FEW:
        return bounds
    commonest, chance = float(values[counts.argmax()]), _highest_chance(others, len(numbers), level)
    low, high = commonest - chance * (commonest - least), commonest + chance * (most - commonest)
    return min(bounds[0], low), max(bounds[1], high)


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
    scaled = random_words(f"bootstrap {purpose}", count, first, last) >> np.uint64(32)
    return (scaled * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def random_words(stream: str, count: int, first: int, last: int) -> NDArray[np.uint64]:
    """`count` random words of 64 bits for each draw from `first` to before `last`, (last − first, count)."""
    places = np.arange(first * count, last * count, dtype=np.uint64)
    return mix(np.uint64(named_seed(0, stream)) + places).reshape(-1, count)


def percentiles(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The bounds between which `level` of the `means` lie."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _highest_chance(successes: int, trials: int, level: float) -> float:
    """The chance above which so few successes would come less often than (1 − level) / 2, by halving."""
    if successes == trials:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(64):
        chance = (low + high) / 2
        rest = 1 - chance
        terms = (comb(trials, k) * chance**k * rest ** (trials - k) for k in range(successes + 1))
        low, high = (chance, high) if sum(terms) > (1 - level) / 2 else (low, chance)
    return high
