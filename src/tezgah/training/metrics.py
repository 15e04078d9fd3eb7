"""What `metrics.jsonl` says: one typed row a step, and the few questions every reader of it asks.

A row of a step holds that step's own figures; a row at which the run was read also holds the
validation figures and samples. The row of step 0 is a reading before the first step.
"""

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tezgah.errors import InputError

Floats = npt.NDArray[np.float64]
LONGEST_LINE = 5_000  # points that a drawn line has at most


class Sample(msgspec.Struct, frozen=True):
    """A text the model wrote at a reading."""

    prompt: str
    text: str


class Row(msgspec.Struct, frozen=True):
    """One line of `metrics.jsonl`; None where the step did not measure it. Unknown fields are passed over."""

    step: int
    tokens: int = 0  # training tokens seen
    epoch: float = 0.0
    seconds: float = 0.0
    loss: float | None = None  # of this step alone, nats per token
    accuracy: float | None = None  # of this step alone: the share of targets that were the likeliest id
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    validation_loss: float | None = None
    train_eval_loss: float | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None
    masked_accuracy: float | None = None  # of a masked language model, in place of bits per byte
    samples: tuple[Sample, ...] = ()
    skipped: bool = False  # the step was left out: its loss or its gradient was no number, or a spike
    loss_scale: float | None = None  # of the next step, where this one was left out because fp16's range was exceeded


def read_metrics(run: Path) -> list[Row]:
    """Every row of a run's `metrics.jsonl`, in order. A torn last line, left by a killed run, is passed over."""
    path = run / "metrics.jsonl"
    try:
        return msgspec.convert(read_json_lines(path), list[Row])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Give the folder of a run whose training has begun.") from None
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not the metrics of a run ({error}). Restore or remove the file.") from None


def read_json_lines(path: Path) -> list[Any]:
    """One JSON value a line; a last line that was cut off while it was written is passed over."""
    values = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                values.append(json.loads(line))  # unlike msgspec it reads NaN, which a run that diverged may hold
            except ValueError:
                if file.peek(1):
                    raise InputError(f"{path}: line {number:,} is not JSON. Mend or remove that line.") from None
    return values


def column(rows: Sequence[Row], field: str) -> Floats:
    """One field of every row, (rows,), NaN where a row lacks it.

    >>> column([Row(0), Row(1, loss=2.5)], "loss").tolist()
    [nan, 2.5]
    """
    values = (getattr(row, field) for row in rows)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def last(rows: Sequence[Row], field: str) -> float | None:
    """The newest value of a field, None where no row has it."""
    return next((value for row in reversed(rows) if (value := getattr(row, field)) is not None), None)


def seconds_below(rows: Sequence[Row], level: float) -> float | None:
    """When the curve of bits per byte first falls below `level`; None if it never does.

    Between the two readings around it the curve is taken as a straight line over the logarithm
    of time (over time itself where the first of them stands at zero).

    >>> rows = [Row(0, seconds=0, bits_per_byte=4), Row(1, seconds=10, bits_per_byte=3)]
    >>> seconds_below(rows, 3.5)
    5.0
    """
    before: Row | None = None
    for row in rows:
        if row.bits_per_byte is None:
            continue
        if row.bits_per_byte < level:
            return _between(before, row, level) if before else row.seconds
        before = row
    return None


def _between(before: Row, after: Row, level: float) -> float:
    assert before.bits_per_byte is not None and after.bits_per_byte is not None
    share = (before.bits_per_byte - level) / (before.bits_per_byte - after.bits_per_byte)  # of the way, 0 to 1
    return between(before.seconds, after.seconds, share)


def between(start: float, end: float, share: float) -> float:
    """The place that lies a share of the way from `start` to `end`, over the logarithm; over itself from zero.

    >>> between(1, 100, 0.5), between(0, 100, 0.5)
    (10.0, 50.0)
    """
    return start * math.pow(end / start, share) if start > 0 else start + share * (end - start)


def thin(x: Floats, y: Floats, points: int = LONGEST_LINE) -> tuple[Floats, Floats]:
    """At most `points` of the pairs, so that a plot stays small and shows every spike.

    The rows are cut into equal stretches; of each the lowest and the highest `y` stay, in order,
    and so do the first and the last pair of all.
    """
    if len(y) <= points:
        return x, y
    edges = np.linspace(0, len(y), (points - 2) // 2 + 1).astype(int)
    kept = {0, len(y) - 1}
    for start, end in pairwise(edges.tolist()):
        kept |= {start + int(y[start:end].argmin()), start + int(y[start:end].argmax())}
    index = sorted(kept)
    return x[index], y[index]
