"""Two runs do not share a folder; a run that died does not block the next."""

import fcntl
import json
import multiprocessing
import multiprocessing.queues
import multiprocessing.synchronize
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tezgah import lock
from tezgah.errors import InputError
from tezgah.lock import locked

HOST = os.uname().nodename


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[int]:
    """The folder is locked by a process of its own, whose id is given."""
    program = (
        "import sys, time; from pathlib import Path; from tezgah.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


def leave_lock(folder: Path, host: str, process: int, silent: float = 0.0) -> None:
    """The file of a holder that never gave the folder back, its last heartbeat `silent` seconds ago."""
    folder.mkdir(exist_ok=True)
    (folder / ".lock").write_text(json.dumps({"host": host, "process": process}))
    then = time.time() - silent
    os.utime(folder / ".lock", (then, then))


def without_flock(descriptor: int, operation: int) -> None:
    raise OSError(38, "Function not implemented")


def test_a_folder_held_by_a_live_process_is_refused_in_one_line(tmp_path):
    with held_by_another_process(tmp_path / "run") as holder:
        with pytest.raises(InputError, match=rf"in use by another run \(process {holder} on {HOST}\)") as caught:
            with locked(tmp_path / "run"):
                pass
        assert "\n" not in str(caught.value)


def test_a_folder_given_back_is_free_and_nothing_is_said(tmp_path, capsys):
    for _ in range(2):
        with locked(tmp_path / "run"):
            pass
    assert capsys.readouterr().err == ""


def test_a_run_that_failed_gives_the_folder_back(tmp_path, capsys):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        1 / 0
    with locked(tmp_path):
        pass
    assert capsys.readouterr().err == ""


def test_a_killed_run_is_taken_over_at_once_and_it_is_said(tmp_path, capsys):
    with held_by_another_process(tmp_path) as holder:
        os.kill(holder, signal.SIGKILL)
        os.waitid(os.P_PID, holder, os.WEXITED | os.WNOWAIT)
        with locked(tmp_path):
            pass
    assert f"process {holder} on {HOST} ended without giving the folder back" in capsys.readouterr().err


def test_one_process_cannot_hold_a_folder_twice(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()} on {HOST}"), locked(tmp_path):
        pass


def test_a_holder_on_another_machine_is_believed_while_its_heart_beats(tmp_path):
    leave_lock(tmp_path, "elsewhere", 7, silent=lock.SILENT_SECONDS - 30)
    with pytest.raises(InputError, match=r"process 7 on elsewhere.+its lock is free 120 s later"), locked(tmp_path):
        pass
    assert json.loads((tmp_path / ".lock").read_text()) == {"host": "elsewhere", "process": 7}  # untouched


@pytest.mark.parametrize("silent", [lock.SILENT_SECONDS + 30, 3.2e8, -3.2e8])  # a clock was set: ten years
def test_a_silent_holder_on_another_machine_is_taken_over_and_it_is_said(tmp_path, monkeypatch, capsys, silent):
    monkeypatch.setattr(lock, "LISTENING_SECONDS", 0.0)
    leave_lock(tmp_path, "elsewhere", 7, silent)
    with locked(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text()) == {"host": HOST, "process": os.getpid()}
    assert "process 7 on elsewhere ended" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("silent", [3.2e8, -3.2e8])
def test_a_holder_whose_clock_was_set_is_believed_when_its_heart_beats_again(tmp_path, monkeypatch, silent):
    leave_lock(tmp_path, "elsewhere", 7, silent)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.utime(tmp_path / ".lock"))
    with pytest.raises(InputError, match="process 7 on elsewhere"), locked(tmp_path):
        pass


def test_on_a_disk_without_flock_a_live_process_of_this_machine_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_flock)
    leave_lock(tmp_path, HOST, os.getppid(), silent=10_000)
    with pytest.raises(InputError, match=f"process {os.getppid()} on {HOST}"), locked(tmp_path):
        pass


def test_on_a_disk_without_flock_a_dead_process_of_this_machine_is_taken_over(tmp_path, monkeypatch, capsys):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    monkeypatch.setattr(fcntl, "flock", without_flock)
    leave_lock(tmp_path, HOST, dead.pid)
    with locked(tmp_path):
        pass
    assert f"process {dead.pid} on {HOST} ended" in capsys.readouterr().err


def test_the_heart_beats_while_the_folder_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    with locked(tmp_path):
        os.utime(tmp_path / ".lock", (0, 0))
        deadline = time.monotonic() + 5
        while (tmp_path / ".lock").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - (tmp_path / ".lock").stat().st_mtime < 5


def test_a_damaged_lock_file_does_not_block(tmp_path, capsys):
    (tmp_path / ".lock").write_bytes(b'{"host": 3')
    with locked(tmp_path):
        pass


def enter(
    folder: Path, entered: "multiprocessing.queues.Queue[bool]", everyone_tried: multiprocessing.synchronize.Barrier
) -> None:
    try:
        with locked(folder):
            entered.put(True)
            everyone_tried.wait(30)
    except InputError:
        entered.put(False)
        everyone_tried.wait(30)


def test_of_many_that_start_at_once_one_enters(tmp_path):
    here = multiprocessing.get_context("fork")
    entered, everyone_tried = here.Queue(), here.Barrier(4)
    runs = [here.Process(target=enter, args=(tmp_path, entered, everyone_tried)) for _ in range(4)]
    for run in runs:
        run.start()
    assert sorted(entered.get(timeout=30) for _ in runs) == [False, False, False, True]
    for run in runs:
        run.join()
