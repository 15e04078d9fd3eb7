"""A sweep from its first point to its table: point after point, each kept as soon as it is done."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tezgah.console import say
from tezgah.errors import InputError
from tezgah.lock import locked
from tezgah.recipe import Recipe, load_recipe
from tezgah.stages import stamps
from tezgah.sweep.grid import points, read_grid
from tezgah.sweep.points import done_point, finish_point
from tezgah.sweep.record import PointRecord, SweepRecord, planned, write_sweep
from tezgah.sweep.standings import WORDS, measure_of, standing


def run_sweep(recipe: Path, over: Sequence[str], folder: Path, overrides: Mapping[str, str]) -> SweepRecord:
    """Bring every point of a grid to its end, in `folder`; those that are there already are not repeated.

    `over` is the grid as the flags name it, `overrides` are recipe fields set for all points, by key. Raises InputError
    before anything is touched where the grid, a recipe or a source cannot be, and at the end where no point is done.
    """
    grid = read_grid(over)
    if twice := [key for key in grid if key in overrides]:
        raise InputError(f"--over {twice[0]}: --{twice[0]} sets the same field for all points. Give one of the two.")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InputError("`sweep` runs on one machine, a point after another: start it without a launcher.")
    recipes = [load_recipe(recipe, {**overrides, **point}) for point in points(grid)]
    _check_inputs(recipes)
    if (folder / "recipe.toml").is_file() or (folder / "checkpoints").is_dir():
        raise InputError(f"{folder}: is a run, and a sweep needs a folder of its own. Name another with --run.")
    with locked(folder):
        record = _gathered(folder, planned(folder, grid, recipes))
        due = record.points[: len(recipes)]  # before they are put in order
        write_sweep(folder, standing(record))
        say(f"sweep: {len(due)} points in {folder}, one after another")
        for number, (each, point) in enumerate(zip(recipes, due, strict=True), start=1):
            say(f"sweep: point {number} of {len(due)}, {point.folder}")
            others = [other.folder for other in record.points if other.folder != point.folder]
            found = finish_point(each, folder, point, others, record.measure)
            say(f"sweep: {point.folder}, {_outcome(found, record)}")
            record = _with(record, found)
            write_sweep(folder, standing(record))
    record = standing(record)
    if record.best is None:
        first = record.points[0]
        raise InputError(f"{folder}: none of its points came to its end. {first.folder} {first.state}: {first.reason}")
    return record


def _check_inputs(recipes: Sequence[Recipe]) -> None:
    """Refuse a source, a tokenizer or a model to start from that is not there; each is looked for once."""
    different = {(recipe.corpus, recipe.tokenizer, recipe.model.from_): recipe for recipe in recipes}
    for recipe in different.values():
        stamps(recipe)


def _gathered(folder: Path, record: SweepRecord) -> SweepRecord:
    """The record with the figures of what is done, by the measure of this grid: an earlier one's may be another."""
    measure = measure_of(record.swept)
    found = [
        done_point(folder / point.folder, point, measure)
        if point.state == "done" and (folder / point.folder / "metrics.jsonl").is_file()
        else point
        for point in record.points
    ]
    return msgspec.structs.replace(record, points=found, measure=measure)


def _with(record: SweepRecord, found: PointRecord) -> SweepRecord:
    points = [found if point.folder == found.folder else point for point in record.points]
    return msgspec.structs.replace(record, points=points)


def _outcome(point: PointRecord, record: SweepRecord) -> str:
    figure = getattr(point, record.measure)
    if point.state != "done" or figure is None or point.minutes is None:
        return f"{point.state}: {point.reason}"
    return f"{WORDS[record.measure]} {figure:.4f} in {point.minutes:.1f} minutes"
