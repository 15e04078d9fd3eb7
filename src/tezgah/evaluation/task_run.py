"""Samples of code tasks, judged: every one is in a journal as soon as it is there, so that a kill loses little.

A sample is a function of the model, its task and its number, but for the rounding of what is decoded beside it, and a
verdict is one of the sample. Tasks are sampled in parts, the same in every run and always whole; so a folder that was
killed at any moment ends with the same `results.jsonl`, to the byte, as one that was not.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tezgah import console
from tezgah.errors import InputError
from tezgah.evaluation.journal import Journal
from tezgah.evaluation.task_results import (
    Called,
    Judged,
    Result,
    Sampled,
    TaskSettings,
    check_settings,
    parses,
    stable,
)
from tezgah.evaluation.tasks import Task
from tezgah.files import write_bytes, write_json
from tezgah.seeds import named_seed

if TYPE_CHECKING:
    from tezgah.evaluation.sandbox import Verdict

# Samples of a part, which are made before they are judged; at least one task's. Fewer would leave rows of a batch idle
# while the longest end, more would lose more at a stop.
PART_SAMPLES = 128

Complete = Callable[[Sequence[Task], int, Sequence[int]], Iterable[list[str]]]
"""Takes tasks, how many samples of each, and each task's seed; gives each task's samples as written."""

Judge = Callable[[Iterable[tuple[Task, str]]], "Iterator[Verdict]"]
"""Runs completions against their tasks' tests; gives the verdicts in the order given."""

FIRST_CALL = """

class _Called(BaseException):
    pass


def check(candidate, _check=check):
    def once(*arguments, **named):
        candidate(*arguments, **named)
        raise _Called

    globals()["{name}"] = once  # for a test that calls the function by its name, as MBPP's do
    try:
        _check(once)
    except _Called:
        pass
"""


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
    cut: Callable[[Task, str], str],
    judge: Judge,
    folder: Path,
) -> list[Result]:
    """Sample and judge what `folder` lacks, and write its `results.jsonl`; `cut` gives a sample's completion.

    Raises InputError for a folder that holds results of another model, other tasks or settings.
    """
    _take(folder, told)
    n = told.sampling.n
    journal = Journal[Any](folder / "journal.jsonl", Sampled | Judged | Called)
    with journal, Journal[Timing](folder / "timings.jsonl", Timing) as timings:
        known = _Known(journal)
        with console.progress("tasks", len(tasks) * n, "samples", len(known.verdicts)) as progress:
            for part in _parts(tasks, n):
                began = time.perf_counter()
                samples = 0
                for new in _sample(part, told, complete, cut, known):
                    samples += new
                    progress.advance(0, f"{len(known.samples):,} written, {known.passed:,} passed")
                between = time.perf_counter()
                verdicts = 0
                for _ in _judge([(task, sample) for task in part for sample in range(n)], judge, known):
                    verdicts += 1
                    progress.advance(1, f"{len(known.samples):,} written, {known.passed:,} passed")
                if samples or verdicts:
                    timings.add([_timing(samples, verdicts, began, between)])
    results = [known.result(task, sample) for task in tasks for sample in range(n)]
    write_bytes(folder / "results.jsonl", b"".join(msgspec.json.encode(row) + b"\n" for row in results))
    return results


def _timing(samples: int, verdicts: int, began: float, between: float) -> Timing:
    """Of what began then, and has been judged since `between`."""
    return Timing(
        samples=samples,
        verdicts=verdicts,
        generation_seconds=between - began,
        judging_seconds=time.perf_counter() - between,
    )


