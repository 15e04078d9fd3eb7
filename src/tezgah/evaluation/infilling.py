"""Filling in a line: of each task's canonical solution one line is left out, and the model writes it from both sides.

Single-line infilling (Fried et al. 2022, "InCoder"), as the HumanEval infilling benchmark has it (Bavarian et al. 2022,
"Efficient Training of Language Models to Fill in the Middle"): what is written is right where it is the line itself,
but for white space at its end. The benchmark asks for every line of a solution; here each task counts once, by a line
that is always the same.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from tezgah import console
from tezgah.evaluation.intervals import Interval, share_interval
from tezgah.evaluation.journal import Journal
from tezgah.evaluation.tasks import Task
from tezgah.seeds import named_seed

LINE = re.compile(r"[^\n]*\n|[^\n]+")
FIXED_SEED = 0  # never another: a task's gap is the same for every model

Fill = Callable[[str, str], str]
"""Takes what stands before and behind a gap; gives what a model writes there, greedily."""


class Gap(NamedTuple):
    """A line of a solution, its number from 0, and what stands around it, the prompt too."""

    number: int
    before: str
    line: str
    after: str


class Infilled(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `infill.jsonl`: a gap, and what a model wrote into it."""

    task_id: str
    line: int
    expected: str
    written: str
    matches: bool


def run_infilling(tasks: Sequence[Task], fill: Fill, folder: Path) -> list[Infilled]:
    """Fill the gaps that `folder` has no row of yet; a row for each task with a solution, in the order of the tasks.

    Every row is on the disk before the next gap is begun, so `infill.jsonl` is the same bytes however often it was
    killed; it is not written where no task has a solution.
    """
    gaps = [(task, gap) for task in tasks if (gap := gap_of(task)) is not None]
    if not gaps:
        return []
    with Journal[Infilled](folder / "infill.jsonl", Infilled) as journal:
        known = len(journal.rows)
        rows = list(journal.rows)
        with console.progress("infill", len(gaps), "lines", known) as progress:
            for row in _filled(gaps[known:], fill):
                journal.add([row])
                rows.append(row)
                progress.advance(1, f"{sum(each.matches for each in rows):,} right")
    return rows


def share_right(rows: Sequence[Infilled]) -> Interval | None:
    """The share of gaps that were filled in right, over tasks; None where there are none."""
    return share_interval([float(each.matches) for each in rows], "infill") if rows else None


def _filled(gaps: Sequence[tuple[Task, Gap]], fill: Fill) -> Iterator[Infilled]:
    for task, gap in gaps:
        written = fill(gap.before, gap.after)
        matches = written.rstrip() == gap.line.rstrip()
        yield Infilled(task_id=task.task_id, line=gap.number, expected=gap.line, written=written, matches=matches)


def gap_of(task: Task) -> Gap | None:
    r"""The line of a task's canonical solution that is left out; None where it has no line but blank ones.

    Which one follows from the task's name. The line keeps its end, which is not asked for.

    >>> gap_of(Task("t", "def f(x):\n", "", "f", "    y = x\n\n    return y\n"))
    Gap(number=2, before='def f(x):\n    y = x\n\n', line='    return y\n', after='')
    """
    lines = LINE.findall(task.canonical_solution or "")
    numbers = [number for number, line in enumerate(lines) if line.strip()]
    if not numbers:
        return None
    number = numbers[named_seed(FIXED_SEED, f"line of {task.task_id}") % len(numbers)]
    before, after = "".join(lines[:number]), "".join(lines[number + 1 :])
    return Gap(number, task.prompt + before, lines[number], after)
