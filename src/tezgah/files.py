"""Files and folders that are whole or absent: atomic writes, fingerprints, safe reading.

Everything is written beside its place, flushed to disk, then renamed over it, so that a reader
never meets half a file and a crash leaves what was there before.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from tezgah.errors import InputError

Record = TypeVar("Record")

NOT_UTF8 = "backslashreplace"  # how to write what is said of a file whose name holds bytes that are no UTF-8

_LEFTOVER = re.compile(r"\.(.+)\.(\d+)\.(part|old)", re.DOTALL)  # name, process, kind; see beside
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)


class FullDisk(InputError):
    """There was no space for a write; what was there before is there still."""


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write; it takes its place at `path` when the block ends well.

    Leftovers of a killed writer are removed at the next write. Raises InputError when the disk
    is full or the place cannot be written.
    """
    with writing_to(path):
        if path.is_dir():  # told now, not when all is written
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        temporary = beside(path, "part")
        file = open(temporary, "wb")  # noqa: SIM115  closed below, where a full disk is named
    try:
        with _naming_a_full_disk(path), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with writing_to(path):
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A fresh folder to fill; it takes the place of `path` when the block ends well.

    A folder already there is kept whole until that moment. Leftovers of a killed writer are
    removed at the next write. Raises InputError when the disk is full or the place cannot be
    written.
    """
    temporary, old = beside(path, "part"), beside(path, "old")
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        temporary.mkdir()
    try:
        with _naming_a_full_disk(path):
            yield temporary
            for folder, _, files in os.walk(temporary):
                for name in files:
                    _sync(Path(folder, name))
                _sync(Path(folder))
        with writing_to(path):
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        remove_leftovers(path)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; give back the folder they had moved aside.

    Those of another process that still runs are left alone.
    """
    for left in list(path.parent.iterdir()):
        match = _LEFTOVER.fullmatch(left.name)
        if not match or match[1] != path.name:
            continue
        if int(match[2]) != os.getpid() and is_running(int(match[2])):
            continue
        if match[3] == "old" and not path.exists():  # ended between the two renames
            os.replace(left, path)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def remove_all_leftovers(folder: Path) -> None:
    """Remove what killed writers left anywhere below `folder`, as `remove_leftovers` does for one place."""
    for inner, folders, files in os.walk(folder):
        for match in filter(None, map(_LEFTOVER.fullmatch, (*folders, *files))):
            remove_leftovers(Path(inner, match[1]))


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write into one clear line."""
    try:
        with _naming_a_full_disk(path):
            yield
    except OSError as error:
        if error.errno in _REFUSED:
            raise InputError(
                f"{path}: cannot be written ({error.strerror}). Choose a place you may write to."
            ) from error
        raise


@contextmanager
def _naming_a_full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _is_full_disk(error):
            raise FullDisk(f"{path}: the disk is full. Free some space and run the same command again.") from error
        raise


def _is_full_disk(error: Exception) -> bool:
    """Whether the system's refusal is about space, in the words of whoever met it."""
    if isinstance(error, InputError):
        return False
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    told_by_rust = any(f"(os error {number})" in text for number in _FULL)  # safetensors, tokenizers
    told_by_numpy = isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", text)
    return told_by_rust or bool(told_by_numpy)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file at once, atomically."""
    write_bytes(path, text.encode(errors=NOT_UTF8))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, atomically; NaN and infinities are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode(errors=NOT_UTF8))


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises InputError that names the file when it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}). Restore or remove the file.") from None


def read_struct(path: Path, kind: type[Record], newest: int, mend: str) -> Record:
    """A JSON file of tezgah's as the `kind` of record it holds, in a format up to `newest`.

    Raises InputError for a file that is missing, too new, or no such record; `mend` ends the line.
    """
    fields = read_json(path)
    check_format(path, fields.get("format") if isinstance(fields, dict) else None, newest)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: damaged ({error}). {mend}") from None


def check_format(path: Path, found: Any, known: int) -> None:
    """Refuse an artefact whose `format` is newer than this version of tezgah reads.

    >>> check_format(Path("tokens/index.json"), found=1, known=1)
    """
    if type(found) is not int or found < 1:
        raise InputError(f"{path}: has no format number, so it was not written by tezgah. Make it anew.")
    if found > known:
        raise InputError(f"{path}: format {found} is newer than format {known} that this tezgah reads. Update tezgah.")


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form, as hex.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beside(path: Path, kind: str, process: int | None = None) -> Path:
    """A name of a process's own next to `path`, for what is on its way there ("part") or away ("old").

    It is this process's where no other is told.
    """
    return path.with_name(f".{path.name}.{process or os.getpid()}.{kind}")


def is_running(process: int) -> bool:
    """Whether this machine has such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def _sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
