"""Figures of weights that stay on disk: of one tensor, or of the distance between two, a piece at a time.

Everything is summed in float64 over pieces, so a tensor of any size and type takes the memory of one piece.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap

import torch
from torch import Tensor

from tezgah.models.inspection import in_order
from tezgah.models.weights import WeightFiles

PIECE = 1 << 15  # numbers that are widened at a time: they fit a cache, and torch needs no second thread for them

Told = Callable[[int], None]  # is given the numbers that were read


@dataclass(frozen=True)
class Statistics:
    """Of the finite numbers among `numbers`: their mean, their sum of squared distances from it, the ends.

    `mean`, `least` and `most` say nothing where `finite` is 0.
    """

    numbers: int = 0
    finite: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    zeros: int = 0

    @property
    def deviation(self) -> float:
        """The standard deviation, of the numbers as a whole population."""
        return math.sqrt(self.squares / self.finite) if self.finite else 0.0

    def __add__(self, other: "Statistics") -> "Statistics":
        """The statistics of both together (Chan, Golub & LeVeque 1983, eq. 1.5)."""
        finite = self.finite + other.finite
        apart, share = other.mean - self.mean, other.finite / finite if finite else 0.0
        return Statistics(
            numbers=self.numbers + other.numbers,
            finite=finite,
            mean=self.mean + apart * share,
            squares=self.squares + other.squares + apart * apart * self.finite * share,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
            zeros=self.zeros + other.zeros,
        )


@dataclass(frozen=True)
class Distance:
    """How far b is from a: ‖a − b‖ / ‖a‖, and the cosine between them.

    None where the figure has no value: a is zero and b is not, or one holds what is not finite.
    """

    relative: float | None
    cosine: float | None
    equal: bool


@dataclass(frozen=True)
class Comparison:
    """The tensors of two models: those that one alone has, of other shapes, and the distance of all others."""

    first_only: tuple[str, ...]
    second_only: tuple[str, ...]
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    distances: dict[str, Distance]  # the farthest first

    @property
    def equal(self) -> int:
        """Tensors that hold the same numbers."""
        return sum(distance.equal for distance in self.distances.values())


def statistics_of(tensor: Tensor, told: Told = lambda read: None) -> Statistics:
    """The statistics of a tensor.

    >>> found = statistics_of(torch.tensor([0.0, 2.0, 4.0, float("nan")]))
    >>> found.mean, found.least, found.most, found.zeros, found.numbers - found.finite
    (2.0, 0.0, 4.0, 1, 1)
    """
    found = Statistics()
    for piece in _pieces(tensor):
        found += _of_piece(piece)
        told(len(piece))
    return found


def distance_of(first: Tensor, second: Tensor, told: Told = lambda read: None) -> Distance:
    """How far two tensors of one shape are apart.

    >>> distance_of(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.0]))
    Distance(relative=0.0, cosine=1.0, equal=True)
    """
    apart = length = other_length = product = 0.0
    equal = True
    for a, b in zip(_pieces(first), _pieces(second), strict=True):
        apart += float((a - b).square().sum())
        length += float(a.square().sum())
        other_length += float(b.square().sum())
        product += float((a * b).sum())  # a dot product would wake all threads for each piece
        equal = equal and torch.equal(a, b)
        told(len(a))
    if not all(map(math.isfinite, (apart, length, other_length))):
        return Distance(None, None, equal)
    relative = math.sqrt(apart / length) if length else 0.0 if equal else None
    norms = math.sqrt(length) * math.sqrt(other_length)
    cosine = 1.0 if equal else max(-1.0, min(1.0, product / norms)) if norms else None
    return Distance(relative, cosine, equal)


def compare(
    first: WeightFiles, second: WeightFiles, prefixes: tuple[str, str], told: Told = lambda read: None
) -> Comparison:
    """Set the tensors of two folders side by side; each folder's family prefix counts for nothing in their names."""
    ours, theirs = starmap(_bare, zip((first, second), prefixes, strict=True))
    both = in_order(name for name in ours if name in theirs)
    shapes = {name: (first.shapes[ours[name]], second.shapes[theirs[name]]) for name in both}
    distances = {
        name: distance_of(first.tensor(ours[name]), second.tensor(theirs[name]), told)
        for name in both
        if shapes[name][0] == shapes[name][1]
    }
    return Comparison(
        first_only=tuple(in_order(ours[name] for name in ours if name not in theirs)),
        second_only=tuple(in_order(theirs[name] for name in theirs if name not in ours)),
        reshaped={name: pair for name, pair in shapes.items() if pair[0] != pair[1]},
        distances=dict(sorted(distances.items(), key=lambda found: _nearness(found[1]))),
    )


def _bare(files: WeightFiles, prefix: str) -> Mapping[str, str]:
    return {name.removeprefix(prefix): name for name in files.shapes}


def _nearness(distance: Distance) -> float:
    return 0.0 if distance.equal else -math.inf if distance.relative is None else -distance.relative


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Runs of the tensor's numbers as float64, (PIECE,) each but the last."""
    flat = tensor.reshape(-1)
    for begin in range(0, len(flat), PIECE):
        yield flat[begin : begin + PIECE].double()


def _of_piece(piece: Tensor) -> Statistics:
    values = piece if piece.sum().isfinite() else piece[piece.isfinite()]  # a sum is ten times cheaper than a choice
    if not len(values):
        return Statistics(numbers=len(piece))
    mean, (least, most) = values.mean(), values.aminmax()
    return Statistics(
        numbers=len(piece),
        finite=len(values),
        mean=float(mean),
        squares=float((values - mean).square_().sum()),
        least=float(least),
        most=float(most),
        zeros=len(values) - int(values.count_nonzero()),
    )
