"""Counted words as a Parquet file: counted once, merged for as many vocabulary sizes as are wanted."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tezgah.errors import InputError
from tezgah.files import atomic_file, check_format
from tezgah.tokenizer.count import Words

FORMAT = 1


def write_words(path: Path, words: Words, fingerprint: str) -> None:
    """Write words, the most frequent first, ties by their bytes; `fingerprint` says what was counted."""
    spelled = pa.Array.from_buffers(
        pa.large_binary(),
        len(words.counts),
        [None, pa.py_buffer(np.ascontiguousarray(words.starts)), pa.py_buffer(np.ascontiguousarray(words.arena))],
    )
    table = pa.table({"word": spelled, "count": words.counts}).sort_by([("count", "descending"), ("word", "ascending")])
    told = {"format": str(FORMAT), "fingerprint": fingerprint}
    with atomic_file(path) as file:
        pq.write_table(table.replace_schema_metadata(told), file, compression="zstd")


def read_words(path: Path) -> tuple[Words, str]:
    """The words, and the fingerprint they were written with. Raises InputError for a damaged file."""
    try:
        table = pq.read_table(path, columns=["word", "count"])
        told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        words = table["word"].cast(pa.large_binary()).combine_chunks()
        counts = table["count"].cast(pa.int64()).to_numpy()
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise InputError(f"{path}: not counted words ({error}). Remove it, and they are counted again.") from error
    check_format(path, int(told.get("format", 0)), FORMAT)
    if not len(words):
        return Words(np.zeros(0, np.uint8), np.zeros(1, np.int64), counts), told.get("fingerprint", "")
    _, starts, arena = words.buffers()
    ends = np.frombuffer(starts, np.int64)[words.offset : words.offset + len(words) + 1]
    return Words(np.frombuffer(arena, np.uint8)[: ends[-1]], ends, counts), told.get("fingerprint", "")
