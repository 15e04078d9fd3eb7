"""What a reading of the sources came to: the summary beside the documents, and what a user hears at once."""

import numpy as np

from tezgah import console
from tezgah.corpus.inputs import Source
from tezgah.corpus.reading import FORMAT, Amount, CorpusSummary, Dropped
from tezgah.corpus.rules import REASONS
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import Plan
from tezgah.corpus.tally import Tally
from tezgah.corpus.writing import Breakdowns, SplitFile
from tezgah.errors import InputError


def check_any_text(sources: list[Source], tally: Tally, rows: int) -> None:
    """Raise InputError where no row of the sources stayed."""
    if not rows:
        names = ", ".join(source.name for source in sources)
        why = "; ".join(
            f"{entry.texts:,} × {REASONS[reason]}, e.g. {entry.examples[0]}"
            for reason, entry in most_dropped(tally).items()
        )
        raise InputError(f"{names}: no text in it ({why or 'no rows'}). Name other files in corpus.source.")


def summarize(
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
        columns={field.name: str(field.type) for field in next(iter(files.values())).schema},
        texts=tally.texts,
        dropped=most_dropped(tally),
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


def most_dropped(tally: Tally) -> dict[str, Dropped]:
    """Why texts were dropped, most texts first."""
    return dict(sorted(tally.dropped.items(), key=lambda item: (-item[1].texts, item[0])))


def parts_of_texts(begins: np.ndarray) -> np.ndarray:
    """How many rows each text has, (texts,), from which rows begin one, (rows,).

    >>> parts_of_texts(np.array([True, True, False])).tolist()
    [1, 2]
    """
    return np.diff(np.append(np.flatnonzero(begins), len(begins)))


def tell(settings: CorpusSettings, summary: CorpusSummary) -> None:
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


def _largest_first(groups: dict[str, Amount]) -> dict[str, Amount]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].bytes, item[0])))
