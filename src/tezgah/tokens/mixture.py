"""Training on several sources in shares of one's own: whose sequence comes when is a fixed schedule (quota.py).

The k-th sequence is of the source whose turn k is, and of that the next one in its own order, which is a fresh one in
every epoch of its own. All of it follows from k, so resuming is a seek and processes share the same sequences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from tezgah.seeds import named_seed
from tezgah.tokens.quota import Quota
from tezgah.tokens.sequences import Batch, Sequences, TrainingSequences

FORMAT = 1


class SourceShare(msgspec.Struct, frozen=True, kw_only=True):
    """What one source is to have of the training, and how much there is of it."""

    name: str
    units: int  # of as many turns as the units of all sources sum to
    sequences: int | None  # in it; null where that is not known yet


class SharesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoints/sources.json`."""

    format: int = FORMAT
    sources: tuple[SourceShare, ...]


class Mixture:
    """The sequences of several sources, in the order in which training sees them.

    An epoch is as many sequences as all sources have together, whatever each source's part of them. `sample` are
    sequences of the whole, for readings.
    """

    predicts_all = True

    def __init__(
        self,
        parts: Mapping[str, TrainingSequences],
        quota: Quota,
        sample: Sequences,
    ) -> None:
        self.sample = sample
        self._parts, self._quota = parts, quota
        self._has_begun = False

    @property
    def in_epoch(self) -> int | None:
        """How many sequences there are in all; None where that is not known yet."""
        known = [part.in_epoch for part in self._parts.values()]
        return None if None in known else sum(each or 0 for each in known)

    def epochs(self, count: int) -> float:
        """How many epochs `count` sequences are; what a stream has is taken from how much of it was read."""
        pairs = zip(self._parts.values(), self._quota.counts(count), strict=True)
        total = sum(_length(part, had) for part, had in pairs)
        return count / total if total else 0.0

    def take(self, seed: int, first: int, count: int) -> Batch:
        """The first-th to (first + count - 1)-th sequence seen: ids and targets, each (count, time)."""
        shape = (count, self.sample.context_length)
        ids, targets = np.empty(shape, np.int64), np.empty(shape, np.int64)
        turns, before = self._quota.turns(first, count), self._quota.counts(first)
        for number, (name, part) in enumerate(self._parts.items()):
            rows, own = np.flatnonzero(turns == number), named_seed(seed, f"order of {name}")
            if len(rows):
                ids[rows], targets[rows] = part.take(own, before[number], len(rows))
            elif before[number] and not self._has_begun:
                part.take(own, before[number] - 1, 1)  # a stream then knows its place, as it would without a stop
        self._has_begun = True
        return ids, targets

    def shares(self) -> tuple[SourceShare, ...]:
        """What each source is to have, and has."""
        parts = zip(self._parts.items(), self._quota.units, strict=True)
        return tuple(SourceShare(name=name, units=units, sequences=part.in_epoch) for (name, part), units in parts)


def _length(part: TrainingSequences, had: int) -> float:
    """How many sequences a source has: told exactly where it is stored, else by the epochs that `had` of them are.

    (A stream's own count would be known sooner or later as its thread reads ahead.)
    """
    if isinstance(part, Sequences):
        return len(part)
    epochs = part.epochs(had)
    return had / epochs if epochs else 0.0


@dataclass(frozen=True)
class Seen:
    """What a training has had of a source."""

    name: str
    wanted: float  # of all sequences, 0 to 1
    share: float  # the same of those that were seen
    sequences: int
    epochs: float | None  # of the source's own; None where it is not known how many sequences it has


def seen(sources: Sequence[SourceShare], count: int) -> list[Seen]:
    """What the first `count` sequences have of each source."""
    quota = Quota([each.units for each in sources])
    return [
        Seen(each.name, wanted, had / max(1, count), had, had / each.sequences if each.sequences else None)
        for each, wanted, had in zip(sources, quota.shares, quota.counts(count), strict=True)
    ]
