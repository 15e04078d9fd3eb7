"""The safetensors files of a folder: one, or several with an index; looked through before anything is read."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from tezgah.errors import InputError
from tezgah.files import read_json

ONE, INDEX = "model.safetensors", "model.safetensors.index.json"
FRACTIONS = ("F64", "F32", "F16", "BF16")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


class WeightFiles:
    """Where each tensor of a folder lies, its shape and its type; none is read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.path = _one_or_index(folder)
        # Kept open: a file that is replaced meanwhile is not mixed in. Each is mapped twice, because a mapping
        # keeps every page that was read: one for tensors that stay, one for those that are copied from.
        self._files: dict[str, Any] = {}
        self._passing: dict[str, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}  # as safetensors names them
        for path, wanted in _parts(folder, self.path):
            with reading(path):
                file: Any = safe_open(path, framework="pt")
                passing: Any = safe_open(path, framework="pt")
                names = set(file.keys())
                if missing := (wanted or set()) - names:
                    raise InputError(
                        f"{path}: lacks {listed(missing)}, which {INDEX} says it holds. Restore the files."
                    )
                for name in sorted(names if wanted is None else wanted):
                    part = file.get_slice(name)
                    self._files[name], self._passing[name] = file, passing
                    self.shapes[name] = tuple(part.get_shape())
                    self.dtypes[name] = part.get_dtype()

    def tensor(self, name: str) -> Tensor:
        """A tensor as it lies on disk: read where it is used, and never written back."""
        with reading(self.path):
            return self._files[name].get_tensor(name)  # type: ignore[no-any-return]

    def passing_tensor(self, name: str) -> Tensor:
        """The same for a tensor that is copied from, before `let_go`."""
        with reading(self.path):
            return self._passing[name].get_tensor(name)  # type: ignore[no-any-return]

    def let_go(self) -> None:
        """Give the memory of passing tensors back."""
        self._passing.clear()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what is wrong with a safetensors file into InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Restore it from its source.") from None
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged ({reason}). Restore the file, or use an earlier checkpoint.") from None


def listed(names: Iterable[str]) -> str:
    """Names in order, all of them."""
    return ", ".join(sorted(names))


def _one_or_index(folder: Path) -> Path:
    for name in (ONE, INDEX):
        if (folder / name).is_file():
            return folder / name
    pickles = [name for name in PICKLES if (folder / name).exists()]
    if pickles:
        raise InputError(
            f"{folder / pickles[0]}: a pickle, which can run any code, is not opened. Convert it: "
            f"`tezgah import {folder / pickles[0]} --like {folder} -o DIR`."
        )
    raise InputError(f"{folder / ONE}: no such file.")


def _parts(folder: Path, path: Path) -> list[tuple[Path, set[str] | None]]:
    """Each file, and the tensors it should hold; None for all that are there."""
    if path.name == ONE:
        return [(path, None)]
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise InputError(f"{path}: has no weight_map of tensors to files. Restore the file.")
    parts: dict[str, set[str]] = {}
    for name, place in places.items():
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", place):
            raise InputError(f"{path}: {place!r} is not the name of a safetensors file beside it. Restore the file.")
        parts.setdefault(place, set()).add(name)
    return [(folder / place, wanted) for place, wanted in parts.items()]
