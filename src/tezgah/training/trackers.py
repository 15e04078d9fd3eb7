"""Trackers: TensorBoard, Weights & Biases and trackio are told of every row of `metrics.jsonl`.

`metrics.jsonl` is the record, what a tracker keeps is a copy. So whenever training begins or goes
on, the copy is made anew from the rows that stand: those that were cut, those that a kill left
unwritten, those from before the tracker was chosen, and those that it missed when it failed need no
care of their own. A tracker that fails is let go with one warning, and training goes on.
"""

import json
import os
import secrets
import shutil
import socket
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any, Protocol

import msgspec

from tezgah.console import say, warn
from tezgah.errors import InputError
from tezgah.files import write_text
from tezgah.training.settings import TrainTable

Row = Mapping[str, Any]  # of metrics.jsonl
PROJECT = "tezgah"  # what W&B and trackio file a run under
TRACKIO_SECONDS = 5.0  # between two writes of trackio's: one takes 20 ms, however many rows it has


class Tracker(Protocol):
    """A copy of a run's metrics; making one begins it."""

    shown_by: str  # the command, or the address, that shows it

    def add(self, row: Row) -> None:
        """Take a row; they come in the order of their steps, each once."""

    def close(self) -> None:
        """Take no more."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run before its rows."""

    folder: Path  # for the tracker's files; empty
    name: str
    id: str  # of the training: another one in the same run folder has another
    settings: dict[str, Any]  # by table, as in the recipe
    began: float  # seconds since 1970, as if training had never been stopped


class Trackers:
    """The trackers that a training tells. Raises InputError where one is not installed."""

    def __init__(self, settings: TrainTable) -> None:
        check_trackers(settings)
        self._settings = settings
        self._open: dict[str, Tracker] = {}

    def open(self, run: Path, lines: Sequence[bytes], anew: bool) -> None:
        """Begin with the lines that stand in the `metrics.jsonl` of `run`; `anew` where another training begins."""
        folder = run / "trackers"
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        began = time.time() - (json.loads(lines[-1])["seconds"] if lines else 0.0)
        for name in dict.fromkeys(self._settings.trackers):
            with self._let_go(name):
                shutil.rmtree(folder / name, ignore_errors=True)
                (folder / name).mkdir(parents=True)
                settings = _settings(run, self._settings)
                told = TrackedRun(folder / name, run.resolve().name, _id(folder / "id"), settings, began)
                self._open[name] = TRACKERS[name](told)
        for line in lines if self._open else ():
            self.add(json.loads(line))
        for opened, tracker in self._open.items():
            say(f"trackers: {opened}, shown by {tracker.shown_by}")

    def add(self, row: Row) -> None:
        """Tell every tracker of a row."""
        for name, tracker in list(self._open.items()):
            with self._let_go(name):
                tracker.add(row)

    def close(self) -> None:
        """Let every tracker write, or send, what it still holds."""
        for name, tracker in list(self._open.items()):
            with self._let_go(name):
                tracker.close()
        self._open.clear()

    @contextmanager
    def _let_go(self, name: str) -> Iterator[None]:
        """Where the block fails, tell this tracker no more: training does not depend on it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  a library's own, of any kind
            self._open.pop(name, None)
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            warn(f"trackers: {name} has failed and is told no more; training goes on. ({what})")


def check_trackers(settings: TrainTable) -> None:
    """Raise InputError where a tracker of `[train] trackers` is not installed. None is imported."""
    for name in settings.trackers:
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a mere folder of that name, as W&B makes one, is no package
            raise InputError(
                f"[train] trackers: {name} is not installed. `pip install 'tezgah[{name}]'`, or leave it out."
            )


class TensorBoard:
    """An event file. TensorBoard's own writer opens it again for every figure: 0.9 ms a row, this 0.1 ms."""

    def __init__(self, run: TrackedRun) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
        from tensorboard.plugins.text import metadata
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.shown_by = f"tensorboard --logdir {quote(str(run.folder))}"
        self._began, self._event, self._summary = run.began, event_pb2.Event, summary_pb2.Summary
        self._tensor, self._is_text = tensor_pb2.TensorProto, metadata.create_summary_metadata("", "")
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = RecordWriter(open(run.folder / name, "wb"))  # noqa: SIM115  closed by close()
        self._write(0, 0.0, file_version="brain.Event:2")
        settings = json.dumps(run.settings, indent=2, ensure_ascii=False)
        self._write(0, 0.0, summary=self._summary(value=[self._text("settings", settings)]))

    def add(self, row: Row) -> None:
        figures = [self._summary.Value(tag=name, simple_value=value) for name, value in _figures(row).items()]
        samples = [self._text(f"samples/{n}", sample["text"]) for n, sample in enumerate(row.get("samples", ()))]
        self._write(row["step"], row["seconds"], summary=self._summary(value=figures + samples))

    def close(self) -> None:
        self._file.close()

    def _text(self, tag: str, text: str) -> Any:
        """A text as a value; it is shown as Markdown, in which four spaces leave a line as it is."""
        indented = "".join(f"    {line}\n" for line in text.split("\n")).encode()
        tensor = self._tensor(dtype="DT_STRING", string_val=[indented])
        return self._summary.Value(tag=tag, metadata=self._is_text, tensor=tensor)

    def _write(self, step: int, seconds: float, **what: Any) -> None:
        self._file.write(self._event(step=step, wall_time=self._began + seconds, **what).SerializeToString())
        self._file.flush()


