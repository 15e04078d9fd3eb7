"""What the verbs of the command line have in common."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

from msgspec import Meta

from tezgah.settings import Settings


@dataclass(frozen=True)
class Answer:
    """What a verb has to say on stdout: a text, its `pieces` as they come in its place, or with `--json` one object."""

    text: str
    value: dict[str, Any]
    pieces: Iterable[str] = ()


class Plain(Settings, frozen=True):
    """Flags of a verb that only answers."""

    json: Annotated[bool, Meta(description="print one JSON object instead of text")] = False


@dataclass(frozen=True)
class Verb:
    """A verb: its summary, operands and flags, and the function that does it."""

    summary: str
    operands: tuple[str, ...]
    flags: type[Settings]
    answer: Callable[..., Answer]
    notes: str = ""
    takes_recipe_fields: bool = False


def lines(figures: dict[str, Any]) -> str:
    """Figures one a line, aligned."""
    width = max(map(len, figures)) + 2
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in figures.items()}
    shown |= {name: f"{value:.4f}" for name, value in figures.items() if isinstance(value, float)}
    return "\n".join(f"{name.replace('_', ' '):<{width}}{value}" for name, value in shown.items())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their head; a column of numbers stands to the right, one of words to the left.

    >>> print(table(("name", "ids"), [("a", "32,768"), ("long", "257")]))
    name     ids
    a     32,768
    long     257
    """
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_number = [all(cell.lstrip("-")[:1].isdecimal() or cell == "–" for cell in column[1:]) for column in columns]
    shown = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ]
        for row in (head, *rows)
    ]
    return "\n".join("  ".join(row).rstrip() for row in shown)


def percent(share: float) -> str:
    """A share to read; what is not nothing is not shown as nothing.

    >>> percent(0.1234), percent(0.00004), percent(0.0)
    ('12.3 %', '0.004 %', '0 %')
    """
    return "0 %" if share == 0 else f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.1g} %"


def short_names(paths: Sequence[PurePath]) -> list[str]:
    """The last part of each path, with as many before it as tell it from the others.

    >>> short_names([PurePath("/m/code"), PurePath("/m/a/tr.txt"), PurePath("/m/b/tr.txt")])
    ['code', 'a/tr.txt', 'b/tr.txt']
    """
    names = []
    for path in paths:
        others = [other.parts for other in paths if other != path]
        sizes = range(1, len(path.parts))
        size = next((n for n in sizes if all(other[-n:] != path.parts[-n:] for other in others)), len(path.parts))
        names.append(str(PurePath(*path.parts[-size:])))
    return names
