"""What is found about one sample."""

from dataclasses import dataclass

LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class Verdict:
    """Whether a sample passed its task's test; `reason` is "passed", or one short line why not."""

    passed: bool
    reason: str


def one_line(text: str) -> str:
    r"""A text from a stranger, short and harmless to print: what is not printable is escaped.

    >>> one_line("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    shown = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text[: LONGEST_REASON + 1])
    return shown if len(shown) <= LONGEST_REASON else shown[: LONGEST_REASON - 1] + "…"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
