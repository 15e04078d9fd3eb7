"""Building a corpus: read, drop duplicates, cut, split, write.

Two passes, because whether a text is a duplicate, and where a split by position falls, is known
only when everything was read. Between them the documents wait in one Arrow file beside the
output. Memory holds a few batches and about 40 bytes a document, whatever the size of the input.
"""

from pathlib import Path

import msgspec
import numpy as np

from tezgah import console
from tezgah.corpus.card import write_card
from tezgah.corpus.columns import KeptColumns
from tezgah.corpus.duplicates import first_equal
from tezgah.corpus.inputs import Source, list_sources
from tezgah.corpus.readers import read_documents
from tezgah.corpus.reading import CorpusSummary
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import SPLITS, check_ratios, plan_split
from tezgah.corpus.summary import check_any_text, parts_of_texts, summarize, tell
from tezgah.corpus.tally import Tally
from tezgah.corpus.waiting import Rows, gather, waiting
from tezgah.corpus.writing import SplitFile, write_splits
from tezgah.files import write_json


def build_corpus(settings: CorpusSettings, folder: Path) -> CorpusSummary:
    """Fill the existing, empty `folder`: a Parquet file a split, `card.md` and `index.json`.

    The same inputs and settings give the same bytes. Raises InputError where there is nothing
    to read, where something is broken and `on_error` is "stop", or where a split stays empty.
    """
    if settings.split != "position":
        check_ratios(settings)
    kept, tally, sources = KeptColumns(settings), Tally(settings), list_sources(settings)
    path = folder / ".documents.arrow"
    rows = _read(sources, settings, kept, tally, path)
    first = first_equal(rows.hashes)  # (texts,)
    is_kept = first == np.arange(len(first))
    parts = parts_of_texts(rows.begins)  # (texts,)
    plan = plan_split(settings, rows.fractions, rows.characters, stays=np.repeat(is_kept, parts))
    names = SPLITS if settings.test_ratio else SPLITS[:2]
    files = {name: SplitFile(folder / f"{name}.parquet", kept) for name in names}
    breakdowns = write_splits(waiting(path), plan, first, list(files.values()), tally)
    path.unlink()
    summary = summarize(settings, sources, tally, plan, files, breakdowns, parts[is_kept])
    write_json(folder / "index.json", msgspec.to_builtins(summary))
    write_card(folder / "card.md", summary)
    tell(settings, summary)
    return summary


def _read(sources: list[Source], settings: CorpusSettings, kept: KeptColumns, tally: Tally, path: Path) -> Rows:
    """The first pass, with a bar. Raises InputError when no text is left."""
    size = sum(file.size for source in sources for file in source.files)
    total = None if any(source.dataset for source in sources) else size
    with console.progress("corpus", total, "B") as bar:
        rows = gather(read_documents(sources, settings, kept, tally, bar.advance), kept.schema, settings, path)
    check_any_text(sources, tally, len(rows.begins))
    for name in kept.absent():
        console.warn(f"corpus.keep_columns: no row has a value in the column {name!r}")
    return rows
