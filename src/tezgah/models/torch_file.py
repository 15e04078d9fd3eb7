"""Files of `torch.save`: their tensors, and nothing else that lies in them. No code of a file is ever run."""

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from tezgah.errors import InputError
from tezgah.files import read_json

STATES = ("model", "state_dict", "model_state_dict")  # where a checkpoint keeps its state dict, if not at the top
ARGUMENTS = "model_args"  # nanoGPT and llama2.c keep the model's sizes here
LARGEST = 1 << 28  # of a size that is believed
FRACTIONS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
MEND = "Save the weights alone, `torch.save(model.state_dict(), FILE)`, and import that file."

# What torch raises of bytes that are no checkpoint: it tries to read them as one.
DAMAGE = (
    pickle.UnpicklingError,
    SafetensorError,
    struct.error,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    LookupError,
    ArithmeticError,
    MemoryError,
)


@dataclass(frozen=True)
class State:
    """A state dict, and the whole numbers that the checkpoint states of its model."""

    tensors: dict[str, Tensor]
    arguments: dict[str, int] = field(default_factory=dict)


def read_state(path: Path) -> State:
    """The state dict in a file of `torch.save`, or in all those that a `….index.json` names.

    Tensors are mapped into memory where the file's format allows it. Raises InputError for a file that is none, is
    damaged, or asks for program code.
    """
    if not path.name.endswith(".index.json"):
        return _state(path, _loaded(path))
    tensors: dict[str, Tensor] = {}
    for part in _parts(path):
        tensors |= _state(part, _loaded(part)).tensors
    return State(tensors)


def _loaded(path: Path) -> Any:
    try:
        is_mapped = zipfile.is_zipfile(path)  # the older format cannot be
        with warnings.catch_warnings(action="ignore"):  # of odd bytes, which are told of below where they matter
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except DAMAGE as error:
        raise _refusal(path, error) from None


def _refusal(path: Path, error: BaseException) -> InputError:
    """Why torch did not load a file: it asks for code, or it is no checkpoint."""
    names = _code_of(path, str(error))
    if any(name.startswith("torch.nn.modules.") for name in names):
        return InputError(
            f"{path}: a whole pickled module, not its weights; its code ({_shown(names)}) was not run. {MEND}"
        )
    if names:
        return InputError(f"{path}: a pickle that asks for program code ({_shown(names)}), which was not run. {MEND}")
    return InputError(
        f"{path}: no file of `torch.save`, or a damaged one; nothing in it was run. Restore it, or name another file."
    )


def _code_of(path: Path, complaint: str) -> list[str]:
    """The functions and classes that a pickle asks for and that are no part of tensors, read without calling any."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (OSError, *DAMAGE):  # of the older format torch tells the first one alone
        names = re.findall(r"(?:GLOBAL|unrecognized function) (\S+)", complaint)
    return sorted(set(names))


def _shown(names: list[str]) -> str:
    printable = [name if name.isprintable() else ascii(name) for name in names]
    return ", ".join(printable[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _state(path: Path, loaded: Any) -> State:
    """The state dict in what a file holds."""
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, no state dict. {MEND}")
    inner = [loaded[name] for name in STATES if isinstance(loaded.get(name), dict)]
    held = next((found for found in (*inner, loaded) if _has_tensors(found.values())), None)
    if held is None:
        keys = _shown([str(key) for key in loaded]) or "nothing"
        raise InputError(f"{path}: holds no state dict ({keys}). {MEND}")
    tensors = {name: tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not name.isprintable():
            raise InputError(f"{path}: holds a tensor named {name!a}, which no model has. Restore the file.")
        _check(path, name, tensor)
    stated = loaded.get(ARGUMENTS)
    arguments = stated.items() if isinstance(stated, dict) else ()
    return State(tensors, {name: number for name, number in arguments if type(number) is int and 0 < number <= LARGEST})


def _has_tensors(values: Iterable[Any]) -> bool:
    return any(isinstance(value, Tensor) and value.ndim > 0 for value in values)  # a loss beside it is no state


def _check(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse a tensor that would need more memory than the file has bytes: a few numbers said to be many."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        raise InputError(f"{path}: {name} is no plain tensor ({tensor.layout}, {tensor.device}). {MEND}")
    if tensor.nbytes > tensor.untyped_storage().nbytes():
        raise InputError(f"{path}: {name} is said to have {tensor.numel():,} numbers, which the file has not. {MEND}")


def _parts(path: Path) -> list[Path]:
    """The files that an index names, which lie beside it."""
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise InputError(f"{path}: has no weight_map of tensors to files. Restore the file.")
    for place in places.values():
        if not isinstance(place, str) or not re.fullmatch(r"[\w-][\w.-]*\.bin", place):
            raise InputError(f"{path}: {place!r} is not the name of a .bin file beside it. Restore the file.")
    return [path.with_name(place) for place in sorted(set(places.values()))]
