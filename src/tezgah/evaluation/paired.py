"""Is one model better than another on the same tasks? Paired tests: what a task is worth is seen on both sides.

An unpaired test of two scores takes the difference between tasks for noise, though both models met the same ones.
"""

from collections.abc import Sequence
from math import comb

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tezgah.errors import InputError
from tezgah.evaluation.intervals import (
    DRAWS_AT_ONCE,
    LEVEL,
    RESAMPLES,
    Interval,
    percentiles,
    random_words,
    resampled_means,
    widened,
)

MOST_EXACT = 13  # tasks whose signs are flipped in every way, 8,192 of them


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
    """The mean of second minus first over the same tasks, and the two-sided p-value of sign flips that it is none."""

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
    """How much higher the second's scores, (tasks,), each from 0 to 1, are on the mean; the interval draws tasks anew.

    The p-value is that of sign flips: were neither better, each task's difference could as well be to the other side.
    It is the share of all ways to flip them whose sum is as far from 0, of up to 13 tasks that differ; of more, that
    of `resamples` ways with one added, so that it is never 0 (Davison and Hinkley 1997, "Bootstrap Methods", eq. 4.11).
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    _check(a, b)
    gains = b - a
    bounds = percentiles(resampled_means(gains, f"paired {purpose}", resamples), LEVEL)
    low, high = widened(bounds, gains, -1, 1, LEVEL)
    return Difference(
        difference=Interval(value=float(gains.mean()), low=low, high=high),
        p_value=_sign_flips(gains[gains != 0], purpose, resamples),
    )


def _sign_flips(gains: NDArray[np.float64], purpose: str, resamples: int) -> float:
    """How likely so far a sum is where the sign of each gain, (tasks,), none of them 0, is a coin's."""
    count = len(gains)
    is_exact = count <= MOST_EXACT
    total = 1 << count if is_exact else resamples
    size = max(1, DRAWS_AT_ONCE // max(1, count))
    edge = abs(gains.sum()) - 1e-9 * abs(gains).sum()  # sums that are equal but for rounding are equal
    as_far = 0
    for start in range(0, total, size):
        end = min(start + size, total)
        if is_exact:
            flips = (np.arange(start, end)[:, None] >> np.arange(count) & 1).astype(bool)  # (end − start, tasks)
        else:
            flips = (random_words(f"signs {purpose}", count, start, end) >> np.uint64(63)).astype(bool)
        as_far += int((abs(gains.sum() - 2 * (flips * gains).sum(1)) >= edge).sum())
    return as_far / total if is_exact else (as_far + 1) / (total + 1)


def _check(first: ArrayLike, second: ArrayLike) -> None:
    sizes = [len(np.asarray(each)) for each in (first, second)]
    if sizes[0] != sizes[1] or not sizes[0]:
        raise InputError(f"a paired test needs scores of the same tasks; there are {sizes[0]:,} and {sizes[1]:,}.")
