"""`metrics.jsonl`: one object a step, appended as training goes; the trackers are told of the same rows."""

import json
import os
from pathlib import Path
from typing import Any

from tezgah.files import FullDisk, write_bytes, writing_to
from tezgah.training.trackers import Trackers


class Journal:
    """The metrics file of a run, open for appending; rows after `step` are cut first."""

    def __init__(self, run: Path, step: int | None, trackers: Trackers) -> None:
        self.path = run / "metrics.jsonl"
        kept = _rows_until(self.path, step) if step is not None else []
        write_bytes(self.path, b"".join(kept))
        self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115  closed by close()
        self.trackers = trackers
        trackers.open(run, kept, anew=step is None)

    def add(self, row: dict[str, Any]) -> None:
        """Append one row, and tell the trackers.

        The row is in the file when this returns, and no part of it is where there was no space.
        """
        end = os.fstat(self.file.fileno()).st_size
        try:
            with writing_to(self.path):
                left = json.dumps(row, ensure_ascii=False).encode() + b"\n"
                while left:
                    left = left[self.file.write(left) :]
        except (FullDisk, OSError):
            os.ftruncate(self.file.fileno(), end)
            raise
        self.trackers.add(row)

    def sync(self) -> None:
        """Put every row on the disk: a checkpoint must not outlive the rows before it when the power goes."""
        with writing_to(self.path):
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _rows_until(path: Path, step: int) -> list[bytes]:
    if not path.exists():
        return []
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break  # torn by a kill
        if row["step"] > step or not line.endswith(b"\n"):
            break
        kept.append(line)
    return kept
