"""Counted words as a Parquet file: counted once, merged for as many vocabulary sizes as are wanted.

Counting that takes long saves what it has now and then, with how many documents that is of. Texts
come in a fixed order, so it can go on from there after it was killed. Memory grows with the distinct
words, about 90 bytes for each on every thread, and not with the text.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tezgah.compiled import compilation_told
from tezgah.console import say
from tezgah.errors import InputError
from tezgah.files import atomic_file, check_format
from tezgah.tokenizer.count import LONGEST_WORD, WordCounter, Words
from tezgah.tokenizer.settings import Rule
from tezgah.tokenizer.texts import Chunk

FORMAT = 1
SAVE_SECONDS = 60.0  # between two savings …
SAVING_SHARE = 0.05  # … and longer where saving would take more of the time than this


class Counted(NamedTuple):
    """Words of a file, what they were counted in, and of how many documents where counting had not ended."""

    words: Words
    fingerprint: str
    documents: int


def counted_words(
    path: Path, fingerprint: str, chunks: Iterable[Chunk], split: Rule, threads: int, is_named: bool = False
) -> Words:
    """The words that `path` holds if they have this fingerprint; else those of the texts, counted and kept there.

    `fingerprint` tells the texts and the split. A call that was interrupted or killed is gone on with
    by the next one with the same fingerprint. Raises InputError when no word is found, or where the user named
    the file and it holds others.
    """
    if path.exists():
        if (stored := read_words(path)).fingerprint == fingerprint:
            say(f"words: {len(stored.words.counts):,} distinct ones, as counted before in {path}")
            return stored.words
        if is_named:
            raise InputError(
                f"{path}: counted in other files, or these have changed since, or cut or normalized otherwise. "
                "Give another --words, or remove it, and they are counted again."
            )
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    words = _count(partial, fingerprint, chunks, split, threads)
    if not len(words.counts):
        raise InputError("the files hold no text to learn from. Name other files.")
    write_words(path, words, fingerprint)
    partial.unlink(missing_ok=True)
    return words


def write_words(path: Path, words: Words, fingerprint: str, documents: int | None = None) -> None:
    """Write words, the most frequent first, ties by their bytes; `fingerprint` says what was counted.

    `documents` are those counted so far; such words are in no order.
    """
    spelled = pa.Array.from_buffers(
        pa.large_binary(),
        len(words.counts),
        [None, pa.py_buffer(np.ascontiguousarray(words.starts)), pa.py_buffer(np.ascontiguousarray(words.arena))],
    )
    table = pa.table({"word": spelled, "count": words.counts})
    told = {"format": str(FORMAT), "fingerprint": fingerprint}
    if documents is None:
        table = table.sort_by([("count", "descending"), ("word", "ascending")])
    else:
        told["documents"] = str(documents)
    with atomic_file(path) as file:
        pq.write_table(table.replace_schema_metadata(told), file, compression="zstd")


def read_words(path: Path) -> Counted:
    """What `write_words` wrote. Raises InputError for a damaged file."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=["word", "count"])
        told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        words = table["word"].cast(pa.large_binary()).combine_chunks()
        counts = table["count"].cast(pa.int64()).to_numpy()
        version, documents = int(told.get("format", 0)), int(told.get("documents", 0))
        _check(words, counts)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not counted words ({reason}). Remove it, and they are counted again.") from error
    check_format(path, version, FORMAT)
    if not len(words):
        return Counted(Words(np.zeros(0, np.uint8), np.zeros(1, np.int64), counts), told.get("fingerprint", ""), 0)
    _, starts, arena = words.buffers()
    ends = np.frombuffer(starts, np.int64)[words.offset : words.offset + len(words) + 1]
    return Counted(
        Words(np.frombuffer(arena, np.uint8)[: ends[-1]], ends, counts), told.get("fingerprint", ""), documents
    )


def _check(words: Any, counts: NDArray[np.int64]) -> None:
    """Raise ValueError for words or counts that counting does not make; compiled code trusts them."""
    words.validate(full=True)
    if words.null_count or len(words) != len(counts):
        raise ValueError("a word or a count is missing")
    if not len(words):
        return
    lengths = pc.binary_length(words).to_numpy()
    if lengths.min() < 1 or lengths.max() > LONGEST_WORD or counts.min() < 0:
        raise ValueError(f"a word without a letter, of more than {LONGEST_WORD:,} bytes, or counted less than never")
    words.cast(pa.large_string())


def _count(partial: Path, fingerprint: str, chunks: Iterable[Chunk], split: Rule, threads: int) -> Words:
    """Words of the texts; what was counted is saved in `partial` as time goes by, and when the user stops."""
    with compilation_told("tokenizer engine"), WordCounter(split, threads) as counter:
        done = 0
        if partial.exists() and (stored := read_words(partial)).fingerprint == fingerprint:
            counter.start_from(stored.words, stored.documents)
            done = stored.documents
            say(f"words: going on after {done:,} documents that were counted before")
        saved_at, pause = monotonic(), SAVE_SECONDS
        try:
            for text, offsets in _after(done, chunks):
                counter.add(text, offsets)
                if (now := monotonic()) - saved_at >= pause:
                    _save(partial, fingerprint, *counter.settle())
                    saved_at = monotonic()
                    pause = max(SAVE_SECONDS, (saved_at - now) / SAVING_SHARE)
        except KeyboardInterrupt:
            _save(partial, fingerprint, *counter.close())
            raise
        return counter.settle()[0]


def _save(partial: Path, fingerprint: str, words: Words, documents: int) -> None:
    if documents:
        write_words(partial, words, fingerprint, documents)


def _after(documents: int, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks without the first documents: these are read again, and normalized again, but not counted."""
    for text, offsets in chunks:
        skipped = min(documents, len(offsets) - 1)
        documents -= skipped
        if skipped < len(offsets) - 1:
            yield text, offsets[skipped:]
