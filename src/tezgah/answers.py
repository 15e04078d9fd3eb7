"""What the verbs of the command line have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from tezgah.settings import Settings


@dataclass(frozen=True)
class Answer:
    """What a verb has to say on stdout: a text, or with `--json` one object."""

    text: str
    value: dict[str, Any]


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
