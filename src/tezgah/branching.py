"""A run that begins where a checkpoint of another one stands: one stable training, many decays.

A training under the "wsd" schedule runs at a constant rate until it decays, so what it is at a checkpoint before the
decay does not depend on how long it was meant to be (Hägele et al. 2024). A branch goes on from there to an
end of its own, and is bit for bit the run that was planned so from the start.
"""

import os
import shutil
from pathlib import Path

import msgspec

from tezgah.changes import Training, changes, has_weights, read_training, write_training
from tezgah.errors import InputError
from tezgah.files import atomic_folder, write_bytes, write_json
from tezgah.recipe import Recipe, filled, make_recipe, recipe_tables
from tezgah.stages import stamps

DECAY = ("decay_ratio", "final_ratio")  # fields of [train] that a branch may change
SHARED = ("corpus", "tokenizer", "tokens")


def begin_branch(checkpoint: Path, recipe: Recipe, folder: Path) -> None:
    """Fill `folder` so that its training goes on from `checkpoint`; one that has begun there already is left alone.

    Files are shared with the checkpoint's run where the disk can (hard links): a run never writes into a file that
    is there. Raises InputError for a checkpoint of another training, or one whose rates the recipe would not have had.
    """
    if has_weights(folder):
        return
    source = checkpoint.resolve().parent.parent
    training = read_training(source)
    if training is None or not (checkpoint / "training_state").is_dir():
        raise InputError(f"--branch {checkpoint}: no checkpoint of a run. Name a folder RUN/checkpoints/step-….")
    recipe = filled(recipe, training.chosen)
    stamp = stamps(recipe, folder)["train"]
    _check(checkpoint, training, recipe, folder)
    for stage in SHARED:
        if (source / stage).is_dir() and not (folder / stage).exists():
            with atomic_folder(folder / stage) as made:
                _share(source / stage, made)
    if (source / "metrics.jsonl").is_file():
        write_bytes(folder / "metrics.jsonl", (source / "metrics.jsonl").read_bytes())
    write_training(folder, recipe, stamp, training.chosen)
    with atomic_folder(folder / "checkpoints" / checkpoint.resolve().name) as made:
        _share(checkpoint, made)
        _rename(made, stamp.fingerprint)


def _check(checkpoint: Path, training: Training, recipe: Recipe, folder: Path) -> None:
    from tezgah.training.budget import budget_steps
    from tezgah.training.checkpoint import read_state
    from tezgah.training.schedule import learning_rate_factor
    from tezgah.training.settings import closed

    state, before = read_state(checkpoint), make_recipe(training.recipe)
    unbranched = _with_decay_of(before, recipe)
    stamp = stamps(unbranched, folder)["train"]
    if stamp.fingerprint != state.fingerprint:
        named = ", ".join(changes(training, unbranched, stamp))
        raise InputError(f"--branch {checkpoint}: the recipe is not that of its run: {named}. Change it back.")
    in_steps = closed(msgspec.structs.replace(recipe.train, epochs=None, minutes=None, flops=None))
    steps = budget_steps(in_steps, 0, state.tokens // (state.step * in_steps.batch_size))
    if steps is None or steps <= state.step:
        raise InputError(f"--branch {checkpoint}: give train.steps (or train.tokens) beyond step {state.step:,}.")
    for step in range(1, state.step + 1):
        planned = learning_rate_factor(step, steps, recipe.train)
        if planned != learning_rate_factor(step, state.steps, before.train):
            raise InputError(
                f"--branch {checkpoint}: at step {step:,} the run's learning rate was another than this recipe plans. "
                "Branch off before either of them decays: raise train.steps, or lower train.decay_ratio."
            )


def _with_decay_of(before: Recipe, recipe: Recipe) -> Recipe:
    tables = recipe_tables(recipe)
    told = recipe_tables(before)["train"]
    return make_recipe({**tables, "train": tables["train"] | {name: told[name] for name in DECAY}})


def _share(source: Path, target: Path) -> None:
    """The files of a folder, as the same files where the disk can."""

    def link(path: str, to: str) -> None:
        try:
            os.link(path, to)
        except OSError:
            shutil.copy2(path, to)

    shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)


def _rename(checkpoint: Path, fingerprint: str) -> None:
    """Make a shared checkpoint one of the training with this fingerprint."""
    from tezgah.training.checkpoint import read_state

    state = msgspec.structs.replace(read_state(checkpoint), fingerprint=fingerprint)
    write_json(checkpoint / "training_state" / "state.json", msgspec.to_builtins(state))
