"""pass@k: how likely one of k samples of a task passes its tests.

Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1: of n samples c pass, and of the
C(n, k) sets of k of them C(n − c, k) hold none that does. A mean over these is without bias; 1 − (1 − c/n)ᵏ is not.
"""

from collections.abc import Iterable, Mapping, Sequence

from tezgah.errors import InputError
from tezgah.evaluation.intervals import Interval, share_interval

USUAL_KS = (1, 10, 100)  # those of Chen et al. 2021


def ks_of(texts: Sequence[str], n: int, owner: str = "a task") -> tuple[int, ...]:
    """The k of a flag's list, in their order, each once; where it is empty, those of `USUAL_KS` up to n.

    `n` is how many samples `owner` has, which is every task or the one with the fewest. Raises InputError for what is
    no whole number from 1 to n.

    >>> ks_of(("10", "1"), 20), ks_of((), 20)
    ((1, 10), (1, 10))
    """
    if bad := [text for text in texts if not (text.isascii() and text.isdecimal() and len(text) < 10)]:
        raise InputError(f"-k must be whole numbers, as in 1,10, not {bad[0]!r}.")
    asked = sorted({int(text) for text in texts}) or [k for k in USUAL_KS if k <= n]
    if outside := [k for k in asked if not 1 <= k <= n]:
        raise InputError(
            f"-k: {outside[0]:,} is not from 1 to {n:,}, the samples of {owner}. Give more samples, or another k."
        )
    return tuple(asked)


def pass_at_k(results: Mapping[str, Sequence[bool]], ks: Iterable[int]) -> dict[int, Interval]:
    """pass@k for each k, from whether each sample of each task passed; the interval is over tasks.

    Tasks may have different numbers of samples. Raises InputError for a k above the smallest, or below 1.

    >>> found = pass_at_k({"a": [True, False], "b": [False, False]}, ks=(1, 2))
    >>> found[1].value, found[2].value
    (0.25, 0.5)
    """
    if not results:
        raise InputError("there are no samples to score. Give some.")
    asked = sorted(set(ks))
    _check_ks(asked, {task: len(passed) for task, passed in results.items()})
    return {
        k: share_interval([estimate(len(passed), sum(passed), k) for passed in results.values()], f"pass@{k}")
        for k in asked
    }


def estimate(n: int, c: int, k: int) -> float:
    """1 − C(n − c, k) / C(n, k), as a product, so that no large number is formed.

    >>> estimate(n=5, c=2, k=1), estimate(n=5, c=2, k=5)
    (0.4, 1.0)
    """
    if n - c < k:
        return 1.0
    if k == 1:
        return c / n
    none = 1.0
    for place in range(n - c + 1, n + 1):
        none *= 1 - k / place
    return 1 - none


def _check_ks(ks: Iterable[int], samples: Mapping[str, int]) -> None:
    """Refuse a k that there are not enough samples for, told by the number of each task's. Raises InputError."""
    fewest = min(samples, key=lambda task: samples[task])
    for k in ks:
        if k < 1:
            raise InputError(f"pass@k: k is {k}; give 1 or more.")
        if k > samples[fewest]:
            raise InputError(
                f"pass@{k} needs {k:,} samples a task, and {fewest!r} has {samples[fewest]:,}. "
                "Give more samples, or a smaller k."
            )
