"""One point of a sweep brought to its end: an ordinary run, in a process of its own.

The corpus, the tokenizer and the tokens of a point are made by the first run that needs them, as any run makes them.
A later point whose fingerprint of such a stage is the same gets that folder as hard links: every run folder is whole
and can be moved or deleted alone, and the bytes are on the disk once. Nothing here writes into a file that is there, a
stage that is made anew is a new folder, so no run can change what another one sees. (Links to a folder beside the
points would break when a point is moved; building there would need a second way to make a stage.)
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from tezgah.changes import decide, read_training, settled
from tezgah.console import say, warn
from tezgah.errors import Diverged, FolderInUse, InputError
from tezgah.files import atomic_folder, write_text
from tezgah.lock import locked
from tezgah.pipeline import is_up_to_date
from tezgah.recipe import Recipe, dump_recipe
from tezgah.stages import Stamp, is_current, stamps
from tezgah.sweep.record import Measure, PointRecord
from tezgah.training.metrics import read_metrics

SHARED = ("corpus", "tokenizer", "tokens")
PATIENCE_SECONDS = 60.0  # for a point of a sweep that was killed: it stops within 30 s (attended.py)


def finish_point(
    recipe: Recipe, home: Path, point: PointRecord, others: Iterable[str], measure: Measure
) -> PointRecord:
    """Bring a point's run up to date, unless it is, or has diverged with these very settings; what it came to.

    `others` are the names of folders that stages may be shared with. Raises KeyboardInterrupt, once the run has
    stopped, when the user or the run was told to stop; whatever else ends a run is a reason in the record.
    """
    folder = home / point.folder
    try:
        recipe = settled(recipe, folder)
        stamp = stamps(recipe, folder)
        if is_up_to_date(recipe, folder):
            return done_point(folder, point, measure)
        if point.state == "diverged" and _was_trained_with(folder, stamp["train"]):
            return point
        _prepare(recipe, folder, stamp, [home / other for other in others])
        reason = _run(folder)
        if reason is None:
            return done_point(folder, point, measure)
    except InputError as error:
        reason = _Reason(type(error).__name__, str(error))
    state = "diverged" if reason.kind == Diverged.__name__ else "failed"
    return PointRecord(folder=point.folder, settings=point.settings, state=state, reason=reason.text)  # type: ignore[arg-type]


def done_point(folder: Path, point: PointRecord, measure: Measure) -> PointRecord:
    """The record of a point whose run has ended well: the figures of its best reading by this measure."""
    rows = read_metrics(folder)
    readings = [(figure, row) for row in rows if (figure := getattr(row, measure)) is not None]
    if not readings:
        raise InputError(f"{folder / 'metrics.jsonl'}: holds no reading. Remove {folder}, and it is made anew.")
    best = min(readings, key=lambda reading: reading[0])[1]
    return PointRecord(
        folder=point.folder,
        settings=point.settings,
        state="done",
        validation_loss=best.validation_loss,
        bits_per_byte=best.bits_per_byte,
        step=best.step,
        steps=rows[-1].step,
        minutes=rows[-1].seconds / 60,
    )


class _Reason(msgspec.Struct, frozen=True):
    """Why a run did not come to its end: the kind of error, and what it said."""

    kind: str
    text: str


def _was_trained_with(folder: Path, stamp: Stamp) -> bool:
    training = read_training(folder)
    return training is not None and training.fingerprint == stamp.fingerprint


def _prepare(recipe: Recipe, folder: Path, stamp: Mapping[str, Stamp], others: Iterable[Path]) -> None:
    """Put the recipe into a point's folder, and what another point has made for it."""
    with ExitStack() as stack:
        _enter_when_free(stack, folder)
        decide(folder, recipe, stamp["train"])  # refuses before anything is touched
        for stage in SHARED:
            if not is_current(folder / stage, stamp[stage]):
                made = (other / stage for other in others if is_current(other / stage, stamp[stage]))
                if source := next(made, None):
                    _share(source, folder / stage)
        write_text(folder / "recipe.toml", dump_recipe(recipe))


def _enter_when_free(stack: ExitStack, folder: Path) -> None:
    """Take the folder's lock; where a run still works in it, say so and wait for its end."""
    until, waits = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            stack.enter_context(locked(folder))
            return
        except FolderInUse:
            if time.monotonic() >= until:
                raise
        if not waits:
            say(f"{folder}: an earlier run still works in it; waiting for its end")
            waits = True
        time.sleep(0.2)


def _share(source: Path, stage: Path) -> None:
    """Make `stage` of the files in `source`: the same files under another name, or copies where a disk has no links."""
    try:
        with atomic_folder(stage) as made:
            _link(source, made)
    except OSError as error:
        warn(f"{stage}: this disk takes no hard links ({error.strerror}); the folder is copied.")
        with atomic_folder(stage) as made:
            shutil.copytree(source, made, dirs_exist_ok=True)


def _link(source: Path, made: Path) -> None:
    for path in source.rglob("*"):
        target = made / path.relative_to(source)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)


def command(folder: Path) -> list[str]:
    """What brings the run in `folder` up to date; it ends when this process does."""
    words = ["run", str(folder / "recipe.toml"), "--run", str(folder)]
    return [sys.executable, "-P", "-m", "tezgah.attended", str(os.getpid()), *words]


def _run(folder: Path) -> _Reason | None:
    """Run a point; None once it has come to its end, else why it has not."""
    log = folder / "log.jsonl"
    logged = log.stat().st_size if log.is_file() else 0
    with subprocess.Popen(command(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()  # where the terminal has not told it already
            process.wait()
            raise
    if code == 130:
        raise KeyboardInterrupt
    return None if code == 0 else _reason(folder, code, logged)


def _reason(folder: Path, code: int, logged: int) -> _Reason:
    """The last error that a run has logged after the first `logged` bytes, or how its process ended."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return _Reason(name, f"Its process was ended by {name}{hint}. The same command tries it again.")
    log = folder / "log.jsonl"
    lines = log.read_bytes()[logged:].splitlines() if log.is_file() else []
    events = [json.loads(line) for line in lines]
    errors = [event["message"] for event in events if event["event"] == "error"]
    if not errors:
        return _Reason("", f"Its run ended with exit code {code} before its first stage, and said above why.")
    kind, _, text = errors[-1].partition(": ")
    return _Reason(kind, text)
