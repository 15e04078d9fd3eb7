"""The sources of a run, a row each: what training has had of them, and how well their held-out text is predicted."""

from tezgah.tokens.mixture import Seen, seen
from tezgah.training.markdown import to_html
from tezgah.training.record import Held, Record

ABSENT = "–"


def sources_table(record: Record) -> str:
    """The table in HTML; nothing where the run has one source, and says no share of it."""
    had = {each.name: each for each in _seen(record)}
    held = record.evaluation.by_source if record.evaluation else {}
    if not had and not held:
        return ""
    columns = (SHARES if had else ()) + (HELD if held else ())
    lines = ["| source | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for name in {**had, **held}:
        cells = (*(_shares(had.get(name)) if had else ()), *(_held(held.get(name)) if held else ()))
        shown = " ".join(name.split()).replace("`", "'").replace("|", "\\|")
        lines.append(f"| `{shown}` | {' | '.join(cells)} |")
    return to_html("\n".join(lines))


SHARES = ("share wanted", "share seen", "sequences seen", "its epochs")
HELD = ("held-out documents", "held-out bytes", "bits per byte")


def _seen(record: Record) -> list[Seen]:
    batch_size = record.recipe.get("train", {}).get("batch_size")
    return seen(record.sources, record.rows[-1].step * batch_size) if record.sources and batch_size else []


def _shares(each: Seen | None) -> tuple[str, ...]:
    if each is None:
        return (ABSENT,) * len(SHARES)
    epochs = ABSENT if each.epochs is None else f"{each.epochs:.2f}"
    return f"{each.wanted:.2%}", f"{each.share:.2%}", f"{each.sequences:,}", epochs


def _held(each: Held | None) -> tuple[str, ...]:
    if each is None:
        return (ABSENT,) * len(HELD)
    return f"{each.documents:,}", f"{each.bytes:,}", f"{each.bits_per_byte:.3f}"
