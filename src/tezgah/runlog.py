"""What a run says of itself: `log.jsonl` and `versions.json`."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from tezgah.console import heard_by
from tezgah.files import NOT_UTF8, FullDisk, write_json, writing_to

PACKAGES = ("tezgah", "torch", "numpy", "pyarrow", "tokenizers", "safetensors", "msgspec", "datasets", "accelerate")


@contextmanager
def logging_to(run: Path) -> Iterator[None]:
    """Log this command, every message and warning while the block runs, and how it ended."""
    _add(run, "start", command=sys.argv, folder=str(Path.cwd()), git=git_state(Path.cwd()), **versions())
    started = time.perf_counter()
    ending = "failed"
    try:
        with heard_by(lambda kind, message: _add_if_there_is_space(run, kind, message=message)):
            yield
        ending = "done"
    except KeyboardInterrupt:
        ending = "stopped"
        raise
    except Exception as error:
        _add_if_there_is_space(run, "error", message=f"{type(error).__name__}: {error}")
        raise
    finally:
        _add_if_there_is_space(run, ending, seconds=time.perf_counter() - started)


def write_versions(run: Path) -> None:
    """Write `versions.json`: what the bits of a run depend on besides its recipe."""
    write_json(run / "versions.json", {"format": 1, **versions()})


def versions() -> dict[str, Any]:
    """Versions of Python, the machine's system and the packages that matter, none of them imported."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": found}


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that `folder` stands at and how many files differ from it; None outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain")
    if commit is None or changed is None:
        return None
    return {"commit": commit.strip(), "changed_files": len(changed.splitlines())}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _add_if_there_is_space(run: Path, event: str, **fields: Any) -> None:
    """Work that waits for space, and says so, must not end for want of a line here."""
    with suppress(FullDisk):
        _add(run, event, **fields)


def _add(run: Path, event: str, **fields: Any) -> None:
    row = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **fields}
    path = run / "log.jsonl"
    with writing_to(path), open(path, "a", encoding="utf-8", errors=NOT_UTF8) as file:
        file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
