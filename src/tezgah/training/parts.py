"""Tensors that several processes wrote, each its own rows: a safetensors file and a JSON index a process.

They are read by rows too, so any number of processes may go on with them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor

from tezgah.errors import InputError
from tezgah.files import read_struct, write_json
from tezgah.models.tensor_file import write_tensors
from tezgah.models.weights import reading
from tezgah.training.sharding import Rows

FORMAT = 1


class PartTensor(msgspec.Struct, frozen=True):
    """What a part holds of a tensor of `shape`: `rows` rows from `start` on; a tensor without rows counts as one."""

    shape: tuple[int, ...]
    start: int
    rows: int


class PartIndex(msgspec.Struct, frozen=True, kw_only=True):
    """`part-00000-of-00002.json`: what the safetensors file beside it holds, and its SHA-256."""

    format: int = FORMAT
    hash: str
    tensors: dict[str, PartTensor]


def part_name(process: int, processes: int) -> str:
    """The name of a process's part, without a suffix.

    >>> part_name(0, 2)
    'part-00000-of-00002'
    """
    return f"part-{process:05d}-of-{processes:05d}"


def write_part(
    folder: Path, process: int, processes: int, tensors: Mapping[str, Tensor], rows: Mapping[str, Rows]
) -> None:
    """Write one process's `tensors`, which are the `rows` of these names."""
    name = part_name(process, processes)
    hashed = write_tensors(folder / f"{name}.safetensors", tensors, tensors.__getitem__)
    held = {name: PartTensor(rows[name].shape, rows[name].start, rows[name].count) for name in tensors}
    write_json(folder / f"{name}.json", msgspec.to_builtins(PartIndex(hash=hashed, tensors=held)))


def read_index(path: Path) -> PartIndex:
    """A part's index. Raises InputError for a file that is none."""
    return read_struct(path, PartIndex, FORMAT, "Use an earlier checkpoint.")


class StoredTensors:
    """Tensors in one file or in parts; none is read before it is asked for, and then only the rows asked for."""

    def __init__(self, path: Path) -> None:
        """Use `of_file` or `of_parts`."""
        self.path = path
        self._pieces: dict[str, list[tuple[Any, PartTensor]]] = {}

    @classmethod
    def of_file(cls, path: Path) -> "StoredTensors":
        """Those of a safetensors file. Raises InputError for a damaged one."""
        stored = cls(path)
        with reading(path):
            file: Any = safe_open(path, framework="pt")
            for name in file.keys():  # noqa: SIM118  no mapping
                shape = tuple(file.get_slice(name).get_shape())
                stored._pieces[name] = [(file, PartTensor(shape, 0, _rows(shape)))]
        return stored

    @classmethod
    def of_parts(cls, folder: Path, processes: int) -> "StoredTensors":
        """Those that so many processes wrote into `folder`. Raises InputError where any of it is damaged."""
        stored = cls(folder)
        for process in range(processes):
            path = folder / f"{part_name(process, processes)}.safetensors"
            index = read_index(path.with_suffix(".json"))
            with reading(path):
                file: Any = safe_open(path, framework="pt")
            for name, held in index.tensors.items():
                stored._pieces.setdefault(name, []).append((file, held))
        for name, pieces in stored._pieces.items():
            ends = [0, *(held.start + held.rows for _, held in pieces)]
            follow = all(held.start == end for (_, held), end in zip(pieces, ends, strict=False))
            if not follow or ends[-1] != _rows(pieces[0][1].shape):
                raise InputError(f"{folder}: its parts do not make up {name}. Use an earlier checkpoint.")
        return stored

    @property
    def names(self) -> list[str]:
        """What there is."""
        return list(self._pieces)

    def shape(self, name: str) -> tuple[int, ...]:
        """A whole tensor's shape."""
        return self._pieces[name][0][1].shape

    def read(self, name: str, rows: Rows | None = None) -> Tensor:
        """A tensor, or some rows of it. KeyError for an unknown name, InputError for another shape than in `rows`."""
        shape = self.shape(name)
        if rows is not None and rows.shape != shape:
            raise InputError(f"{self.path}: {name} is {shape}, the model's {rows.shape}: it is of another model.")
        with reading(self.path):
            if not shape:
                return self._pieces[name][0][0].get_tensor(name)  # type: ignore[no-any-return]
            start, stop = (0, shape[0]) if rows is None else (rows.start, rows.start + rows.count)
            found = [
                file.get_slice(name)[max(start - held.start, 0) : min(stop - held.start, held.rows)]
                for file, held in self._pieces[name]
                if held.start < stop and start < held.start + held.rows
            ]
            if found:
                return found[0] if len(found) == 1 else torch.cat(found)
            return self._pieces[name][0][0].get_slice(name)[:0]  # type: ignore[no-any-return]

    def like(self, name: str) -> Tensor:
        """A tensor's shape and type, without its numbers."""
        return self.read(name, Rows(self.shape(name), 0, 0)).new_empty(self.shape(name), device="meta")


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if shape else 1
