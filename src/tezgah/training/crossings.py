"""Where two learning curves cross.

Between its readings a curve is a straight line over the logarithm of its x axis, as `metrics.seconds_below` takes it.
On the places of both curves' readings together the gap between them is such a line too, so its zeros are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tezgah.training.metrics import Floats, between

Curve = tuple[Floats, Floats]  # x, above zero, and y, each (readings,)


@dataclass(frozen=True)
class Crossing:
    """A place where one of two curves goes below the other."""

    x: float
    y: float
    first_is_below: bool  # from here on


@dataclass(frozen=True)
class Encounter:
    """Two curves over what both have of the x axis, from `start` to `end`."""

    start: float
    end: float
    first_is_below: bool | None  # before any crossing; None where they are the same all along
    crossings: tuple[Crossing, ...]


def encounter(first: Curve, second: Curve) -> Encounter | None:
    """How two curves lie to each other; None where they have no part of the x axis in common.

    Curves that touch and part again have not crossed. A reading that does not lie further on than all before it is
    passed over.

    >>> falling, flat = (np.array([1.0, 100.0]), np.array([3.0, 1.0])), (np.array([1.0, 100.0]), np.array([2.0, 2.0]))
    >>> encounter(falling, flat)
    Encounter(start=1.0, end=100.0, first_is_below=False, crossings=(Crossing(x=10.0, y=2.0, first_is_below=True),))
    """
    (x, y), (other_x, other_y) = _rising(first), _rising(second)
    if not (len(x) and len(other_x)) or max(x[0], other_x[0]) > min(x[-1], other_x[-1]):
        return None
    places = np.union1d(x, other_x)
    places = places[(places >= max(x[0], other_x[0])) & (places <= min(x[-1], other_x[-1]))]
    ours = np.interp(np.log(places), np.log(x), y)
    gap = ours - np.interp(np.log(places), np.log(other_x), other_y)
    apart = np.flatnonzero(gap)
    crossings = []
    for before, after in pairwise(apart.tolist()):
        if (gap[before] < 0) != (gap[after] < 0):
            last = after - 1  # the place before; where the curves lie on one another until there, the gap is 0 at it
            share = float(gap[last] / (gap[last] - gap[after]))
            level = float(ours[last] + share * (ours[after] - ours[last]))
            at = between(float(places[last]), float(places[after]), share)
            crossings.append(Crossing(at, level, first_is_below=bool(gap[after] < 0)))
    below = bool(gap[apart[0]] < 0) if len(apart) else None
    return Encounter(float(places[0]), float(places[-1]), below, tuple(crossings))


def told(met: Encounter, first: str, second: str, unit: str, said: Callable[[float], str]) -> str:
    """An encounter of two named curves in words; `said` spells a place on the x axis, `unit` is that of y.

    >>> met = Encounter(1, 100, False, (Crossing(10.0, 2.0, True),))
    >>> told(met, "large", "small", "bits per byte", lambda x: f"{x:g} tokens")
    'large is below small from 10 tokens on (2.000 bits per byte); before, small is below'
    """
    alone = met.start == met.end
    where = f"at {said(met.start)}, all that both have" if alone else f"from {said(met.start)} to {said(met.end)}"
    if met.first_is_below is None:
        return f"never cross: they are the same, {where}"
    last_is_first = met.crossings[-1].first_is_below if met.crossings else met.first_is_below
    below, above = (first, second) if last_is_first else (second, first)
    if not met.crossings:
        return f"never cross: {below} is below {above} {'' if alone else 'all along, '}{where}"
    at = met.crossings[-1]
    until = f"{below} is below {above} from {said(at.x)} on ({at.y:.3f} {unit})"
    if len(met.crossings) == 1:
        return f"{until}; before, {above} is below"
    if len(met.crossings) == 2:
        return f"{until}, and before {said(met.crossings[0].x)}; between, {above} is below"
    return f"{until}; before, they cross {len(met.crossings) - 1:,} times from {said(met.crossings[0].x)} on"


def _rising(curve: Curve) -> Curve:
    """The readings that lie further on than all before them."""
    x, y = curve
    highest = np.maximum.accumulate(np.concatenate([[0.0], x]))[: len(x)]
    return x[x > highest], y[x > highest]