class WeightsAndBiases:
    """A run of W&B, offline unless WANDB_MODE says otherwise; what a server has of it is not sent again."""

    def __init__(self, run: TrackedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # even offline it would call its makers
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", "10")  # seconds; what is not sent by then stays in the folder
        import wandb

        mode = os.environ.get("WANDB_MODE", "offline")
        self._html = wandb.Html
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=run.id,
            config=run.settings,
            allow_val_change=True,  # a budget may have grown
            resume="allow" if mode == "online" else None,  # what is kept offline holds every row, and replaces what was
            reinit="create_new",  # a run of the user's own goes on beside it
            mode=mode,
            dir=run.folder.parent.absolute(),  # in which it makes a folder `wandb`
            settings=wandb.Settings(console="off", silent=True),
        )
        self._first_step = self._run.step
        kept = quote(str(run.folder / Path(self._run.dir).parent.name))
        self.shown_by = f"wandb sync {kept}" if self._run.offline else self._run.url or "nobody, as WANDB_MODE says"

    def add(self, row: Row) -> None:
        if row["step"] < self._first_step:
            return
        values = _figures(row)
        if samples := row.get("samples"):
            page = "".join(f"<pre>{escape(sample['text'])}</pre>" for sample in samples)
            values["samples"] = self._html(page, inject=False)
        self._run.log(values, step=row["step"], commit=True)

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """A database of trackio, in the run folder and never elsewhere."""

    def __init__(self, run: TrackedRun) -> None:
        from trackio import Table, sqlite_storage

        self.shown_by = f"TRACKIO_DIR={quote(str(run.folder))} trackio show --project {PROJECT}"
        self._told, self._folder = run, run.folder.absolute()
        self._storage, self._table = sqlite_storage, Table.TYPE
        self._rows: list[Row] = []
        self._written = time.monotonic()

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if time.monotonic() - self._written > TRACKIO_SECONDS:
            self._write()

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        with self._in_folder():  # not by trackio.init, which asks a hub who is there and prints on stdout
            self._storage.SQLiteStorage.bulk_log(
                project=PROJECT,
                run=self._told.name,
                metrics_list=[self._metrics(row) for row in rows],
                steps=[row["step"] for row in rows],
                timestamps=[datetime.fromtimestamp(self._told.began + row["seconds"], UTC).isoformat() for row in rows],
                config=self._told.settings,
            )
        self._written = time.monotonic()

    @contextmanager
    def _in_folder(self) -> Iterator[None]:
        """trackio asks for its folder once, when it is imported; a process may train in several."""
        before = self._storage.TRACKIO_DIR
        self._storage.TRACKIO_DIR = self._folder
        try:
            yield
        finally:
            self._storage.TRACKIO_DIR = before

    def _metrics(self, row: Row) -> dict[str, Any]:
        samples = row.get("samples")
        return _figures(row) | ({"samples": {"_type": self._table, "_value": samples}} if samples else {})


TRACKERS: dict[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
}


def _figures(row: Row) -> dict[str, Any]:
    """The figures of a row, by name.

    >>> _figures({"step": 2, "loss": 1.5, "samples": [{"prompt": "", "text": "a"}]})
    {'loss': 1.5}
    """
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}


def _settings(run: Path, settings: TrainTable) -> dict[str, Any]:
    """The recipe of a run by table; of a training without one, its settings."""
    path = run / "recipe.toml"
    if path.is_file():
        return tomllib.loads(path.read_text(encoding="utf-8"))
    return {"train": msgspec.to_builtins(settings)}


def _id(path: Path) -> str:
    """What stands at `path`, or is written there now."""
    if not path.is_file():
        write_text(path, secrets.token_hex(4))
    return path.read_text(encoding="utf-8")
