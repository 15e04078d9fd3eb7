"""Opening a corpus that was built: its index, and its documents a batch at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tezgah.errors import InputError
from tezgah.files import read_struct

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
BATCH_ROWS = 1024  # of at most corpus.max_document_bytes each

InputRecord = tuple[str, int, int, str | None]  # relative path, bytes, time of change (ns), SHA-256 if it was read


class Dropped(msgspec.Struct):
    """Texts that did not stay for one reason."""

    texts: int = 0
    bytes: int = 0
    examples: list[str] = msgspec.field(default_factory=list)


class Amount(msgspec.Struct):
    """How many documents, and how long they are together (UTF-8 bytes, code points)."""

    documents: int = 0
    bytes: int = 0
    characters: int = 0


class CorpusSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`index.json`: what came in, what was dropped, what was made of it."""

    format: int
    source: list[str]
    columns: dict[str, str]  # name → Arrow type, in the Parquet files' order
    texts: int  # met: one a plain file, one a row
    dropped: dict[str, Dropped]
    cut_texts: int  # texts longer than max_document_bytes …
    cut_parts: int  # … and the documents they became
    max_document_bytes: int
    split_rule: str  # "hash" or "position"
    split_reason: str
    splits: dict[str, Amount]
    by_source: dict[str, Amount]
    by_license: dict[str, Amount]
    by_suffix: dict[str, Amount]
    inputs: list[InputRecord]


def read_index(folder: Path) -> CorpusSummary:
    """The index of the corpus in `folder`. Raises InputError when it is missing, damaged or too new."""
    path = folder / "index.json"
    return read_struct(path, CorpusSummary, FORMAT, "Build the corpus anew.")


def read_batches(folder: Path, split: str, columns: Sequence[str] = ("text",)) -> "Iterator[pa.RecordBatch]":
    """The documents of a split in order, with these columns in this order; one row group is in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"{split}.parquet"
    if not path.is_file():
        splits = ", ".join(sorted(each.stem for each in folder.glob("*.parquet"))) or "none"
        raise InputError(f"{path}: no such split; there is: {splits}. Build the corpus with it, or name another.")
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            known = file.schema_arrow.names
            if missing := [each for each in columns if each not in known]:
                raise InputError(f"{path}: has no column {missing[0]!r}; it has: {', '.join(known)}.")
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield batch.select(list(columns))
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged ({reason}). Build the corpus anew.") from error
