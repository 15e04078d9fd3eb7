"""How the points of a sweep stand: by which measure, in which order, and whether the best lies at the grid's edge."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tezgah.answers import table
from tezgah.recipe import recipe_fields
from tezgah.recipe_checks import BUDGETS
from tezgah.sweep.grid import field_names, value_text
from tezgah.sweep.record import Edge, Measure, PointRecord, SweepRecord

# A validation loss is of a fixed sample of tokens, chosen by these; where they differ, losses are of different tokens.
SAMPLE = frozenset(
    {
        "train.seed",
        "train.batch_size",
        "train.validation_batches",
        "tokens.stride",
        "tokens.keep_short",
        "model.context_length",
        "model.from",  # its tokenizer comes along
    }
)
DIRECTIONLESS = ("train.seed",)  # numbers of which a larger one is no more of anything
WORDS = {"validation_loss": "validation loss", "bits_per_byte": "bits per byte"}
TRIED = ("done", "diverged")  # states that say something of a value


def measure_of(swept: Sequence[str]) -> Measure:
    """What points are compared by: bits per byte where their losses would be of different tokens.

    >>> measure_of(["train.learning_rate"]), measure_of(["train.learning_rate", "tokenizer.vocab_size"])
    ('validation_loss', 'bits_per_byte')
    """
    return "bits_per_byte" if _changes_sample(swept) else "validation_loss"


def standing(record: SweepRecord) -> SweepRecord:
    """The record with its points in order, the best first, and what is said of the best."""
    measure = measure_of(record.swept)
    points = sorted(record.points, key=lambda point: _rank(point, measure))
    best = points[0] if points[0].state == "done" else None
    edges = _edges(points, best) if best else []
    return msgspec.structs.replace(
        record, points=points, measure=measure, best=best.folder if best else None, edges=edges
    )


def text(folder: Path, record: SweepRecord) -> str:
    """A sweep as a person reads it: the table, and what follows from it."""
    names = field_names(record.swept)
    head = [*names.values(), "validation loss", "bits per byte", "at step", "minutes", ""]
    rows = [
        [*(value_text(value) for value in point.settings.values()), *_figures(point), _word(point, record)]
        for point in record.points
    ]
    said = [*_notes(record), *(_edge_line(edge) for edge in record.edges)]
    said += [f"{point.folder}: {point.state}. {point.reason}" for point in record.points if point.reason]
    if record.best:
        said.append(f"best  {folder / record.best}")
    return "\n".join([table(head, rows), "", *said])


def _rank(point: PointRecord, measure: Measure) -> tuple[int, float]:
    states = ("done", "diverged", "failed", "unfinished")
    figure = getattr(point, measure)
    return states.index(point.state), math.inf if figure is None else figure


def _edges(points: Sequence[PointRecord], best: PointRecord) -> list[Edge]:
    """The numbers of the best point beyond which nothing was tried, its other settings being the same."""
    found = []
    for key, value in best.settings.items():
        beside = [point.settings[key] for point in points if point.state in TRIED and _agree(point, best, key)]
        tried = sorted(filter(_is_number, beside))
        if key in DIRECTIONLESS or not _is_number(value) or len(tried) < 2 or value not in (tried[0], tried[-1]):
            continue
        neighbour = tried[1] if value == tried[0] else tried[-2]
        if (further := _further(key, value, neighbour)) is not None:
            found.append(Edge(field=key, value=value, direction="down" if value < neighbour else "up", next=further))
    return found


def _further(key: str, value: float, neighbour: float) -> float | None:
    """A value beyond `value`, as far from it as the neighbour on its other side; None where the field ends there.

    >>> _further("train.learning_rate", 0.01, 0.005), _further("model.width", 64, 128)
    (0.02, 32)
    >>> _further("train.decay_ratio", 0.8, 0.4), _further("train.decay_ratio", 1.0, 0.5)
    (1.0, None)
    >>> _further("train.momentum", 0.9, 0.8), _further("model.n_layers", 1, 2)
    (0.95, None)
    """
    (kind,) = (kind for kind in recipe_fields()[key].kinds if kind.plain in (int, float))
    wanted = value * value / neighbour if value > 0 < neighbour else 2 * value - neighbour
    if kind.below is not None and wanted >= kind.below:
        wanted = (value + kind.below) / 2
    wanted = round(wanted) if kind.plain is int else float(f"{wanted:.2g}")
    least = kind.above + 1 if kind.plain is int and kind.above is not None else kind.least
    wanted = max(wanted, -math.inf if least is None else least)
    wanted = kind.plain(min(wanted, math.inf if kind.most is None else kind.most))
    return None if wanted == value else wanted


def _agree(point: PointRecord, best: PointRecord, key: str) -> bool:
    return all(point.settings[other] == value for other, value in best.settings.items() if other != key)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _changes_sample(swept: Sequence[str]) -> list[str]:
    return [key for key in swept if key in SAMPLE or key.partition(".")[0] in ("corpus", "tokenizer")]


def _figures(point: PointRecord) -> list[str]:
    if point.state != "done":
        return ["–"] * 4
    loss, bits = (
        f"{figure:.4f}" if figure is not None else "–" for figure in (point.validation_loss, point.bits_per_byte)
    )
    return [loss, bits, f"{point.step:,} of {point.steps:,}", f"{point.minutes:.1f}"]


def _word(point: PointRecord, record: SweepRecord) -> str:
    if point.state == "done":
        return "best" if point.folder == record.best else ""
    return point.state


def _notes(record: SweepRecord) -> list[str]:
    """What to keep in mind when reading the table."""
    lines = [f"Compared by {WORDS[record.measure]}, each point at its best reading."]
    if others := _changes_sample(record.swept):
        names = " and ".join(others)
        lines = [f"Compared by bits per byte, each point at its best reading: with {names} losses are of other tokens."]
    if any(key.startswith("corpus.") for key in record.swept):
        lines.append(
            "Points with another corpus may hold out other text; their figures are then not of the same bytes."
        )
    if minutes := record.shared.get("train.minutes"):
        lines.append(f"Compared at equal time, {minutes:g} minutes of training each, not at equal steps or tokens.")
    elif budgets := [key for key in record.swept if key in [f"train.{unit}" for unit in BUDGETS]]:
        lines.append(f"Points have different budgets: {', '.join(budgets)}.")
    return lines


def _edge_line(edge: Edge) -> str:
    end, way = ("largest", "upwards") if edge.direction == "up" else ("smallest", "downwards")
    values = f"{value_text(edge.value)},{value_text(edge.next)}"
    return f"{edge.field} is best at the {end} value tried: widen the grid {way}, say --over {edge.field}={values}"
