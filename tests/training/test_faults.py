"""What goes wrong around a training does not go wrong in it: torn files, clocks that jump, full and closed disks."""

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from tests.training import test_loop as training
from tezgah import console
from tezgah.cli import main
from tezgah.errors import Diverged, InputError
from tezgah.files import FullDisk
from tezgah.training import journal as journals
from tezgah.training import loop, step
from tezgah.training.reader import Callbacks
from tezgah.training.settings import TrainSettings
from tezgah.training.trackers import Trackers

SETTINGS = msgspec.structs.replace(training.SETTINGS, keep_best=True, validation_steps=2, keep_checkpoints=2)
NEEDED = ("model.safetensors", "training_state/optimizer.safetensors", "training_state/state.json")
NOT_NEEDED = ("config.json", "tokenizer.json")


def train(folder: Path, settings: TrainSettings = SETTINGS) -> list[dict[str, Any]]:
    """Train in `folder`, with a tokenizer's file beside every model."""
    with pytest.MonkeyPatch.context() as patch:
        whole = Callbacks
        tokenizer = json.dumps({"model": {"vocab": {chr(97 + n): n for n in range(26)}}})
        save = lambda folder: (folder / "tokenizer.json").write_text(tokenizer) and None  # noqa: E731
        patch.setattr(training, "Callbacks", lambda reading, samples, extras: whole(reading, samples, save))
        return training.train(folder, settings)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training with checkpoints of steps 4 and 6."""
    folder = tmp_path_factory.mktemp("faults") / "done"
    train(folder)
    return folder


def said_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what the clock said."""
    clocked = ("seconds", "tokens_per_second")
    return [{name: value for name, value in row.items() if name not in clocked} for row in rows]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", [*NEEDED, *NOT_NEEDED])
