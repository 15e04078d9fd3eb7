"""`sweep.json`: what the points of a sweep share, where each of them differs, and what it came to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tezgah.changes import change, some_of
from tezgah.errors import InputError
from tezgah.files import fingerprint, read_struct, write_json
from tezgah.recipe import Recipe, by_key, recipe_tables
from tezgah.stages import DISPLAY
from tezgah.sweep.grid import Grid, point_name

FORMAT = 1
NAME = "sweep.json"

State = Literal["unfinished", "done", "diverged", "failed"]
Measure = Literal["validation_loss", "bits_per_byte"]


class PointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One point: its folder's name, its value of every field that is swept, and what it came to.

    The figures are those of its best reading; they and `steps` are None until it is done.
    """

    folder: str
    settings: dict[str, Any]
    state: State = "unfinished"
    reason: str | None = None  # why it has diverged or failed
    validation_loss: float | None = None  # nats per token
    bits_per_byte: float | None = None
    step: int | None = None  # of the best reading
    steps: int | None = None  # of the training
    minutes: float | None = None  # of training, readings and checkpoints included


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A field whose best value is the smallest or largest of those tried beside it."""

    field: str
    value: int | float
    direction: Literal["down", "up"]
    next: int | float  # a value to try


class SweepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep as `sweep.json` holds it."""

    format: int = FORMAT
    over: Grid  # of the last command
    shared: dict[str, Any]  # the recipe's fields that all points have in common, by key
    points: list[PointRecord]  # the best first, once they are done
    measure: Measure = "validation_loss"
    best: str | None = None  # a point's folder
    edges: list[Edge] = []  # of the best; msgspec copies the default

    @property
    def swept(self) -> list[str]:
        """The keys of the fields in which points differ, of this grid and of earlier ones."""
        return list(self.points[0].settings)


def read_sweep(folder: Path) -> SweepRecord | None:
    """The record in a sweep's folder, None where there is none."""
    path = folder / NAME
    if not path.is_file():
        return None
    mend = "Remove it: the points' own folders stay."
    record = read_struct(path, SweepRecord, FORMAT, mend)
    if not record.points or any(list(point.settings) != record.swept for point in record.points):
        raise InputError(f"{path}: damaged (its points do not have the same fields). {mend}")
    return record


def write_sweep(folder: Path, record: SweepRecord) -> None:
    """Write `sweep.json`."""
    write_json(folder / NAME, msgspec.to_builtins(record))


def planned(folder: Path, over: Grid, recipes: Sequence[Recipe]) -> SweepRecord:
    """The record of a grid that is about to be worked on, whose points have these recipes, in the grid's order.

    Points that are there already are kept, those of an earlier grid too, with the values that they had of the fields
    which only this grid sweeps. Raises InputError where anything else has changed: the points would be compared with
    others than themselves.
    """
    earlier = read_sweep(folder)
    swept = list(dict.fromkeys([*(earlier.swept if earlier else []), *over]))
    fields = [by_key(recipe_tables(recipe)) for recipe in recipes]
    shared = {
        key: value for key, value in fields[0].items() if key not in swept and all(f.get(key) == value for f in fields)
    }
    if earlier:
        _check_shared(folder, earlier, shared, swept)
    known = _with_settings(earlier, swept) if earlier else {}
    points = []
    for each in fields:
        settings = {key: each.get(key) for key in swept}
        points.append(known.pop(fingerprint(settings), PointRecord(folder=point_name(settings), settings=settings)))
    kept = [point for point in known.values() if (folder / point.folder).is_dir()]
    return SweepRecord(over=over, shared=shared, points=points + kept)


def _with_settings(record: SweepRecord, swept: Sequence[str]) -> dict[str, PointRecord]:
    """A record's points with a value of every field in `swept`, by the fingerprint of these values."""
    found = {}
    for point in record.points:
        settings = {key: point.settings.get(key, record.shared.get(key)) for key in swept}
        found[fingerprint(settings)] = msgspec.structs.replace(point, settings=settings)
    return found


def _check_shared(folder: Path, earlier: SweepRecord, shared: dict[str, Any], swept: list[str]) -> None:
    changed = [
        change(key, earlier.shared.get(key), shared.get(key))
        for key in {**earlier.shared, **shared}
        if key not in swept and key not in DISPLAY and earlier.shared.get(key) != shared.get(key)
    ]
    if changed:
        raise InputError(
            f"{folder}: its points were made with other settings: {some_of(changed)}. "
            "Change them back, or name another folder with --run."
        )
