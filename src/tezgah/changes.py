"""When a changed recipe meets a run that has trained already: go on, begin anew, or refuse.

Only a larger budget and display settings go on. Any other change sets a finished training aside
in `previous/N/`; it stops an unfinished one with the names of what changed.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tezgah.errors import InputError
from tezgah.fields import shown
from tezgah.files import check_format, read_json, write_json, write_text
from tezgah.recipe import Recipe, by_key, dump_tables, filled, open_fields, recipe_fields, recipe_tables
from tezgah.recipe_checks import BUDGETS
from tezgah.stages import CAME_LATER, FORMATS, Stamp, evaluation_fingerprint, matters_to_training, stamps

# What a training leaves in its run folder. Its record stands in the last two, so these move last.
LEFT_BY_TRAINING = (
    *("metrics.jsonl", "diverged.json", "profile", "trackers", "evaluation.json", "report.html", "curves.png"),
    *("checkpoints", "model"),
)


class Training(msgspec.Struct, frozen=True):
    """The record of a training: what it was told, and what it reached.

    It stands in `checkpoints/stage.json`, and in `model/stage.json` too once training has finished,
    so that checkpoints may be deleted to save space.
    """

    format: int
    fingerprint: str
    inputs: dict[str, Any]
    recipe: dict[str, dict[str, Any]]
    reached: dict[str, float] | None = None  # steps, tokens, epochs, minutes, flops; None until it has finished
    chosen: dict[str, Any] = {}  # fields of that recipe which the user left open; msgspec copies the default


def read_training(run: Path) -> Training | None:
    """The record of the training in a run folder, None where none has begun."""
    for path in _records(run):
        try:
            training = msgspec.json.decode(path.read_bytes(), type=Training)
        except FileNotFoundError:
            continue
        except msgspec.DecodeError as error:
            raise InputError(f"{path}: damaged ({error}). Run again with --restart to begin training anew.") from None
        check_format(path, training.format, FORMATS["train"])
        return training
    return None


def write_training(
    run: Path,
    recipe: Recipe,
    stamp: Stamp,
    chosen: Mapping[str, Any],
    reached: dict[str, float] | None = None,
) -> None:
    """Record what a training is told, before it begins, and with `reached` when it has finished.

    `chosen` are those of its fields that were left open, by key.
    """
    record = Training(stamp.format, stamp.fingerprint, stamp.inputs, recipe_tables(recipe), reached, dict(chosen))
    for folder in ("model", "checkpoints") if reached else ("checkpoints",):
        write_json(run / folder / "stage.json", msgspec.to_builtins(record))


def settled(recipe: Recipe, run: Path) -> Recipe:
    """The recipe with what it leaves open as it was chosen for the training in `run`: nothing is chosen twice.

    A training that has left no weights binds only the same one, with the same budget.
    """
    training = read_training(run)
    if training is None or not open_fields(recipe):
        return recipe
    full = filled(recipe, training.chosen)
    if has_weights(run):
        return full
    same = stamps(full, run)["train"].fingerprint == training.fingerprint and _budget(training) == _budget_of(full)
    return full if same else recipe


def is_finished(run: Path, training: Training | None) -> bool:
    """Whether a training has ended and its model is there."""
    return training is not None and training.reached is not None and (run / "model").is_dir()


def has_weights(run: Path) -> bool:
    """Whether a training has left anything that would be a loss."""
    return (run / "model").exists() or has_checkpoint(run)


def has_checkpoint(run: Path) -> bool:
    """Whether there is anything to go on from; a model without its optimizer's state is not."""
    return any((run / "checkpoints").glob("step-*"))


def has_outdated_evaluation(run: Path) -> bool:
    """Whether `evaluation.json` is of another model than the one that the training here came to, or will come to."""
    training, path = read_training(run), run / "evaluation.json"
    if training is None or not path.is_file():
        return False
    found = read_json(path)
    if not isinstance(found, dict) or training.reached is None:
        return True
    steps = int(training.reached["steps"])
    return found.get("fingerprint") != evaluation_fingerprint(training.fingerprint, steps, found.get("format", 0))


