"""Checkpoints: a Hugging Face folder and, beside it, what resuming needs.

`checkpoints/step-000400/` appears whole or not at all. Its `training_state/` holds the optimizer's
tensors and a small JSON; where the data stands follows from the step alone. Of a sharded model every process
writes its own part of the weights and of the optimizer's tensors there, and the first puts the Hugging Face
folder together from the parts. Either opens in any number of processes, sharded or not.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import msgspec
from torch import Tensor

from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.files import atomic_folder, beside, hash_file, read_struct, write_json
from tezgah.models.causal import CausalLM
from tezgah.models.checkpoint import load_weights, save_parameters
from tezgah.models.tensor_file import write_tensors
from tezgah.starting import checkpoints
from tezgah.training.loss_scale import LossScale
from tezgah.training.optimizer import GroupOptimizer
from tezgah.training.parts import StoredTensors, part_name, read_index, write_part
from tezgah.training.sharding import Rows, own, rows_of
from tezgah.training.snapshot import Snapshot
from tezgah.training.world import World

FORMAT = 2
STATE = "training_state"


class TrainingState(msgspec.Struct, frozen=True, kw_only=True):
    """How far training is: all that is not a tensor."""

    format: int = FORMAT
    step: int
    steps: int
    tokens: int
    seconds: float
    fingerprint: str
    environment: dict[str, str | int]
    parts: int = 0  # processes that wrote one; 0 where one process wrote everything
    hashes: dict[str, str] = {}  # of the tensors beside it, SHA-256
    loss_scale: LossScale | None = None  # in fp16


def save_checkpoint(
    run: Path,
    snapshot: Snapshot,
    state: TrainingState,
    separator_id: int,
    save_extras: Callable[[Path], None],
    keep: int,
    world: World,
) -> None:
    """Write `checkpoints/step-…`, then remove all but the newest `keep`.

    Of a sharded model every process must call this, of another one the first alone.
    """
    if snapshot.is_sharded:
        _save_parts(run, snapshot, state, separator_id, save_extras, world)
    else:
        with atomic_folder(folder_of(run, state.step)) as folder:
            weights, tensors = snapshot.weights, snapshot.state
            hashes = {
                "model.safetensors": save_parameters(
                    snapshot.config, folder, separator_id, weights, weights.__getitem__
                ),
                f"{STATE}/optimizer.safetensors": write_tensors(
                    folder / STATE / "optimizer.safetensors", tensors, tensors.__getitem__
                ),
            }
            save_extras(folder)
            _write_state(folder, state, hashes)
    if world.is_first:
        for old in checkpoints(run)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)


def _save_parts(
    run: Path,
    snapshot: Snapshot,
    state: TrainingState,
    separator_id: int,
    save_extras: Callable[[Path], None],
    world: World,
) -> None:
    """Three acts, each ended when every process has done its share: a folder, the parts in it, what is made of them."""
    path = folder_of(run, state.step)
    with ExitStack() as made:

        def make_folder() -> None:
            if world.is_first:
                (made.enter_context(atomic_folder(path)) / STATE).mkdir()

        def write_own_part() -> None:
            tensors = {**snapshot.weights, **snapshot.state}
            held = {name: tensor for name, tensor in tensors.items() if tensor.ndim or world.is_first}
            write_part(folder / STATE, world.rank, world.size, held, snapshot.rows)

        def finish() -> None:
            if world.is_first:
                hashes = _save_whole(folder, snapshot, separator_id, world.size)
                save_extras(folder)
                _write_state(folder, msgspec.structs.replace(state, parts=world.size), hashes)
                made.close()  # the folder takes its place

        world.together(path, make_folder)
        folder = beside(path, "part", int(world.from_first(float(os.getpid()))))
        world.together(path, write_own_part)
        world.together(path, finish)


def _save_whole(folder: Path, snapshot: Snapshot, separator_id: int, processes: int) -> dict[str, str]:
    """Write the Hugging Face folder from the parts in it, tensor by tensor. Returns the hashes of all the files."""
    stored = StoredTensors.of_parts(folder / STATE, processes)
    shapes = {name: stored.like(name) for name in snapshot.weights}
    hashes = {"model.safetensors": save_parameters(snapshot.config, folder, separator_id, shapes, stored.read)}
    for process in range(processes):
        name = f"{STATE}/{part_name(process, processes)}"
        hashes[f"{name}.safetensors"] = read_index(folder / f"{name}.json").hash
        hashes[f"{name}.json"] = hash_file(folder / f"{name}.json")
    return hashes


def _write_state(folder: Path, state: TrainingState, hashes: dict[str, str]) -> None:
    write_json(folder / STATE / "state.json", msgspec.to_builtins(msgspec.structs.replace(state, hashes=hashes)))


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / "checkpoints" / f"step-{step:06d}"


def resume(run: Path, model: CausalLM, optimizer: GroupOptimizer, world: World) -> TrainingState | None:
    """Load the newest whole checkpoint into `model` and `optimizer`; None where there is none.

    Every process takes the same one. A damaged one is named and passed over. Raises InputError when none of those
    there is whole.
    """
    steps = [int(folder.name[5:]) for folder in checkpoints(run)] if world.is_first else []
    count = int(world.from_first(float(len(steps))))
    for _ in range(count):
        folder = folder_of(run, int(world.from_first(float(steps.pop() if world.is_first else 0))))
        try:
            state = world.together(folder, partial(read_state, folder))
            _check_hashes(folder, state.hashes, world)
            world.together(folder, partial(_load, folder, state.parts, model, optimizer))
        except (InputError, OSError) as error:
            warn(f"{error} Trying the checkpoint before it.")
            continue
        return state
    if count:
        raise InputError(f"{run / 'checkpoints'}: no checkpoint is whole. Start anew with --restart, or restore one.")
    return None


def _check_hashes(folder: Path, hashes: dict[str, str], world: World) -> None:
    """Raise InputError, the same in every process, for a file that is not as it was written; each reads some."""
    names = sorted(hashes)
    mine = range(world.rank, len(names), world.size)
    bad = [number for number in mine if _hash(folder / names[number]) != hashes[names[number]]]
    first = len(names) - int(world.most(float(len(names) - min(bad, default=len(names)))))
    if first < len(names):
        raise InputError(f"{folder / names[first]}: damaged (its hash differs from the one written with it).")


def _hash(path: Path) -> str | None:
    """None for a file that cannot be read."""
    with suppress(OSError):
        return hash_file(path)
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
    return read_struct(path, TrainingState, FORMAT, "Use an earlier checkpoint.")


def _load(folder: Path, parts: int, model: CausalLM, optimizer: GroupOptimizer) -> None:
    inner = folder / STATE
    parameters = dict(model.named_parameters())
    rows = {name: rows_of(parameter) for name, parameter in parameters.items()}
    try:
        if parts:
            stored = StoredTensors.of_parts(inner, parts)
            for name, parameter in parameters.items():
                own(parameter).data.copy_(stored.read(name, rows[name]))
        else:
            stored = StoredTensors.of_file(inner / "optimizer.safetensors")
            load_weights(model, folder, _fill)
        optimizer.load_named_state({name: _read_state_of(stored, name, rows) for name in stored.names if "/" in name})
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{inner}: damaged, or of another model ({error}).") from None


def _fill(parameter: Tensor, whole: Tensor) -> None:
    rows = rows_of(parameter)
    own(parameter).data.copy_(whole[rows.start : rows.start + rows.count])


def _read_state_of(stored: StoredTensors, name: str, rows: dict[str, Rows]) -> Tensor:
    """A tensor of the optimizer: this process's rows of it, as of the parameter that it belongs to."""
    return stored.read(name, rows[name.rpartition("/")[0]] if stored.shape(name) else None)
