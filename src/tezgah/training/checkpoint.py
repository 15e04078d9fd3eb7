"""Checkpoints: a Hugging Face folder and, beside it, what resuming needs.

`checkpoints/step-000400/` appears whole or not at all. Its `training_state/` holds the optimizer's
tensors and a small JSON; where the data stands follows from the step alone.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.files import atomic_folder, check_format, hash_file, read_json, write_bytes, write_json
from tezgah.models.causal import CausalLM
from tezgah.models.checkpoint import load_weights, save_model
from tezgah.starting import checkpoints
from tezgah.training.loss_scale import LossScale
from tezgah.training.optimizer import GroupOptimizer

FORMAT = 1


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """How far training is: all that is not a tensor."""

    format: int = FORMAT
    step: int
    steps: int
    tokens: int
    seconds: float
    fingerprint: str
    environment: dict[str, str | int]
    hashes: dict[str, str] = {}  # of the tensors beside it, SHA-256
    loss_scale: LossScale | None = None  # in fp16


def save_checkpoint(
    run: Path,
    model: CausalLM,
    optimizer: GroupOptimizer,
    state: TrainingState,
    separator_id: int,
    save_extras: Callable[[Path], None],
    keep: int,
) -> None:
    """Write `checkpoints/step-…`, then remove all but the newest `keep`."""
    with atomic_folder(folder_of(run, state.step)) as folder:
        save_model(model, folder, separator_id)
        save_extras(folder)
        inner = folder / "training_state"
        inner.mkdir()
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in optimizer.named_state().items()}
        write_bytes(inner / "optimizer.safetensors", save(tensors))
        hashes = {
            name: hash_file(folder / name) for name in ("model.safetensors", "training_state/optimizer.safetensors")
        }
        write_json(inner / "state.json", msgspec.to_builtins(msgspec.structs.replace(state, hashes=hashes)))
    for old in checkpoints(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / "checkpoints" / f"step-{step:06d}"


def resume(run: Path, model: CausalLM, optimizer: GroupOptimizer) -> TrainingState | None:
    """Load the newest whole checkpoint into `model` and `optimizer`; None where there is none.

    A damaged one is named and passed over. Raises InputError when none of those there is whole.
    """
    folders = checkpoints(run)
    for folder in reversed(folders):
        try:
            state = read_state(folder)
            for name, expected in state.hashes.items():
                if hash_file(folder / name) != expected:
                    raise InputError(f"{folder / name}: damaged (its hash differs from the one written with it).")
            _load(folder, model, optimizer)
        except (InputError, OSError) as error:
            warn(f"{error} Trying the checkpoint before it.")
            continue
        return state
    if folders:
        raise InputError(f"{run / 'checkpoints'}: no checkpoint is whole. Start anew with --restart, or restore one.")
    return None


def newest_state(run: Path) -> TrainingState | None:
    """What the newest checkpoint with a readable `state.json` says; None where there is none. No tensor is read."""
    for folder in reversed(checkpoints(run)):
        with suppress(InputError):
            return read_state(folder)
    return None


def read_state(folder: Path) -> TrainingState:
    """The JSON part of a checkpoint's `training_state/`."""
    path = folder / "training_state" / "state.json"
    fields: Any = read_json(path)
    check_format(path, fields.get("format") if isinstance(fields, dict) else None, FORMAT)
    try:
        return msgspec.convert(fields, TrainingState)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}. Use an earlier checkpoint.") from None


def _load(folder: Path, model: CausalLM, optimizer: GroupOptimizer) -> None:
    path = folder / "training_state" / "optimizer.safetensors"
    try:
        tensors = load_file(path)
        load_weights(model, folder)
        optimizer.load_named_state(tensors)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: damaged, or of another model ({error}).") from None
