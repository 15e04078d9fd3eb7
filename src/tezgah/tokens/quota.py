"""Whose turn it is: a fixed schedule that gives every source its share, at every place in it.

A source with the share w is to have had w × k of the first k turns. Where it has `units` of every `period` turns,
its j-th lies between the turns ⌊(j − 1) × period / units⌋ + 1 and ⌈j × period / units⌉: then it is never a whole turn
before or behind. Of the sources whose next turn may begin, the one for which it must end first comes; that
keeps to all of these bounds (Baruah, Cohen, Plaxton and Varvel 1996, "Proportionate progress: a notion of fairness in
resource allocation"). The schedule repeats after a period, so any place of it is a look-up.
"""

import heapq
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MOST_UNITS = 1 << 16  # of a period: shares that are no multiples of 1/65,536 are rounded to one


class Quota:
    """The schedule of sources 0, 1, 2, … of which each has `units` of every `period` turns."""

    def __init__(self, units: Sequence[int]) -> None:
        self.units = tuple(units)
        self.period = sum(units)
        self._turns = _schedule(units)  # (period,)
        self._places = [np.flatnonzero(self._turns == source) for source in range(len(units))]

    @property
    def shares(self) -> list[float]:
        """What each source is to have of all turns."""
        return [units / self.period for units in self.units]

    def turns(self, first: int, count: int) -> NDArray[np.int64]:
        """Whose turns the first-th to (first + count - 1)-th are, counted from 0, (count,).

        >>> Quota([2, 1]).turns(0, 5).tolist(), Quota([2, 1]).turns(4, 5).tolist()
        ([0, 0, 1, 0, 0], [0, 1, 0, 0, 1])
        """
        return self._turns[np.arange(first, first + count) % self.period]

    def counts(self, turns: int) -> list[int]:
        """How many of the first `turns` each source has.

        >>> Quota([2, 1]).counts(4)
        [3, 1]
        """
        periods, rest = divmod(turns, self.period)
        found = (int(np.searchsorted(places, rest)) for places in self._places)
        return [periods * units + some for units, some in zip(self.units, found, strict=True)]


def units_of(weights: Sequence[float]) -> list[int]:
    """Whole numbers in the proportion of `weights`, all above 0; exact where they sum to at most MOST_UNITS.

    Others are rounded by the largest remainders, none of them to less than 1.

    >>> units_of([0.7, 0.2, 0.1]), units_of([3, 3])
    ([7, 2, 1], [1, 1])
    """
    exact = [Fraction(str(weight)) for weight in weights]
    common = math.lcm(*(each.denominator for each in exact))
    whole = [int(each * common) for each in exact]
    divisor = math.gcd(*whole)
    if sum(whole) <= MOST_UNITS * divisor:
        return [each // divisor for each in whole]
    ideal = [MOST_UNITS * each / sum(exact) for each in exact]
    units = [max(1, math.floor(each)) for each in ideal]
    by_remainder = sorted(range(len(units)), key=lambda source: units[source] - ideal[source])
    for source in by_remainder[: max(0, MOST_UNITS - sum(units))]:
        units[source] += 1
    while sum(units) > MOST_UNITS:  # sources below one unit were rounded up
        units[units.index(max(units))] -= 1
    return units


def tempered(sizes: Sequence[int], temperature: float) -> list[float]:
    """Weights in the proportion of size^(1 / temperature): 1 is that of the sizes, and a high one that of equals.

    Arivazhagan et al. 2019 ("Massively multilingual neural machine translation in the wild"), section 4; the exponent
    1 / temperature is the α of XLM (Lample and Conneau 2019, equation 1), and 0.7 in multilingual BERT.

    >>> tempered([100, 1], 1), tempered([100, 1], 2)
    ([100, 1], [1.0, 0.1])
    """
    if temperature == 1:
        return list(sizes)
    return [(size / max(sizes)) ** (1 / temperature) for size in sizes]


def _schedule(units: Sequence[int]) -> NDArray[np.int64]:
    """Whose turns those of one period are, (period,)."""
    period = sum(units)
    turns = np.empty(period, np.int64)
    waiting = [(1, source, 1) for source in range(len(units))]  # first turn it may take, source, which of its own
    ready: list[tuple[int, int, int]] = []  # last turn it may take, source, which of its own
    heapq.heapify(waiting)
    for turn in range(1, period + 1):
        while waiting and waiting[0][0] <= turn:
            _, source, number = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-number * period // units[source]), source, number))
        _, source, number = heapq.heappop(ready)
        turns[turn - 1] = source
        if number < units[source]:
            heapq.heappush(waiting, (number * period // units[source] + 1, source, number + 1))
    return turns
