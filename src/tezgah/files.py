"""Files and folders that are whole or absent: atomic writes, fingerprints, locks, safe reading.

Everything is written beside its place, flushed to disk, then renamed over it, so that a reader
never meets half a file and a crash leaves what was there before.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tezgah.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write; it takes its place at `path` when the block ends well.

    Raises InputError when the disk is full or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A fresh folder to fill; it takes the place of `path` when the block ends well.

    A folder already there is kept whole until that moment. Leftovers of a killed writer are
    removed at the next write. Raises InputError when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        with writing_to(path):
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync_file(file)
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of the folder `path` left; give back the folder they had moved aside."""
    for old in path.parent.glob(f".{path.name}.*.old"):
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:  # killed between the two renames
            os.replace(old, path)
    for part in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path}: the disk is full. Free some space and run the same command again.") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise InputError(f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to.") from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file at once, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, atomically; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises InputError that names the file when it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}). Restore or remove the file.") from None


def check_format(path: Path, found: Any, known: int) -> None:
    """Refuse an artefact whose `format` is newer than this version of tezgah reads.

    >>> check_format(Path("tokens/index.json"), found=1, known=1)
    """
    if not isinstance(found, int) or found < 1:
        raise InputError(f"{path}: has no format number, so it was not written by tezgah. Make it anew.")
    if found > known:
        raise InputError(f"{path}: format {found} is newer than format {known} that this tezgah reads. Update tezgah.")


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, as hex.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_sync_folder = _sync_file