class _Known:
    """What the journal holds, by task and sample; what is added is on the disk when `add` returns."""

    def __init__(self, journal: Journal[Any]) -> None:
        self.samples: dict[tuple[str, int], Sampled] = {}
        self.verdicts: dict[tuple[str, int], Judged] = {}
        self.calls: dict[tuple[str, int], Called] = {}
        self.passed = 0
        self._journal = journal
        for row in journal.rows:
            self._take(row)

    def add(self, rows: Sequence[Sampled | Judged | Called]) -> None:
        """Write rows that were not there."""
        self._journal.add(list(rows))
        for row in rows:
            self._take(row)

    def wants_call(self, task: Task, sample: int) -> bool:
        """Whether its first call must tell if a judged sample runs: what passed does, what is no code does not."""
        key = task.task_id, sample
        is_open = key not in self.calls and not self.verdicts[key].passed
        return is_open and parses(task.prompt, self.samples[key].completion)

    def result(self, task: Task, sample: int) -> Result:
        """All that is known of a sample, once it was judged."""
        key = task.task_id, sample
        sampled, judged = self.samples[key], self.verdicts[key]
        return Result(
            task_id=task.task_id,
            sample=sample,
            raw=sampled.raw,
            completion=sampled.completion,
            parses=parses(task.prompt, sampled.completion),
            runs=judged.passed or (key in self.calls and self.calls[key].runs),
            passed=judged.passed,
            reason=judged.reason,
        )

    def _take(self, row: Sampled | Judged | Called) -> None:
        key = row.task_id, row.sample
        if isinstance(row, Sampled):
            self.samples[key] = row
        elif isinstance(row, Called):
            self.calls[key] = row
        else:
            self.verdicts[key] = row
            self.passed += row.passed


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
    """Tasks that are sampled, and then judged, together."""
    size = max(1, PART_SAMPLES // n)
    return (tasks[start : start + size] for start in range(0, len(tasks), size))


def _sample(
    tasks: Sequence[Task], told: TaskSettings, complete: Complete, cut: Callable[[Task, str], str], known: _Known
) -> Iterator[int]:
    """Draw the samples of a part, all anew where one is not known; how many of each task's were new.

    Sums are rounded by what is decoded together: without the samples that are known, others could come out otherwise.
    """
    n = told.sampling.n
    if all((task.task_id, sample) in known.samples for task in tasks for sample in range(n)):
        return
    seeds = [named_seed(told.sampling.seed, f"task {task.task_id}") for task in tasks]
    for task, drawn in zip(tasks, complete(tasks, n, seeds), strict=True):
        rows = [
            Sampled(task_id=task.task_id, sample=sample, raw=raw, completion=cut(task, raw))
            for sample, raw in enumerate(drawn)
        ]
        new = [row for row in rows if (row.task_id, row.sample) not in known.samples]
        if new:
            known.add(new)
        yield len(new)


def _judge(wanted: Sequence[tuple[Task, int]], judge: Judge, known: _Known) -> Iterator[None]:
    """Judge what is not judged, one after another; then of those that failed whether their first call raises."""
    waiting = [(task, sample) for task, sample in wanted if (task.task_id, sample) not in known.verdicts]
    for task, sample, verdict in _verdicts(waiting, judge, known):
        known.add([Judged(task_id=task.task_id, sample=sample, passed=verdict.passed, reason=stable(verdict.reason))])
        yield
    calls = [(_first_call(task), sample) for task, sample in wanted if known.wants_call(task, sample)]
    for task, sample, verdict in _verdicts(calls, judge, known):
        known.add([Called(task_id=task.task_id, sample=sample, runs=verdict.passed)])


def _verdicts(wanted: Sequence[tuple[Task, int]], judge: Judge, known: _Known) -> "Iterator[tuple[Task, int, Verdict]]":
    """Each task and sample with its verdict, as it comes."""
    verdicts = judge((task, known.samples[task.task_id, sample].completion) for task, sample in wanted)
    for (task, sample), verdict in zip(wanted, verdicts, strict=True):
        yield task, sample, verdict


def _first_call(task: Task) -> Task:
    """The same task, passed when the first call of its function comes back."""
    return replace(task, test=task.test + FIRST_CALL.format(name=task.entry_point))
