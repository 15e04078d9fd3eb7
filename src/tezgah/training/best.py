"""The best reading of a training so far: what it was, and how long ago."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tezgah.errors import InputError
from tezgah.files import atomic_folder, read_json, write_json
from tezgah.training.metrics import Row

FOLDER = Path("checkpoints", "best")  # of a run


class Reading(msgspec.Struct, frozen=True):
    """`checkpoints/best/reading.json`: the step whose model lies there, its validation loss, and of which training."""

    fingerprint: str
    step: int
    validation_loss: float


class Best:
    """The lowest validation loss among readings, and how many have come since."""

    def __init__(self, run: Path, fingerprint: str, rows: list[Row]) -> None:
        """`rows` are those of `metrics.jsonl` that stand; a model kept from a reading after them is still the best."""
        self.run, self.fingerprint = run, fingerprint
        self.reading, self.waited = _kept(run, fingerprint), 0
        for row in rows:
            if row.validation_loss is not None:
                self.add(row.step, row.validation_loss)

    def add(self, step: int, validation_loss: float) -> bool:
        """Take a reading; true if it is the best, or the one that is kept."""
        if self.reading is None or validation_loss < self.reading.validation_loss or step == self.reading.step:
            self.reading, self.waited = Reading(self.fingerprint, step, validation_loss), 0
            return True
        self.waited += 1
        return False

    def keep(self, write: Callable[[Path], None]) -> None:
        """Have the model of the best reading written beside the checkpoints."""
        assert self.reading is not None
        with atomic_folder(self.run / FOLDER) as folder:
            write(folder)
            write_json(folder / "reading.json", msgspec.to_builtins(self.reading))


def _kept(run: Path, fingerprint: str) -> Reading | None:
    path = run / FOLDER / "reading.json"
    if not path.exists():
        return None
    try:
        reading = msgspec.convert(read_json(path), Reading)
        return reading if reading.fingerprint == fingerprint else None
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}. Remove {path.parent}; training then keeps the next best.") from None
