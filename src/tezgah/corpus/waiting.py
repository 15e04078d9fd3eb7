"""Documents between the two passes: an Arrow file on disk, and a few numbers a row in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tezgah.corpus.columns import BEGINS
from tezgah.corpus.cut import cut_long
from tezgah.corpus.duplicates import TextHashes
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import document_fractions


@dataclass(frozen=True)
class Rows:
    """What is remembered of every row: about 13 bytes, and 16 more a text."""

    begins: np.ndarray  # (rows,) bool: the first of its text
    characters: np.ndarray  # (rows,) int32
    fractions: np.ndarray  # (rows,) float64: where the split key falls
    hashes: np.ndarray  # (texts, 2) uint64


def gather(batches: Iterable[pa.RecordBatch], schema: pa.Schema, settings: CorpusSettings, path: Path) -> Rows:
    """Cut long texts and write all documents to `path`, in order."""
    begins, characters, fractions = [np.empty(0, bool)], [np.empty(0, np.int32)], [np.empty(0)]
    hashes = TextHashes()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            documents = cut_long(batch, settings.max_document_bytes)
            hashes.add(documents)
            text = documents["text"]
            begins.append(documents[BEGINS].to_numpy(zero_copy_only=False))
            characters.append(pc.utf8_length(text).to_numpy())
            fractions.append(document_fractions(documents, settings))
            writer.write_batch(documents)
    return Rows(np.concatenate(begins), np.concatenate(characters), np.concatenate(fractions), hashes.finish())


def waiting(path: Path) -> Iterator[pa.RecordBatch]:
    """The documents again, in order."""
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        yield from reader
