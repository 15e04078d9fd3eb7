"""What a person reads while work goes on: messages and progress, on stderr.

Results go to stdout and are printed by the command line alone. Of the processes of one launch only
the first speaks: the others would say the same.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Task
    from rich.text import Text

LINE_SECONDS = 30.0  # between two lines where there is no terminal

Listener = Callable[[str, str], None]  # takes the kind, "message" or "warning", and the text
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


def speaks() -> bool:
    """Whether this process is the first of its launch, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str) -> None:
    """One line of information."""
    show(message)
    _tell("message", message)


def warn(message: str) -> None:
    """One line the user should not miss; work goes on."""
    show(f"warning: {message}")
    _tell("warning", message)


def show(line: str) -> None:
    """A line on stderr, of which no listener is told."""
    if speaks():
        print(line, file=sys.stderr, flush=True)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """While the block runs, `listener` too is given what is said, each line with its kind."""
    before = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(before)


def _tell(kind: str, message: str) -> None:
    for listener in _listeners.get():
        listener(kind, message)


class Progress(Protocol):
    """A progress bar in use."""

    def advance(self, amount: float = 1, note: str = "", below: Sequence[str] = ()) -> None:
        """Move on by `amount` units; `note` replaces the text at the bar's end, `below` the lines under it.

        Lines are for a terminal alone.
        """


@contextmanager
def progress(title: str, total: float | None, unit: str, done: float = 0) -> Iterator[Progress]:
    """A progress bar with rate and time left on a terminal, a line now and then elsewhere.

    `total` is None where the end is not known. `done` units were finished by an earlier run.
    """
    if speaks() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(title, total, unit, done) as bar:
            yield bar
    else:
        lines = _Lines(title, total, unit, done)
        yield lines
        lines.end()


def duration(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> duration(4.2), duration(200), duration(7_384)
    ('4 s', '3 min 20 s', '2 h 3 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def standing(done: float, total: float | None, unit: str, rate: float | None) -> str:
    """How far the work is, how fast it goes (units a second) and when it will end. Bytes, "B", are given in MB.

    >>> standing(1_200, 4_000, "steps", 14.0)
    '1,200 of 4,000 steps, 30 %, 14 steps/s, 3 min 20 s left'
    >>> standing(1_200, None, "documents", None)
    '1,200 documents'
    >>> standing(24_600_000, 100_000_000, "B", 12_345_678.0)
    '24.6 of 100.0 MB, 25 %, 12.3 MB/s, 6 s left'
    """
    one, shown, digits = (1e6, "MB", 1) if unit == "B" else (1, unit, 0)
    amount = f"{done / one:,.{digits}f}"
    parts = [f"{amount} {shown}" if total is None else f"{amount} of {total / one:,.{digits}f} {shown}"]
    if total:
        parts.append(f"{100 * min(done / total, 1):.0f} %")
    if rate:
        parts.append(f"{_number(rate / one)} {shown}/s")
    if rate and total and done < total:
        parts.append(f"{duration((total - done) / rate)} left")
    return ", ".join(parts)


def _number(value: float) -> str:
    """Three figures or more.

    >>> _number(0.0426), _number(1.5), _number(31.4), _number(12_345.6)
    ('0.0426', '1.5', '31.4', '12,346')
    """
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


class _Lines:
    """Progress as plain lines, for files and pipes."""

    def __init__(self, title: str, total: float | None, unit: str, done: float) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.done_before = self.done_at_line = done
        self.began = self.line_at = monotonic()
        self.note = ""

    def advance(self, amount: float = 1, note: str = "", below: Sequence[str] = ()) -> None:
        self.done += amount
        self.note = note
        now = monotonic()
        if now - self.line_at >= LINE_SECONDS:
            rate = (self.done - self.done_at_line) / (now - self.line_at)
            self._say(standing(self.done, self.total, self.unit, rate))
            self.line_at, self.done_at_line = now, self.done

    def end(self) -> None:
        seconds = max(0.0, monotonic() - self.began)
        rate = (self.done - self.done_before) / seconds if seconds > 0 else None
        self._say(f"{standing(self.done, self.total, self.unit, rate)}, took {duration(seconds)}")

    def _say(self, text: str) -> None:
        show(f"{self.title}: {text}{', ' + self.note if self.note else ''}")  # passing, so no listener is told


@contextmanager
def _bar(title: str, total: float | None, unit: str, done: float) -> Iterator[Progress]:
    """Progress as a bar; what is said meanwhile scrolls above it."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as RichProgress
    from rich.table import Column
    from rich.text import Text

    class Standing(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            rate = task.finished_speed or task.speed
            text = standing(task.completed, task.total, unit, rate)
            return Text(f"{text}, {task.fields['note']}" if task.fields["note"] else text)

    lines: list[Text] = []

    class WithLines(RichProgress):
        def get_renderables(self) -> "Iterable[RenderableType]":
            yield self.make_tasks_table(self.tasks)
            yield from lines

    console = Console(file=sys.stderr)
    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    width = 24 if console.width >= 140 else 10
    with WithLines(name, BarColumn(width), Standing(), console=console, refresh_per_second=4) as bar:
        task = bar.add_task(title, total=total, note="")
        bar.update(task, completed=done)

        class Advance:
            def advance(self, amount: float = 1, note: str = "", below: Sequence[str] = ()) -> None:
                lines[:] = [Text(line, no_wrap=True, overflow="ellipsis") for line in below]
                bar.update(task, advance=amount, note=note)

        yield Advance()
