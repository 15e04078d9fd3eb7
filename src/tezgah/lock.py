"""One process at a time in a folder."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tezgah.console import say
from tezgah.errors import FolderInUse
from tezgah.files import beside, is_running, remove_all_leftovers, writing_to

HEARTBEAT_SECONDS = 10.0
SILENT_SECONDS = 120.0  # network disks show a file's time up to 60 s late
LISTENING_SECONDS = 15.0  # to one that seems silent: more than a heartbeat


class _Holder(msgspec.Struct, frozen=True):
    host: str
    process: int


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of `folder` while the block runs; the folder is made if absent.

    What killed writers left in it is removed first, so that the block meets whole files alone.

    The lock is the system's own (flock) on `folder/.lock`, so it ends with its process, however
    that ends. Network disks may not carry it to other machines: there the file names host and
    process, and its time of change is a heartbeat. Raises FolderInUse when it is in use.
    """
    path = folder / ".lock"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(descriptor, path)
        ended = threading.Event()
        heartbeat = threading.Thread(target=_beat, args=(descriptor, ended), name="lock heartbeat", daemon=True)
        heartbeat.start()
        try:
            remove_all_leftovers(folder)
            yield
        finally:
            ended.set()
            heartbeat.join()
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    """Take the lock and write our name in it, or say who holds it."""
    taken = _flock(descriptor)
    holder = _read_holder(descriptor)
    who = f"process {holder.process} on {holder.host}" if holder else "process unknown"
    if taken is False:
        raise FolderInUse(f"{path.parent}: in use by another run ({who}). Wait for its end, or choose another folder.")
    if holder and _is_held_elsewhere(holder, path, taken):
        raise FolderInUse(
            f"{path.parent}: in use by another run ({who}). Wait for its end, or choose another folder; "
            f"if it was killed, its lock is free {SILENT_SECONDS:.0f} s later."
        )
    if holder:
        say(f"{path.parent}: {who} ended without giving the folder back; it is taken over.")
    with writing_to(path.parent):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(_Holder(os.uname().nodename, os.getpid())), 0)
        os.fsync(descriptor)


def _flock(descriptor: int) -> bool | None:
    """Whether the system gave us its lock; None on a disk that has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_held_elsewhere(holder: _Holder, path: Path, taken: bool | None) -> bool:
    """Whether a holder that the system's lock did not show is alive."""
    if holder.host == os.uname().nodename:
        return taken is None and is_running(holder.process)
    probe = beside(path, "part")
    with writing_to(path.parent):
        probe.touch()  # gives the time by the clock that stamps the heartbeats
    try:
        seen = path.stat().st_mtime
        if abs(probe.stat().st_mtime - seen) < SILENT_SECONDS:
            return True
    finally:
        probe.unlink(missing_ok=True)
    time.sleep(LISTENING_SECONDS)  # that clock may have been set ahead, or back, since the last heartbeat
    return path.stat().st_mtime != seen


def _read_holder(descriptor: int) -> _Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=_Holder)
    except msgspec.MsgspecError:
        return None  # free, or just being taken


def _beat(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):
            os.utime(descriptor)
