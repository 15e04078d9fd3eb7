"""`card.md`: what the corpus is made of, told so that a stranger can judge it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tezgah.corpus.reading import Amount, CorpusSummary
from tezgah.corpus.rules import REASONS
from tezgah.files import write_text

LONGEST_BREAKDOWN = 20
NOISY_BYTES = 1_000_000  # bits per byte of less held-out text vary too much to compare by


def write_card(path: Path, summary: CorpusSummary) -> None:
    """Write the card of a corpus as Markdown."""
    sections = [_heading(summary), _splits(summary), _dropped(summary), _cut(summary)]
    sections += [
        _breakdown("Source", summary.by_source),
        _breakdown("Licence", summary.by_license),
        _breakdown("Suffix", summary.by_suffix),
        _columns(summary),
    ]
    write_text(path, "\n".join(section for section in sections if section))


def _heading(summary: CorpusSummary) -> str:
    stay = summary.texts - sum(entry.texts for entry in summary.dropped.values())
    documents = sum(each.documents for each in summary.splits.values())
    size = sum(each.bytes for each in summary.splits.values())
    read = sum(record[1] for record in summary.inputs if record[3])
    files = f" from {_count(len(summary.inputs), 'file')} ({read:,} bytes read)" if summary.inputs else ""
    sources = ", ".join(f"`{name}`" for name in summary.source)
    return (
        f"# Corpus card\n\nFrom {sources}: {_count(summary.texts, 'text')} came in{files}, {stay:,} stayed. "
        f"This makes {_count(documents, 'document')} of {size:,} bytes.\n"
    )


def _splits(summary: CorpusSummary) -> str:
    total = sum(each.bytes for each in summary.splits.values())
    rows = [(name, *_numbers(each), f"{each.bytes / max(total, 1):.1%}") for name, each in summary.splits.items()]
    notes = [f"Split by {summary.split_rule}: {summary.split_reason}."]
    if summary.split_rule == "position":
        notes.append("Documents are in reading order and the last characters are held out.")
    else:
        notes.append("A document's split depends on its key alone: it does not move when others are added.")
    if "sample" in summary.splits:
        notes.append(
            "The corpus is read as a stream and is not stored: this is a sample of it, from the beginnings of some "
            "files. Training reads all the rest but what the hash holds out, in the sample or not."
        )
    held_out = summary.splits["validation"].bytes
    if held_out < NOISY_BYTES:
        notes.append(f"Only {held_out:,} bytes are held out: bits per byte on them is a noisy reading.")
    header = ("split", "documents", "bytes", "characters", "share of bytes")
    return f"## Splits\n\n{_table(header, rows)}\n\n{' '.join(notes)}\n"


def _dropped(summary: CorpusSummary) -> str:
    if not summary.dropped:
        return "## Dropped\n\nNothing.\n"
    rows = [
        (reason, f"{entry.texts:,}", f"{entry.bytes:,}", REASONS[reason], ", ".join(map(_code, entry.examples)))
        for reason, entry in summary.dropped.items()
    ]
    return f"## Dropped\n\n{_table(('reason', 'texts', 'bytes', 'meaning', 'examples'), rows)}\n"


def _cut(summary: CorpusSummary) -> str:
    limit = f"{summary.max_document_bytes:,} bytes"
    if not summary.cut_texts:
        return f"## Cut\n\nNo text is longer than {limit}, so none was cut.\n"
    return (
        f"## Cut\n\nTexts longer than {limit} were cut at paragraph ends before the split: "
        f"{summary.cut_texts:,} became {summary.cut_parts:,} documents. "
        "The column `part` numbers them within their text. Parts of one text may be in different splits.\n"
    )


def _breakdown(title: str, groups: dict[str, Amount]) -> str:
    rows = [(_code(name), *_numbers(amount)) for name, amount in list(groups.items())[:LONGEST_BREAKDOWN]]
    more = len(groups) - len(rows)
    note = f"\n\n{more:,} more are in `index.json`." if more > 0 else ""
    return f"## {title}\n\n{_table((title.lower(), 'documents', 'bytes', 'characters'), rows)}{note}\n"


def _columns(summary: CorpusSummary) -> str:
    rows = [(_code(name), kind) for name, kind in summary.columns.items()]
    return f"## Columns\n\n{_table(('column', 'type'), rows)}\n"


def _count(number: int, noun: str) -> str:
    """
    >>> _count(1, "text"), _count(2000, "text")
    ('1 text', '2,000 texts')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _numbers(amount: Amount) -> tuple[str, str, str]:
    return f"{amount.documents:,}", f"{amount.bytes:,}", f"{amount.characters:,}"


def _code(text: str) -> str:
    """Text out of the corpus, harmless in a Markdown table.

    >>> _code("a|b")
    '`a\\\\|b`'
    """
    plain = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
