"""Columns of a file of labelled texts: TSV, CSV, JSON Lines, each also `.gz` or `.zst`, or Parquet."""

import difflib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tezgah.corpus.stored import BrokenFileError, StoredFile
from tezgah.errors import InputError

KINDS = {".tsv": "table", ".csv": "table", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}
PIECE_BYTES = 1 << 20


def read_columns(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """The values of the named columns, row after row.

    In a TSV or CSV the first row names the columns, a value in `"` may hold anything, and every value is text. Raises
    InputError for a file of another kind, a damaged one, and a column that is not there.
    """
    suffixes = [each.lower() for each in path.suffixes if each.lower() not in (".gz", ".zst")]
    kind = KINDS.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise InputError(f"{path}: is none of {', '.join(KINDS)} (or these with .gz or .zst). Convert it to one.")
    try:
        if kind == "parquet":
            return _parquet(path, names)
        content = _content(path)
        return _json(path, content, names) if kind == "json" else _table(path, content, names, suffixes[-1])
    except BrokenFileError as error:
        raise InputError(f"{path}: {error}. Restore it.") from None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read ({reason}). Mend the file, or restore it.") from None


def _content(path: Path) -> bytes:
    with StoredFile(path) as file:
        return b"".join(iter(lambda: file.read(PIECE_BYTES), b""))


def _table(path: Path, content: bytes, names: Sequence[str], suffix: str) -> dict[str, list[Any]]:
    if not content.strip():
        raise InputError(f"{path}: is empty. The first row names the columns.")
    parsing = pyarrow.csv.ParseOptions(delimiter="\t" if suffix == ".tsv" else ",", newlines_in_values=True)
    with pyarrow.csv.open_csv(io.BytesIO(content), parse_options=parsing) as opened:
        known = opened.schema.names
    _check(path, names, known)
    converting = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=[*names])
    table = pyarrow.csv.read_csv(io.BytesIO(content), parse_options=parsing, convert_options=converting)
    return {name: table[name].to_pylist() for name in names}


def _json(path: Path, content: bytes, names: Sequence[str]) -> dict[str, list[Any]]:
    """Of every line's object the named values; None where it has none."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path}: line {number:,} is no JSON object ({error}). Mend it.") from None
    _check(path, names, list(dict.fromkeys(name for row in rows for name in row)))
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    with open(path, "rb") as opened, pq.ParquetFile(opened) as file:
        _check(path, names, file.schema_arrow.names)
        table = file.read(columns=[*names])
    return {name: table[name].to_pylist() for name in names}


def _check(path: Path, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(f"{path}: has no column {name!r}; it has: {', '.join(known) or 'none'}.{hint}")
