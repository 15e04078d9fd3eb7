"""From sources to documents: picks the reader of each file by its name."""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import PurePosixPath

import pyarrow as pa

from tezgah.console import warn
from tezgah.corpus.columns import KeptColumns
from tezgah.corpus.hub import read_dataset
from tezgah.corpus.inputs import InputFile, Source
from tezgah.corpus.json_rows import JsonRows, looks_like_rows
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.tables import TableRows
from tezgah.corpus.tally import Tally
from tezgah.corpus.texts import read_texts


def read_documents(
    sources: list[Source],
    settings: CorpusSettings,
    kept: KeptColumns,
    tally: Tally,
    advance: Callable[[float], None],
) -> Iterator[pa.RecordBatch]:
    """All documents in the sources' order, a few MB a batch; `tally` counts, `advance` hears of bytes read."""
    json_rows = JsonRows(settings.text_column, kept, tally)
    table_rows = TableRows(settings.text_column, kept, tally)
    for source in sources:
        if source.dataset:
            yield from read_dataset(source, source.dataset, table_rows)
            continue
        for kind, files in groupby(source.files, key=lambda file: kind_of(file, settings.text_column)):
            if kind == "text":
                yield from read_texts(files, settings, kept, tally, advance)
            else:
                rows = json_rows if kind == "json" else table_rows
                for file in files:
                    yield from rows.read(file, advance)


def read_sources(
    sources: list[Source], advance: Callable[[float], None] = lambda size_bytes: None
) -> Iterator[pa.RecordBatch]:
    """All documents of sources that a recipe without any other setting names, as it would read them.

    What could not be read as text is said at the end.
    """
    settings = CorpusSettings(source=tuple(source.name for source in sources))
    tally = Tally(settings)
    yield from read_documents(sources, settings, KeptColumns(settings), tally, advance)
    for reason, dropped in tally.dropped.items():
        warn(f"texts left out as {reason}: {dropped.texts:,} ({', '.join(dict.fromkeys(dropped.examples))})")


def kind_of(file: InputFile, text_column: str) -> str:
    """How a file is read: "json" (rows), "parquet", or "text" (the file is one text)."""
    suffixes = [each.lower() for each in PurePosixPath(file.relative).suffixes]
    if suffixes[-1:] == [".parquet"]:
        return "parquet"
    if suffixes[-1:] in ([".gz"], [".zst"]):
        suffixes.pop()
    if suffixes[-1:] in ([".jsonl"], [".ndjson"]):
        return "json"
    if suffixes[-1:] == [".json"] and (file.is_rows or looks_like_rows(file, text_column)):
        return "json"
    return "text"
