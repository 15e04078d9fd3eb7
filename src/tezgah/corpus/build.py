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
from tezgah.corpus.reading import FORMAT, Amount, CorpusSummary, Dropped
from tezgah.corpus.rules import REASONS
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import SPLITS, Plan, plan_split
from tezgah.corpus.tally import Tally
from tezgah.corpus.waiting import Rows, gather, waiting
from tezgah.corpus.writing import Breakdowns, SplitFile, write_splits
from tezgah.errors import InputError
from tezgah.files import write_json


def build_corpus(settings: CorpusSettings, folder: Path) -> CorpusSummary:
    """Fill the existing, empty `folder`: a Parquet file a split, `card.md` and `index.json`.

    The same inputs and settings give the same bytes. Raises InputError where there is nothing
    to read, where something is broken and `on_error` is "stop", or where a split stays empty.
    """
    if settings.split != "position" and settings.validation_ratio + settings.test_ratio >= 1:
        raise InputError(
            f"corpus.validation_ratio = {settings.validation_ratio} and corpus.test_ratio = {settings.test_ratio} "
            "leave nothing to train on. Keep their sum below 1."
        )
    kept, tally, sources = KeptColumns(settings), Tally(settings), list_sources(settings)
    path = folder / ".documents.arrow"
    rows = _read(sources, settings, kept, tally, path)
    first = first_equal(rows.hashes)  # (texts,)
    is_kept = first == np.arange(len(first))
    plan = plan_split(settings, rows.fractions, rows.characters, stays=np.repeat(is_kept, _parts(rows)))
    names = SPLITS if settings.test_ratio else SPLITS[:2]
    files = {name: SplitFile(folder / f"{name}.parquet", kept) for name in names}
    breakdowns = write_splits(waiting(path), plan, first, list(files.values()), tally)
    path.unlink()
    summary = _summary(settings, sources, tally, plan, files, breakdowns, _parts(rows)[is_kept])
    write_json(folder / "index.json", msgspec.to_builtins(summary))
    write_card(folder / "card.md", summary)
    _tell(settings, summary)
    return summary


def _read(sources: list[Source], settings: CorpusSettings, kept: KeptColumns, tally: Tally, path: Path) -> Rows:
    """The first pass, with a bar. Raises InputError when no text is left."""
    size = sum(file.size for source in sources for file in source.files)
    total = None if any(source.dataset for source in sources) else size
    with console.progress("corpus", total, "B") as bar:
        rows = gather(read_documents(sources, settings, kept, tally, bar.advance), kept.schema, settings, path)
    if not len(rows.begins):
        names = ", ".join(source.name for source in sources)
        why = "; ".join(
            f"{entry.texts:,} × {REASONS[reason]}, e.g. {entry.examples[0]}"
            for reason, entry in _dropped(tally).items()
        )
        raise InputError(f"{names}: no text in it ({why or 'no rows'}). Name other files in corpus.source.")
    for name in kept.absent():
        console.warn(f"corpus.keep_columns: no row has a value in the column {name!r}")
    return rows


def _parts(rows: Rows) -> np.ndarray:
    """How many parts each text was cut into, (texts,)."""
    return np.diff(np.append(np.flatnonzero(rows.begins), len(rows.begins)))


def _dropped(tally: Tally) -> dict[str, Dropped]:
    """Most texts first."""
    return dict(sorted(tally.dropped.items(), key=lambda item: (-item[1].texts, item[0])))


def _summary(
    settings: CorpusSettings,
    sources: list[Source],
    tally: Tally,
    plan: Plan,
    files: dict[str, SplitFile],
    breakdowns: Breakdowns,
    parts: np.ndarray,
) -> CorpusSummary:
    """`parts` is how many documents each text that stays became."""
    inputs = [file for source in sources for file in source.files]
    groups = {name: _largest_first(each) for name, each in breakdowns.groups.items()}
    return CorpusSummary(
        format=FORMAT,
        source=[source.name for source in sources],
        columns={field.name: str(field.type) for field in files["train"].schema},
        texts=tally.texts,
        dropped=_dropped(tally),
        cut_texts=int((parts > 1).sum()),
        cut_parts=int(parts[parts > 1].sum()),
        max_document_bytes=settings.max_document_bytes,
        split_rule=plan.rule,
        split_reason=plan.reason,
        splits={name: file.amount for name, file in files.items()},
        by_source=groups["source"],
        by_license=groups["license"],
        by_suffix=groups["suffix"],
        inputs=[(file.relative, file.size, file.mtime_ns, tally.hashes.get(file)) for file in inputs],
    )


def _largest_first(groups: dict[str, Amount]) -> dict[str, Amount]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].bytes, item[0])))


def _tell(settings: CorpusSettings, summary: CorpusSummary) -> None:
    """What a user should know at once; the card has the rest."""
    if settings.split == "auto" and summary.split_rule == "position":
        console.say(f"corpus: {summary.split_reason}; split by position, the last characters are held out")
    if summary.dropped:
        dropped = ", ".join(f"{entry.texts:,} {reason}" for reason, entry in summary.dropped.items())
        console.say(f"corpus: dropped {dropped} of {summary.texts:,} texts (examples in card.md)")
    if summary.cut_texts:
        console.say(
            f"corpus: cut texts over {summary.max_document_bytes:,} bytes at paragraph ends: "
            f"{summary.cut_texts:,} became {summary.cut_parts:,} documents"
        )
    sizes = ", ".join(
        f"{name} {each.documents:,} documents {each.bytes:,} bytes" for name, each in summary.splits.items()
    )
    console.say(f"corpus: {sizes}")