def test_a_checkpoint_cut_off_anywhere_is_passed_over_or_not_missed(done, tmp_path, capsys, name):
    run = tmp_path / "run"
    shutil.copytree(done, run)
    newest = run / "checkpoints" / "step-000006" / name
    whole = newest.read_bytes()
    assert len(whole) > 16
    for sixteenth in range(16):
        shutil.copytree(done / "checkpoints", run / "checkpoints", dirs_exist_ok=True)
        newest.write_bytes(whole[: len(whole) * sixteenth // 16])
        capsys.readouterr()
        rows = train(run)
        said = capsys.readouterr().err
        assert said_of(rows) == said_of(read_rows(done))
        assert torch.equal(training.weights(run), training.weights(done))
        if name in NEEDED:
            assert "warning: " in said and f"step-000006/{name}" in said and "Trying the checkpoint before it." in said
            assert "resuming after step 4 of 6" in said
        else:
            assert "resuming after step 6 of 6" in said


@pytest.mark.parametrize("name", ["plan.json", "best/reading.json"])
def test_other_files_cut_off_are_one_line_that_says_what_to_do(tmp_path, monkeypatch, name):
    monkeypatch.setattr(step, "measure_step", lambda step, agree: 1.5)
    settings = msgspec.structs.replace(SETTINGS, steps=None, minutes=0.2, validation_steps=100)
    train(tmp_path, settings)
    path = tmp_path / "checkpoints" / name
    whole = path.read_bytes()
    for sixteenth in range(16):
        path.write_bytes(whole[: len(whole) * sixteenth // 16])
        with pytest.raises(InputError, match=rf"{path}: .+[Rr]emove") as refused:
            train(tmp_path, settings)
        assert "\n" not in str(refused.value)


def test_metrics_cut_off_anywhere_lose_the_torn_row_alone(tmp_path):
    lines = [json.dumps({"step": number, "seconds": number / 3}).encode() + b"\n" for number in range(6)]
    whole = b"".join(lines)
    for length in range(len(whole) + 1):
        (tmp_path / "metrics.jsonl").write_bytes(whole[:length])
        with closing(journals.Journal(tmp_path, 4, Trackers(SETTINGS))) as journal:
            journal.add({"step": 5})
        kept = whole[:length].count(b"\n")
        expected = b"".join(lines[: min(kept, 5)]) + b'{"step": 5}\n'
        assert (tmp_path / "metrics.jsonl").read_bytes() == expected


class Jumping:
    """A clock that is set back by a year, or ahead by ten, at every third reading, and stands still at others."""

    def __init__(self) -> None:
        self.jumps = itertools.cycle([0.0, 0.25, -3.2e7, 0.0, 0.25, 3.2e8, 0.0, 0.25, -3.2e8])
        self.now = 1e9

    def __call__(self) -> float:
        self.now += next(self.jumps)
        return self.now


def test_a_clock_that_jumps_changes_no_step_and_no_figure_is_negative(tmp_path, monkeypatch):
    settings = msgspec.structs.replace(SETTINGS, checkpoint_steps=0, checkpoint_minutes=1.0, keep_checkpoints=99)
    with monkeypatch.context() as patch:
        for name in ("time", "monotonic", "perf_counter"):
            patch.setattr(time, name, Jumping())
        patch.setattr(console, "monotonic", Jumping())
        rows = train(tmp_path / "jumping", settings)
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0
    assert all(row["tokens_per_second"] >= 0 for row in rows[1:])
    json.dumps(rows, allow_nan=False)
    steady = train(tmp_path / "steady", settings)
    assert said_of(rows) == said_of(steady)
    assert torch.equal(training.weights(tmp_path / "jumping"), training.weights(tmp_path / "steady"))
    assert len(list((tmp_path / "jumping" / "checkpoints").glob("step-*"))) > 1  # set back, it is still due one day


def test_minutes_are_steps_before_a_clock_jumps(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "measure_step", lambda step, agree: 1.5)
    settings = msgspec.structs.replace(SETTINGS, steps=None, minutes=0.2, validation_steps=100)
    steady = train(tmp_path / "steady", settings)
    shutil.copytree(tmp_path / "steady" / "tokens", tmp_path / "jumping" / "tokens")
    (tmp_path / "jumping" / "checkpoints").mkdir()
    shutil.copy(tmp_path / "steady" / "checkpoints" / "plan.json", tmp_path / "jumping" / "checkpoints")
    monkeypatch.setattr(time, "perf_counter", Jumping())
    assert said_of(train(tmp_path / "jumping", settings)) == said_of(steady)


@pytest.mark.parametrize("reading", [0.0, -1e9, 1e9])
def test_a_step_measured_by_a_broken_clock_has_a_length(monkeypatch, reading):
    from tezgah.training import budget

    times = itertools.count(0.0, reading)
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    assert budget.measure_step(lambda: None, lambda count: count) > 0


class Filled:
    """A disk that is full when a file is flushed for the first time, until somebody waits for space."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused: set[str] = set()
        self.fsync = os.fsync
        patch.setattr(os, "fsync", self)
        patch.setattr("tezgah.training.space.time.sleep", lambda seconds: None)

    def __call__(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path not in self.refused:
            self.refused.add(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        self.fsync(descriptor)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="files have no names here")
def test_a_disk_that_is_full_at_every_write_is_waited_for(done, tmp_path, monkeypatch, capsys):
    shutil.copytree(done / "tokens", tmp_path / "tokens")
    with monkeypatch.context() as patch:
        disk = Filled(patch)
        for _ in range(2):  # an empty metrics.jsonl, and the folder it lies in, before there is anything to lose
            with pytest.raises(FullDisk, match=r"Free some space and run the same command again\."):
                train(tmp_path)
        rows = train(tmp_path)
    assert said_of(rows) == said_of(read_rows(done))
    assert torch.equal(training.weights(tmp_path), training.weights(done))
    refused = {str(Path(path).relative_to(tmp_path)).replace(f".{os.getpid()}.part", "") for path in disk.refused}
    written = {"metrics.jsonl", "checkpoints", ".model/model.safetensors", ".model/tokenizer.json"}
    written |= {f"checkpoints/.step-{number:06d}/training_state" for number in (2, 4, 6)}
    written |= {"checkpoints/.best/model.safetensors", "checkpoints/.best/.reading.json"}
    assert written <= refused
    assert capsys.readouterr().err.count("The write waits: free some space and it goes on") > 5


def test_a_batch_that_cannot_be_kept_does_not_hide_that_training_diverged(tmp_path, monkeypatch, capsys):
    def full(path, value):
        raise FullDisk(f"{path}: the disk is full.")

    monkeypatch.setattr(loop, "write_json", full)
    wild = msgspec.structs.replace(SETTINGS, learning_rate=1e30, muon_learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(Diverged):
        train(tmp_path, wild)
    assert "diverged.json: the disk is full" in capsys.readouterr().err


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """`folder` as somebody finds it who may read it and not write."""
    folder.chmod(0o555)
    user = os.geteuid()
    for above in folder.parents:
        if above.stat().st_uid == user and len(above.parts) > 2:
            above.chmod(above.stat().st_mode | 0o055)
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_a_run_folder_that_may_not_be_written_is_one_line(done, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(done, run)
    for name in ("metrics.jsonl", "checkpoints"):
        (run / name).rename(run / f"{name}.away")
    with closed(run), pytest.raises(InputError, match=rf"{run}.*: cannot be written \(Permission denied\)\. Choose"):
        train(run)
    for name in ("metrics.jsonl", "checkpoints"):
        (run / f"{name}.away").rename(run / name)
    assert said_of(train(run)) == said_of(read_rows(done))
    (tmp_path / "a.txt").write_text("Bir varmış bir yokmuş.\n" * 50)
    (tmp_path / "r.toml").write_text(f'[corpus]\nsource = "{tmp_path / "a.txt"}"\n[train]\nsteps = 1\n')
    (tmp_path / "closed").mkdir()
    with closed(tmp_path / "closed"):
        assert main(["run", str(tmp_path / "r.toml"), "--run", str(tmp_path / "closed")]) == 2
    said = capsys.readouterr().err
    assert "closed: cannot be written" in said.replace("/.lock", "")
    assert "Traceback" not in said


# A training whose log and metrics lie on a disk of their own, which somebody else fills.
ON_A_SMALL_DISK = """
import sys
from pathlib import Path
import tests.training.test_faults as faults
from tezgah.runlog import logging_to
faults.loop.with_space.__globals__["SECONDS"] = 0.2
run = Path(sys.argv[1])
run.mkdir()
with logging_to(run):
    faults.train(run, faults.msgspec.structs.replace(faults.SETTINGS, steps=60, checkpoint_steps=5))
"""


def mounts() -> bool:
    """Whether a disk of one's own can be had here."""
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux") or not mounts(), reason="no disk of one's own can be had")
def test_a_disk_that_is_really_full_is_waited_for(tmp_path):
    disk, run = tmp_path / "disk", tmp_path / "disk" / "run"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=3m tmpfs "$1"; shift; exec "$@"'
    program = [sys.executable, "-c", ON_A_SMALL_DISK, str(run)]
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(disk), *program]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=root) as process:
        said: list[str] = []
        inside = Path(f"/proc/{process.pid}/root") / disk.relative_to("/")

        def fill() -> None:
            while not (inside / "run" / "checkpoints").is_dir() and process.poll() is None:
                time.sleep(0.01)
            with open(inside / "filler", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(512))
                except OSError:
                    pass

        filler = threading.Thread(target=fill)
        filler.start()
        assert process.stderr
        for line in process.stderr:
            said.append(line)
            if "The write waits" in line:
                filler.join()
                time.sleep(0.5)  # tries, and waits on
                (inside / "filler").unlink()
                filler = threading.Thread(target=lambda: None)
                filler.start()
            if "60 of 60 steps" in line:
                rows = read_rows(inside / "run")
        filler.join()
        assert process.wait() == 0, said
    assert "Traceback" not in "".join(said)
    assert any("there is space again: it is written" in line for line in said), said
    assert [row["step"] for row in rows] == list(range(61))
