"""Runs beside one another: what each has on every x axis, which measure tells of all, where their curves cross."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tezgah.errors import InputError
from tezgah.files import hash_file
from tezgah.models.config import ModelConfig
from tezgah.models.cost import count_parameters, flops_per_token
from tezgah.training.crossings import Curve, Encounter, encounter, told
from tezgah.training.figures import power_number, short_number
from tezgah.training.metrics import Floats, Row, column
from tezgah.training.plots import time_unit
from tezgah.training.record import Record, model_config, read_record

MOST_RUNS = 20  # on one page
SMOOTHED_POINTS = 120  # of a training loss

Over = Literal["tokens", "time", "FLOPs"]
OVER: tuple[Over, ...] = get_args(Over)
Measure = Literal["validation_loss", "bits_per_byte", "masked_accuracy"]
UNITS: dict[Measure, str] = {
    "validation_loss": "nats per token",
    "bits_per_byte": "bits per byte",
    "masked_accuracy": "of the masked tokens",
}
RISING = ("masked_accuracy",)  # the higher, the better
# Settings by which a validation loss is of other sequences: the sample, and how the held-out text is cut into them.
SAMPLE = (
    *("train.seed", "train.batch_size", "train.validation_batches"),
    *("model.context_length", "tokens.stride", "tokens.keep_short"),
)


@dataclass(frozen=True)
class Compared:
    """One run among several; `config` and `tokenizer` (its SHA-256) are None where the run does not hold them."""

    name: str
    record: Record
    config: ModelConfig | None
    tokenizer: str | None

    @property
    def rows(self) -> list[Row]:
        """Its metrics; at least one of them is a reading."""
        return self.record.rows

    @property
    def parameters(self) -> int | None:
        """Trained parameters."""
        return count_parameters(self.config) if self.config else None

    @property
    def flops_per_token(self) -> int | None:
        """Operations of training on one token."""
        return flops_per_token(self.config) if self.config else None

    def x(self, over: Over) -> Floats:
        """Where each row stands, (rows,): tokens, seconds, or FLOPs, which are NaN where the model is not known."""
        if over == "time":
            return column(self.rows, "seconds")
        each = self.flops_per_token if over == "FLOPs" else 1
        return column(self.rows, "tokens") * (math.nan if each is None else each)

    def curve(self, measure: Measure, over: Over) -> Curve:
        """Its readings after the first step; the one before it has learned nothing."""
        x, y = self.x(over), column(self.rows, measure)
        shown = np.isfinite(x) & np.isfinite(y) & (x > 0) & (column(self.rows, "tokens") > 0)
        return x[shown], y[shown]

    @cached_property
    def smoothed_loss(self) -> tuple[list[int], Floats]:
        """The training loss: the median of stretches of steps that grow as the run does, and each one's middle row."""
        loss = column(self.rows, "loss")
        steps = np.flatnonzero(np.isfinite(loss))
        edges = np.unique(np.geomspace(1, len(steps) + 1, SMOOTHED_POINTS + 1).astype(int)) - 1
        stretches = [steps[start:end] for start, end in pairwise(edges)]
        return [int(each[len(each) // 2]) for each in stretches], np.array(
            [np.median(loss[each]) for each in stretches]
        )

    def best(self, measure: Measure) -> float | None:
        """The best reading: the lowest, of an accuracy the highest."""
        return (max if measure in RISING else min)(_finite(self.rows, measure), default=None)

    def newest(self, measure: Measure) -> float | None:
        """The last reading."""
        return next(reversed(_finite(self.rows, measure)), None)


def read_compared(runs: Sequence[Path], is_outdated: Callable[[Path], bool]) -> list[Compared]:
    """The runs in these folders, still training or stopped ones too.

    `is_outdated` says whether a run's evaluation is of an earlier model. Raises InputError for too many runs, for one
    that is given twice, for a folder that is none, and for one that holds no reading.
    """
    if len(runs) > MOST_RUNS:
        raise InputError(f"{len(runs)} runs are too many for a page. Give at most {MOST_RUNS}.")
    seen: dict[Path, Path] = {}
    for run in runs:
        if first := seen.get(run.resolve()):
            raise InputError(f"{run}: the same run as {first}. Give each run once.")
        seen[run.resolve()] = run
    return [_read(run, name, is_outdated) for run, name in zip(runs, names(runs), strict=True)]


def names(runs: Sequence[Path]) -> list[str]:
    r"""What each run is called: its folder's name, or its whole path where two folders share one; always one line.

    >>> names([Path("runs/small"), Path("runs/large")]), names([Path("a/small"), Path("b/small")])
    (['small', 'large'], ['a/small', 'b/small'])
    >>> names([Path("runs/two\nlines")])
    ['two\\nlines']
    """
    count = Counter(run.resolve().name for run in runs)
    found = [name if count[name := run.resolve().name] == 1 else str(run) for run in runs]
    return [name if name.isprintable() else ascii(name)[1:-1] for name in found]


def measures_of(runs: Sequence[Compared]) -> list[Measure]:
    """Those that any of the runs was read by."""
    return [measure for measure in UNITS if any(run.best(measure) is not None for run in runs)]


def common_measure(runs: Sequence[Compared]) -> tuple[Measure, str]:
    """What the curves are compared by, and why; bits per byte wherever a token or a sample is not the same to all.

    Models that fill masks have none, and are compared by the loss or not at all.
    """
    fill = [run.best("masked_accuracy") is not None for run in runs]
    if any(fill) and not all(fill):
        return "bits_per_byte", "some fill masks and some do not, and their losses are of different questions."
    if any(run.best("validation_loss") is None for run in runs):
        return "bits_per_byte", "a run has no reading of its validation loss."
    tokenizers = {run.tokenizer for run in runs}
    if None in tokenizers and len(runs) > 1:
        return "bits_per_byte", "a run does not hold its tokenizer, and its tokens may not be those of the others."
    if len(tokenizers) > 1:
        return "bits_per_byte", "the runs have different tokenizers, and a token of one is not a token of another."
    if differing := [key for key in SAMPLE if not _is_same(runs, key)]:
        return "bits_per_byte", f"their validation losses are of different samples ({', '.join(differing)})."
    return "validation_loss", "the runs have one tokenizer, and read the same sample."


@dataclass(frozen=True)
class Meeting:
    """Two runs' curves over one x axis; `met` is None where they have nothing of it in common."""

    first: str
    second: str
    over: Over
    met: Encounter | None
    words: str


def meetings(runs: Sequence[Compared], measure: Measure) -> list[Meeting]:
    """Where the curves of every two runs cross, over tokens, time and FLOPs."""
    return [_meeting(first, second, measure, over) for first, second in combinations(runs, 2) for over in OVER]


def said(over: Over, x: float) -> str:
    """A place on an x axis in words, to three digits.

    >>> said("tokens", 3_214_567), said("time", 246), said("FLOPs", 2.346e13)
    ('3.21M tokens', '4.1 minutes', '2.35e13 FLOPs')
    """
    if over == "FLOPs":
        return f"{power_number(x)} FLOPs"
    unit, each = time_unit(x) if over == "time" else ("tokens", 1)
    return f"{short_number(float(f'{x / each:.3g}'))} {unit}"


def notes(run: Compared) -> list[str]:
    """What a run does not hold, and what follows, a sentence each."""
    sentences = []
    if not run.record.evaluation:
        sentences.append("evaluation.json is not there, or of an earlier model: the figures are of the last reading.")
    wanted: tuple[Measure, ...] = ("validation_loss", "bits_per_byte")
    if run.best("masked_accuracy") is not None:
        wanted = ("validation_loss",)
    sentences += [
        f"there is no reading of {measure.replace('_', ' ')}." for measure in wanted if run.best(measure) is None
    ]
    if not run.record.recipe:
        sentences.append("recipe.toml is not there: its settings are not among those that differ.")
    if not run.config:
        sentences.append("neither its settings nor a config.json tell its model: its FLOPs are not known.")
    return [f"{run.name}: {sentence}" for sentence in sentences]


def cautions(runs: Sequence[Compared]) -> list[str]:
    """What may make any comparison of these runs misleading, a sentence each."""
    if all(_is_same(runs, key) for key in ("corpus", "evaluate.reading_bytes")):
        return []
    return ["The runs may have been read on different held-out texts: their settings of the corpus differ."]


def _read(run: Path, name: str, is_outdated: Callable[[Path], bool]) -> Compared:
    record = read_record(run)
    if not any(_finite(record.rows, measure) for measure in UNITS):
        raise InputError(f"{run}: metrics.jsonl holds no reading yet. Wait for the first one, or leave this run out.")
    if record.evaluation and is_outdated(run):
        record = read_record(run, is_outdated=True)
    tokenizer = run / "tokenizer" / "tokenizer.json"
    return Compared(name, record, model_config(record), hash_file(tokenizer) if tokenizer.is_file() else None)


def _finite(rows: Sequence[Row], measure: Measure) -> list[float]:
    values = column(rows, measure)
    return [float(value) for value in values[np.isfinite(values)]]


def _is_same(runs: Sequence[Compared], key: str) -> bool:
    """Whether a field, `train.seed`, or a whole table of the recipes is the same in all runs."""
    values: list[Any] = [run.record.recipe for run in runs]
    for name in key.split("."):
        values = [value.get(name) if isinstance(value, dict) else None for value in values]
    return all(value == values[0] for value in values)


def _meeting(first: Compared, second: Compared, measure: Measure, over: Over) -> Meeting:
    curves = [run.curve(measure, over) for run in (first, second)]
    met = encounter(curves[0], curves[1])
    if met:
        words = told(met, first.name, second.name, UNITS[measure], lambda x: said(over, x))
    elif unread := [run.name for run, (x, _) in zip((first, second), curves, strict=True) if not len(x)]:
        words = f"not known: no reading of {' and '.join(unread)} to compare"
    else:
        early, late = sorted((x[0], x[-1], run.name) for run, (x, _) in zip((first, second), curves, strict=True))
        words = (
            f"not known: {early[2]} ends at {said(over, early[1])}, {late[2]} is first read at {said(over, late[0])}"
        )
    return Meeting(first.name, second.name, over, met, words)
