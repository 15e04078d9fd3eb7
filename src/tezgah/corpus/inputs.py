"""What the recipe's `source` names: files, found in a fixed order without reading any of them."""

import glob
import os
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError

STDLIB_SKIPS = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test"})
STDLIB_LICENSE = "PSF-2.0"  # SPDX name of the licence of the Python distribution as a whole


@dataclass(frozen=True)
class InputFile:
    """A file to read, as it was when it was found."""

    path: Path
    relative: str  # below the source's folder, with forward slashes
    size: int  # bytes on disk
    mtime_ns: int
    source: str  # as the recipe says it
    license: str | None = None
    is_named: bool = False  # given by its own name: no size limit
    is_rows: bool = False  # a .json file that is asked for as rows, not met by chance


@dataclass(frozen=True)
class DatasetName:
    """`datasets:ID[:CONFIG[:SPLIT]]`; an empty CONFIG is the default one."""

    id: str
    config: str = ""
    split: str = ""


@dataclass(frozen=True)
class Source:
    """One entry of the recipe's `source` and the files behind it."""

    name: str
    files: tuple[InputFile, ...]
    dataset: DatasetName | None = None


def list_inputs(settings: CorpusSettings) -> list[InputFile]:
    """Every file the corpus would be made of, in reading order; costs one `stat` a file.

    A dataset of the hub has no files here. Raises InputError where a source names nothing.
    """
    return [file for source in list_sources(settings) for file in source.files]


def listing_of(sources: list[Source]) -> list[list[Any]]:
    """What tells, without reading them, whether the files have changed."""
    return [[file.relative, file.size, file.mtime_ns] for source in sources for file in source.files]


def list_sources(settings: CorpusSettings) -> list[Source]:
    """The sources in the recipe's order. A file that two of them name belongs to the first."""
    names = (settings.source,) if isinstance(settings.source, str) else settings.source
    if not names or not all(names):
        raise InputError("corpus.source is empty. Name a folder, a file, a glob, 'stdlib' or 'datasets:ID'.")
    seen: set[str] = set()
    sources = []
    for name in names:
        source = _find(name, settings.include)
        fresh = [file for file in source.files if os.path.realpath(file.path) not in seen]
        seen.update(os.path.realpath(file.path) for file in fresh)
        sources.append(Source(name, tuple(fresh), source.dataset))
    return sources


def _find(name: str, include: tuple[str, ...]) -> Source:
    if name == "stdlib":
        return Source(name, tuple(_standard_library()))
    if name.startswith("datasets:"):
        return _dataset(name)
    path = Path(name).expanduser()
    if os.path.isfile(path):  # unlike Path.is_file, no error for a name that cannot be one
        return Source(name, tuple(_stat(path, path.name, name, is_named=True, is_rows=True)))
    if os.path.isdir(path):
        return Source(name, tuple(_folder(path, name, include)))
    if os.path.exists(path):
        raise InputError(f"corpus.source: {name!r} is neither a file nor a folder. Give one of these.")
    if any(sign in name for sign in "*?["):
        return Source(name, tuple(_glob(name)))
    raise InputError(
        f"corpus.source: {name!r} does not exist. Give a folder, a file, a glob, 'stdlib' or 'datasets:ID'."
    )


def _folder(folder: Path, name: str, include: tuple[str, ...]) -> list[InputFile]:
    """Files below `folder`, hidden ones left out, by name."""
    every = list(_walk(folder, skips=frozenset()))
    chosen = [
        relative for relative in every if not include or any(PurePosixPath(relative).match(each) for each in include)
    ]
    files = [file for relative in sorted(chosen) for file in _stat(folder / relative, relative, name)]
    if not every:
        raise InputError(f"{folder}: holds no files (hidden ones are not read). Put text into it, or name another.")
    if not files:
        raise InputError(
            f"{folder}: none of its {len(every):,} files matches corpus.include = {list(include)}. Change the patterns."
        )
    return files


def _standard_library() -> Iterator[InputFile]:
    """The interpreter's own library: Python source without its tests and installed packages."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for relative in sorted(_walk(root, skips=STDLIB_SKIPS)):
        if relative.endswith(".py"):
            yield from _stat(root / relative, relative, "stdlib", license=STDLIB_LICENSE)


def _glob(name: str) -> list[InputFile]:
    """Files a pattern matches, `**` any depth; paths are told from the folder before the first wildcard."""
    parts = Path(name).expanduser().parts
    first = next(place for place, part in enumerate(parts) if any(sign in part for sign in "*?["))
    root, pattern = Path(*parts[:first]), os.path.join(*parts[first:])
    is_rows = ".json" in parts[-1]
    matches = {Path(match).as_posix() for match in glob.glob(pattern, root_dir=root, recursive=True)}
    files = [file for match in sorted(matches) for file in _stat(root / match, match, name, is_rows=is_rows)]
    if not files:
        folders = f" (only {len(matches):,} folders do: add /**/* to read what is in them)" if matches else ""
        raise InputError(f"corpus.source: no file matches {name!r}{folders}. Check the pattern and the folder.")
    return files


def _dataset(name: str) -> Source:
    id_, config, split, *rest = (*name.removeprefix("datasets:").split(":"), "", "")
    if not id_ or any(rest):
        raise InputError(f"corpus.source: {name!r} is not of the form datasets:ID[:CONFIG[:SPLIT]].")
    path = Path(id_).expanduser()
    files: list[InputFile] = []
    if os.path.isdir(path):
        files = _folder(path, name, include=())
    elif os.path.isfile(path):
        files = list(_stat(path, path.name, name))
    return Source(name, tuple(files), DatasetName(id_, config, split))


def _walk(folder: Path, skips: frozenset[str]) -> Iterator[str]:
    """Relative paths of all files; hidden names, folders in `skips` and links to folders are passed by."""

    def refuse(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: cannot be listed ({error.strerror}). Give yourself access, or leave it out."
        )

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [each for each in folders if not each.startswith(".") and each not in skips]
        below = Path(here).relative_to(folder)
        yield from ((below / each).as_posix() for each in names if not each.startswith("."))


def _stat(
    path: Path, relative: str, source: str, license: str | None = None, is_named: bool = False, is_rows: bool = False
) -> Iterator[InputFile]:
    """The file, if it is one: dead links, pipes and sockets yield nothing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(
            f"{path}: cannot be looked at ({error.strerror}). Give yourself access, or leave it out."
        ) from error
    if stat.S_ISREG(found.st_mode):
        name = os.fsencode(relative).decode("utf-8", "replace")  # file names need not be UTF-8
        yield InputFile(path, name, found.st_size, found.st_mtime_ns, source, license, is_named, is_rows)
