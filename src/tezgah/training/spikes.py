"""Spikes: a step whose loss or gradient stands far above those of the steps before it.

The rule is that of OLMo-core's SkipStepOptimizer (a loss or a norm more than 6 standard deviations from the mean of
the last 128 steps; "OLMo 2", arXiv 2501.00656, trains with it), with two changes. Median and median absolute
deviation stand for mean and standard deviation, which one spike widens so far that the next is not seen (modified
z-score, Iglewicz and Hoaglin 1993). And logarithms are compared, because norms, and losses early on, change by
factors (ZClip, arXiv 2504.02507, takes the z-score of norms too). PaLM (Chowdhery et al. 2022, section 5.1) went
back and left out the batches around a spike; here the step is left out before it has changed a weight.
"""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from tezgah.training.metrics import Row

WINDOW = 128  # steps
FEWEST = WINDOW // 2  # steps before the first that can be a spike
SMALLEST_DEVIATION = 0.01  # of a logarithm, 1 %: a level course has hardly any of its own


class Spikes:
    """The losses and gradient norms of the last steps, those that were left out included."""

    def __init__(self, deviations: float, rows: Iterable[Row] = ()) -> None:
        """`deviations` is how far above the median a spike begins, in standard deviations of a normal course.

        `rows` are those that stand in `metrics.jsonl`, so that a resumed training judges as an uninterrupted one.
        """
        self.deviations = deviations
        self.losses: deque[float] = deque(maxlen=WINDOW)
        self.norms: deque[float] = deque(maxlen=WINDOW)
        for row in rows:
            if row.loss is not None and row.grad_norm is not None:
                self.add(row.loss, row.grad_norm)

    def add(self, loss: float, norm: float) -> None:
        """Take in a step's loss and norm, both of them numbers."""
        self.losses.append(_log(loss))
        self.norms.append(_log(norm))

    def has(self, loss: float, norm: float) -> bool:
        """Whether either stands out; never so among the first steps."""
        return len(self.losses) >= FEWEST and (
            self._stands_out(_log(loss), self.losses) or self._stands_out(_log(norm), self.norms)
        )

    def _stands_out(self, value: float, before: deque[float]) -> bool:
        middle = median(before)
        deviation = 1.4826 * median(abs(each - middle) for each in before)  # a standard deviation, were they normal
        return value > middle + self.deviations * max(deviation, SMALLEST_DEVIATION)


def _log(value: float) -> float:
    return math.log(max(value, 1e-30))
