"""Samples of code tasks, judged: every one is in a journal as soon as it is there, so that a kill loses little.

A sample is a function of the model, its task and its number alone, and a verdict of the sample; so a folder that was
killed at any moment ends with the same `results.jsonl`, to the byte, as one that was not.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tezgah import console
from tezgah.errors import InputError
from tezgah.evaluation.journal import Journal
from tezgah.evaluation.task_results import (
    Judged,
    Result,
    Sampled,
    Task,
    TaskSettings,
    check_settings,
    parses,
    stable,
)
from tezgah.files import write_bytes, write_json
from tezgah.seeds import named_seed

ROWS_AT_ONCE = 64  # samples between two writes, at least one task's

Complete = Callable[[Sequence[str], int, Sequence[int]], Iterable[list[str]]]
"""Takes prompts, how many samples of each, and each prompt's seed; gives each prompt's samples as written."""

FIRST_CALL = """

class _Called(BaseException):
    pass


def check(candidate, _check=check):
    def once(*arguments, **named):
        candidate(*arguments, **named)
        raise _Called

    try:
        _check(once)
    except _Called:
        pass
"""


class Verdict(Protocol):
    """What a judge says of a sample."""

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""

    @property
    def reason(self) -> str:
        """Why not, in one line."""


class Judge(Protocol):
    """Runs completions against their tasks' tests: `sandbox/`."""

    isolation: str

    def judge(self, samples: Iterable[tuple[Any, str]]) -> Iterator[Verdict]:
        """A verdict for each task and completion, in the order given."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `timings.jsonl`: some samples that were made and judged together."""

    samples: int
    verdicts: int
    generation_seconds: float
    judging_seconds: float


def run_tasks(
    tasks: Sequence[Task],
    told: TaskSettings,
    complete: Complete,
    cut: Callable[[str], str],
    judge: Judge,
    folder: Path,
) -> list[Result]:
    """Sample and judge what `folder` lacks, and write its `results.jsonl`; `cut` takes a sample to its completion.

    Raises InputError for a folder that holds results of another model, other tasks or settings.
    """
    _take(folder, told)
    with Journal[Any](folder / "journal.jsonl", Sampled | Judged) as journal:
        samples = {(row.task_id, row.sample): row for row in journal.rows if isinstance(row, Sampled)}
        verdicts = {(row.task_id, row.sample): row for row in journal.rows if isinstance(row, Judged)}
        total = len(tasks) * told.sampling.n
        bar = console.progress("tasks", total, "samples", len(verdicts))
        with bar as progress, Journal[Timing](folder / "timings.jsonl", Timing) as timings:
            for part in _parts(tasks, told.sampling.n):
                asked = [(task, sample) for task in part for sample in range(told.sampling.n)]
                began = time.perf_counter()
                if new := _sampled(part, told, complete, cut, samples):
                    journal.add(new)
                    samples |= {(row.task_id, row.sample): row for row in new}
                between = time.perf_counter()
                open_ones = [(task, samples[key]) for task, k in asked if (key := (task.task_id, k)) not in verdicts]
                if judged := _judged(open_ones, judge):
                    journal.add(judged)
                    verdicts |= {(row.task_id, row.sample): row for row in judged}
                if new or judged:
                    seconds = between - began, time.perf_counter() - between
                    timings.add([_timing(new, judged, *seconds)])
                    progress.advance(len(judged), f"{sum(row.passed for row in verdicts.values()):,} passed")
    results = [
        _result(task, samples[task.task_id, sample], verdicts[task.task_id, sample])
        for task in tasks
        for sample in range(told.sampling.n)
    ]
    write_bytes(folder / "results.jsonl", b"".join(msgspec.json.encode(row) + b"\n" for row in results))
    return results


def _take(folder: Path, told: TaskSettings) -> None:
    """Begin in an empty folder, or go on in one of the same settings."""
    path = folder / "settings.json"
    if not path.exists():
        if (folder / "journal.jsonl").exists():
            raise InputError(f"{folder}: has a journal and no settings.json beside it. Name another folder.")
        write_json(path, msgspec.to_builtins(told))
        return
    held = check_settings(path, told)
    if held.versions != told.versions:
        names = [name for name, version in told.versions.items() if held.versions.get(name) != version]
        console.warn(f"{folder}: began with other versions ({', '.join(names)}); what is new may differ in its bits.")


def _parts(tasks: Sequence[Task], n: int) -> Iterator[Sequence[Task]]:
    """Tasks that are sampled together."""
    size = max(1, ROWS_AT_ONCE // n)
    return (tasks[start : start + size] for start in range(0, len(tasks), size))


def _sampled(
    tasks: Sequence[Task],
    told: TaskSettings,
    complete: Complete,
    cut: Callable[[str], str],
    known: dict[tuple[str, int], Sampled],
) -> list[Sampled]:
    """The samples of some tasks that are not known; all of a task are drawn anew where one is missing."""
    n = told.sampling.n
    wanting = [task for task in tasks if any((task.task_id, sample) not in known for sample in range(n))]
    if not wanting:
        return []
    seeds = [named_seed(told.sampling.seed, f"task {task.task_id}") for task in wanting]
    texts = complete([task.prompt for task in wanting], n, seeds)
    return [
        Sampled(task_id=task.task_id, sample=sample, raw=raw, completion=cut(raw))
        for task, drawn in zip(wanting, texts, strict=True)
        for sample, raw in enumerate(drawn)
        if (task.task_id, sample) not in known
    ]


def _judged(open_ones: Sequence[tuple[Task, Sampled]], judge: Judge) -> list[Judged]:
    """Verdicts; of a sample that failed its tests but parses also whether the first call raises."""
    verdicts = list(judge.judge((task, row.completion) for task, row in open_ones))
    runs: list[bool | None] = [verdict.passed for verdict in verdicts]
    again = []
    for place, (task, row) in enumerate(open_ones):
        if "def check(" not in task.test:
            runs[place] = None
        elif not runs[place] and parses(task.prompt + row.completion):
            again.append(place)
    calls = judge.judge((_first_call(open_ones[place][0]), open_ones[place][1].completion) for place in again)
    for place, verdict in zip(again, calls, strict=True):
        runs[place] = verdict.passed
    return [
        Judged(
            task_id=task.task_id,
            sample=row.sample,
            passed=verdict.passed,
            reason=stable(verdict.reason),
            runs=each,
        )
        for (task, row), verdict, each in zip(open_ones, verdicts, runs, strict=True)
    ]


def _first_call(task: Any) -> Any:
    """The same task, passed when the first call of its function comes back."""
    return dataclasses.replace(task, test=task.test + FIRST_CALL)


def _result(task: Task, sampled: Sampled, judged: Judged) -> Result:
    return Result(
        task_id=task.task_id,
        sample=sampled.sample,
        raw=sampled.raw,
        completion=sampled.completion,
        parses=parses(task.prompt + sampled.completion),
        runs=judged.runs,
        passed=judged.passed,
        reason=judged.reason,
    )


def _timing(new: list[Sampled], judged: list[Judged], generation_seconds: float, judging_seconds: float) -> Timing:
    return Timing(
        samples=len(new),
        verdicts=len(judged),
        generation_seconds=generation_seconds,
        judging_seconds=judging_seconds,
    )
