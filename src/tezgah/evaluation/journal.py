"""A journal: rows of JSON that are on the disk when they are told so, whatever ends the process."""

import os
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from tezgah.errors import InputError
from tezgah.files import FullDisk, writing_to

Row = TypeVar("Row", bound=msgspec.Struct)


class Journal(Generic[Row]):
    """Rows of `kind`, one a line, appended; `rows` are those that were there.

    A last line that a kill tore is dropped. Raises InputError for any other line that is no such row.
    """

    def __init__(self, path: Path, kind: object) -> None:
        self.path = path
        with writing_to(path):
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115  closed at the end of the block
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        self.rows: list[Row] = []
        kept = 0
        for number, line in enumerate(lines, start=1):
            try:
                if not line.endswith(b"\n"):
                    raise msgspec.DecodeError("it has no end")
                self.rows.append(msgspec.json.decode(line, type=kind))
            except msgspec.MsgspecError as error:
                if number < len(lines):
                    self._file.close()
                    raise InputError(
                        f"{path}: line {number:,} is no row of a journal ({error}). Remove the folder and begin anew."
                    ) from None
                break
            kept += len(line)
        with writing_to(path):
            os.ftruncate(self._file.fileno(), kept)

    def add(self, rows: list[Row]) -> None:
        """Append rows; they are on the disk when this returns, and no part of them where there was no space."""
        end = os.fstat(self._file.fileno()).st_size
        data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        try:
            with writing_to(self.path):
                while data:
                    data = data[self._file.write(data) :]
                os.fsync(self._file.fileno())
        except (FullDisk, OSError):
            os.ftruncate(self._file.fileno(), end)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
