"""Is one model better than another on the same tasks? Paired tests: what a task is worth is seen on both sides.

An unpaired test of two scores takes the difference between tasks for noise, though both models met the same ones.
"""

from collections.abc import Sequence
from math import comb

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from tezgah.errors import InputError
from tezgah.evaluation.intervals import LEVEL, RESAMPLES, Interval, percentiles, resampled_means


class McNemar(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that only one of two models solved, and how likely so uneven a split is if both are equally good.

    `exact` is McNemar's test by the binomial distribution, `mid_p` counts half of what is just as uneven
    (Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data"): less careful, nearer 5 %.
    """

    only_first: int
    only_second: int
    exact: float
    mid_p: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of second minus first over the same tasks, and the bootstrap's two-sided p-value that it is none."""

    difference: Interval
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's test of whether each task was solved by two models; p-values are two-sided.

    >>> mcnemar([True] * 6 + [False] * 4, [False] * 6 + [False] * 4).exact
    0.03125
    """
    _check(first, second)
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(total, count) for count in range(fewer + 1)) / 2**total
    at_edge = comb(total, fewer) / 2**total
    is_even = only_first == only_second
    return McNemar(
        only_first=only_first,
        only_second=only_second,
        exact=1.0 if is_even else min(1.0, 2 * tail),
        mid_p=1.0 if not total else 1 - at_edge / 2 if is_even else 2 * tail - at_edge,
    )


def paired_difference(first: ArrayLike, second: ArrayLike, purpose: str, resamples: int = RESAMPLES) -> Difference:
    """How much higher the second's scores, (tasks,), are on the mean, by drawing tasks anew with both their scores.

    The p-value is twice the share of resamples on the other side of zero, those at zero included, and those at one
    added, so that it is never 0 (Davison and Hinkley 1997, "Bootstrap Methods", equation 4.11).
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    _check(a, b)
    gains = b - a
    means = resampled_means(gains, f"paired {purpose}", resamples)
    low, high = percentiles(means, LEVEL)
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    return Difference(
        difference=Interval(value=float(gains.mean()), low=low, high=high),
        p_value=min(1.0, 2 * (1 + min(below, above)) / (resamples + 1)),
    )


def _check(first: ArrayLike, second: ArrayLike) -> None:
    sizes = [len(np.asarray(each)) for each in (first, second)]
    if sizes[0] != sizes[1] or not sizes[0]:
        raise InputError(f"a paired test needs scores of the same tasks; there are {sizes[0]:,} and {sizes[1]:,}.")
