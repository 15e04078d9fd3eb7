"""What training shows below its bar on a terminal: the course of the loss, the figures of a step, the last sample."""

import math
import resource
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch

from tezgah.tokens.sequences import TrainingSequences
from tezgah.training.metrics import Row
from tezgah.training.place import Place

SPARKS = "▁▂▃▄▅▆▇█"
WIDTH = 60  # characters of the sparkline, fewer while there are fewer steps
RUNNING = 100  # steps that the running accuracy is the mean of
SAMPLE = 200  # characters of a sample; the terminal cuts what does not fit


def opening(step: int, steps: int, batch_tokens: int, processes: int, place: Place, rate: float) -> str:
    """What stands above the bar: how far, how much at a time, where; `rate` is the matrix rate in FLOP/s."""
    how = f"{place.device.type}, {place.environment()['precision']}, "
    how += "compiled" if place.compiled else "uncompiled"
    at = f"resuming after step {step:,} of {steps:,}" if step else f"{steps:,} steps"
    return (
        f"training: {at}, {batch_tokens:,} tokens each, on {how}, "
        f"{processes} process{'es' if processes > 1 else ''}; matrix rate {rate / 1e9:,.0f} GFLOP/s"
    )


def progress_in_epochs(step: int, steps: int, batch_size: int, in_epoch: int) -> str:
    """In which epoch a step ends, and which of its batches that is; an epoch has `in_epoch` sequences.

    >>> progress_in_epochs(5, 8, batch_size=4, in_epoch=10)  # sequences 17 to 20, the last of the second epoch
    'epoch 2/4, batch 3/3'
    """
    epoch = (step * batch_size - 1) // in_epoch  # from 0
    batch, batches = (-(-count // batch_size) for count in (step * batch_size - epoch * in_epoch, in_epoch))
    return f"epoch {epoch + 1:,}/{-(-steps * batch_size // in_epoch):,}, batch {batch:,}/{batches:,}"


def told_epoch(sequences: TrainingSequences, step: int, steps: int, batch_size: int) -> str:
    """The beginning of a step's line: its epoch and batch, where an epoch is so many sequences, each of them once."""
    in_epoch = sequences.in_epoch  # None of a stream until it has been read
    if not in_epoch or sequences.epochs(in_epoch) != 1:  # several sources have epochs of their own
        return ""
    return f"{progress_in_epochs(step, steps, batch_size, in_epoch)}, "


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Values as bars of eight heights over a logarithmic axis, in their order: of every stretch the mean.

    >>> sparkline([8.0, 4.0, 2.0, 1.0])
    '█▆▃▁'
    >>> sparkline([5.0])
    '▁'
    """
    logs = [math.log(value) for value in values if value > 0 and math.isfinite(value)]
    count = min(width, len(logs))
    edges = [len(logs) * number // count for number in range(count + 1)] if count else []
    means = [math.fsum(logs[a:b]) / (b - a) for a, b in pairwise(edges)]
    if not means:
        return ""
    low, span = min(means), max(means) - min(means) or 1.0
    return "".join(SPARKS[min(len(SPARKS) - 1, int((mean - low) / span * len(SPARKS)))] for mean in means)


class Course:
    """Geometric means of equal stretches of a long series: never more than twice as many as are drawn."""

    def __init__(self) -> None:
        self.means: list[float] = []
        self.part: list[float] = []  # values of the stretch that is not full yet
        self.stretch = 1

    def add(self, value: float) -> None:
        """Take the next value; what is no positive number is passed over."""
        if not (value > 0 and math.isfinite(value)):
            return
        self.part.append(value)
        if len(self.part) == self.stretch:
            self.means.append(_geometric_mean(self.part))
            self.part = []
        if len(self.means) == 2 * WIDTH:
            self.means = [_geometric_mean(self.means[at : at + 2]) for at in range(0, 2 * WIDTH, 2)]
            self.stretch *= 2


class View:
    """The lines below the bar, of the rows so far."""

    def __init__(self, rows: Iterable[Row], place: Place) -> None:
        self.place, self.losses = place, Course()
        self.accuracies: deque[float] = deque(maxlen=RUNNING)
        for row in rows:
            self.losses.add(row.loss or 0.0)
            self._add_accuracy(row.accuracy)
        self.read = self.sample = ""

    def lines(self, row: dict[str, Any]) -> list[str]:
        """What to show after a step, whose row this is."""
        self.losses.add(row.get("loss", 0.0))
        self._add_accuracy(row.get("accuracy"))
        if "validation_loss" in row:
            self.read = f", validation {row['validation_loss']:.3f} at step {row['step']:,}"
        if row.get("samples"):
            self.sample = " ".join(row["samples"][-1]["text"].split())[:SAMPLE]
        figures = f"learning rate {row['learning_rate']:.2g}"
        if "grad_norm" in row:
            figures += f", gradient norm {row['grad_norm']:.2f}"
        if "accuracy" in row:
            running = math.fsum(self.accuracies) / len(self.accuracies)
            figures += f", accuracy {row['accuracy']:.1%} (running {running:.1%})"
        figures += f", memory {_peak_bytes(self.place) / 1e9:.1f} GB"
        return [
            f"{sparkline([*self.losses.means, *self.losses.part])} loss{self.read}",
            figures,
            *([f"“{self.sample}”"] if self.sample else []),
        ]

    def _add_accuracy(self, accuracy: float | None) -> None:
        if accuracy is not None:
            self.accuracies.append(accuracy)


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _peak_bytes(place: Place) -> int:
    """The most memory held so far: the device's, or this process's."""
    if place.device.type == "cuda":
        return torch.cuda.max_memory_allocated(place.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