def decide(run: Path, recipe: Recipe, stamp: Stamp) -> Literal["done", "go on", "anew"]:
    """What a recipe asks of the training in a run folder; InputError where it may not go on.

    A training goes on from a checkpoint. Where they are gone, what it left is kept as any other's.
    """
    training = read_training(run)
    if not has_weights(run):
        return "anew"
    if training is None:
        raise _not_ours(run)
    same = training.fingerprint == stamp.fingerprint
    finished = is_finished(run, training)
    if same and finished and _budget(training) == _budget_of(recipe):
        return "done"
    if same and (_budget(training) == _budget_of(recipe) or _is_larger(_budget_of(recipe), training)):
        return "go on" if has_checkpoint(run) else "anew"  # they may have been deleted to save space
    if finished:
        return "anew"
    named = some_of(changes(training, recipe, stamp))
    raise InputError(
        f"{run}: its training has not finished, and the recipe has changed: {named}. "
        "Change it back, add --restart to begin anew, or name another folder with --run."
    )


def changes(training: Training, recipe: Recipe, stamp: Stamp) -> list[str]:
    """What is different from what a training was told, `[train] seed 1 → 2`, one entry a field."""
    old, new = CAME_LATER | by_key(training.recipe), by_key(recipe_tables(filled(recipe, training.chosen)))
    changed = [key for key in {**recipe_fields(), **old} if old.get(key) != new.get(key)]
    found = [change(key, old.get(key), new.get(key)) for key in changed if matters_to_training(key, recipe)]
    old_budget, new_budget = _budget(training), _budget_of(recipe)
    if old_budget != new_budget:
        found.append(f"[train] {old_budget[0]} = {old_budget[1]} → {new_budget[0]} = {new_budget[1]}")
    if not found and training.inputs.get("from") != stamp.inputs.get("from"):
        found.append(f"the model in {recipe.model.from_} is another than it was")
    return found or ["the input files are others than they were"]


def set_aside(run: Path) -> Path | None:
    """Move what an earlier training left to `previous/N/`, with its recipe; None if it left no weights.

    Stopped half-way, the next call goes on with the same folder.
    """
    previous = run / "previous"
    numbers = [int(folder.name) for folder in previous.glob("*") if folder.name.isdigit()]
    target = previous / str(max(numbers, default=0) + 1)
    part = previous / f".{target.name}.part"
    if not has_weights(run) and not part.exists():
        return None
    if has_weights(run) and not any(path.exists() for path in _records(run)):
        raise _not_ours(run)
    part.mkdir(parents=True, exist_ok=True)
    if told := _recipe_told(run):
        write_text(part / "recipe.toml", dump_tables(told))
    for name in LEFT_BY_TRAINING:
        if (run / name).exists():
            os.replace(run / name, part / name)
    os.replace(part, target)
    return target


def forget_plan(run: Path) -> None:
    """Remove what a training that left no weights had measured to plan its minutes, so that another measures anew."""
    (run / "checkpoints" / "plan.json").unlink(missing_ok=True)


def _records(run: Path) -> tuple[Path, Path]:
    return run / "checkpoints" / "stage.json", run / "model" / "stage.json"


def _not_ours(run: Path) -> InputError:
    return InputError(
        f"{run}: holds checkpoints/ or model/ that `tezgah run` did not write. Name another folder with --run."
    )


def _recipe_told(run: Path) -> dict[str, dict[str, Any]] | None:
    """The recipe of the training in a run folder, None where its record is absent or damaged."""
    try:
        training = read_training(run)
    except InputError:
        return None
    return training.recipe if training else None


def _budget(training: Training) -> tuple[str, float]:
    given = training.recipe["train"]
    return next((unit, given[unit]) for unit in BUDGETS if unit in given)


def _budget_of(recipe: Recipe) -> tuple[str, float]:
    given = ((unit, getattr(recipe.train, unit)) for unit in BUDGETS)
    return next((unit, value) for unit, value in given if value is not None)


def _is_larger(budget: tuple[str, float], training: Training) -> bool:
    """Whether a budget asks for more than a training was told, or, in another unit, than it reached."""
    unit, value = budget
    told, amount = _budget(training)
    if unit == told:
        return value > amount
    return training.reached is not None and value > training.reached.get(unit, float("inf"))


def change(key: str, old: Any, new: Any) -> str:
    """A field's change as an error tells it.

    >>> change("train.seed", 1, 2)
    '[train] seed 1 → 2'
    """
    table, name = key.split(".")
    return f"[{table}] {name} {shown(old)} → {shown(new)}"


def some_of(found: list[str], most: int = 6) -> str:
    """The first of some words, and how many more there are.

    >>> some_of(["a", "b", "c"], most=2)
    'a, b, and 1 more'
    """
    more = f", and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
