"""A model on a file of code tasks: `tezgah evaluate --tasks` and `tezgah compare --tasks`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tezgah.answers import Plain
from tezgah.completing import Completer, completion_of, cut_rule, infiller, task_completer
from tezgah.errors import InputError
from tezgah.evaluation.settings import PassAtK
from tezgah.files import fingerprint, hash_file, write_json
from tezgah.opening import opened, recipe_of, run_of
from tezgah.settings import NaturalFloat, NaturalInt, PositiveInt, Share

if TYPE_CHECKING:
    from tezgah.evaluation.contamination import Contamination
    from tezgah.evaluation.infilling import Infilled
    from tezgah.evaluation.intervals import Interval
    from tezgah.evaluation.task_results import Result, TaskSummary
    from tezgah.evaluation.tasks import Task
    from tezgah.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: a file of tasks, how samples are drawn, and which pass@k are told."""

    tasks: Path
    n: int
    temperature: float
    top_p: float
    seed: int
    ks: tuple[int, ...]
    max_new_tokens: int
    accept_weak: bool

    def read(self) -> "list[Task]":
        """The tasks of the file. Raises InputError for what cannot be told of them, before anything is sampled."""
        from tezgah.evaluation.tasks import read_tasks

        if self.temperature == 0 and self.n > 1:
            raise InputError(f"--temperature 0 gives the same sample {self.n:,} times. Give -n 1, or a temperature.")
        if self.top_p == 0:
            raise InputError("--top-p 0 leaves no token to draw. Give a share above 0; 1 is off.")
        return read_tasks(self.tasks)


class TaskFlags(Plain, frozen=True):
    """Flags of a verb that asks a model for samples."""

    tasks: Annotated[
        str, Meta(description="file of code tasks, .jsonl or .jsonl.gz: sample, test in a sandbox, tell pass@k")
    ] = ""
    n: Annotated[PositiveInt, Meta(description="samples a task, completions a prompt")] = 20
    temperature: Annotated[NaturalFloat, Meta(description="0 always takes the likeliest token")] = 0.2
    top_p: Annotated[Share, Meta(description="sample from the likeliest tokens that together have this share")] = 0.95
    seed: Annotated[NaturalInt, Meta(description="with it the same samples come again")] = 1
    k: PassAtK = ()
    max_new_tokens: Annotated[PositiveInt, Meta(description="longest sample, the prompt not counted")] = 256
    accept_weak_isolation: Annotated[
        bool, Meta(description="run samples also where the system cannot confine them")
    ] = False


def asked_of(flags: TaskFlags) -> Asked:
    """What flags ask for. Raises InputError for a k that there are too few samples for."""
    from tezgah.evaluation.pass_at_k import ks_of

    return Asked(
        tasks=Path(flags.tasks),
        n=flags.n,
        temperature=flags.temperature,
        top_p=flags.top_p,
        seed=flags.seed,
        ks=ks_of(flags.k, flags.n),
        max_new_tokens=flags.max_new_tokens,
        accept_weak=flags.accept_weak_isolation,
    )


@dataclass(frozen=True)
class Measured:
    """What a model made of its tasks; `until` is the rule of the cut.

    `infilled` is empty of a model that does not fill in the middle, and where no task has a solution; `contamination`
    is None where the training corpus is not at hand.
    """

    summary: "TaskSummary"
    results: "list[Result]"
    infilled: "list[Infilled]"
    contamination: "Contamination | None"
    isolation: str
    until: str


def measure_tasks(path: str, asked: Asked, folder: Path) -> Measured:
    """Sample, judge and sum up, in `folder`; what is there already is not done again."""
    from tezgah.evaluation.harness import harness_results
    from tezgah.evaluation.infilling import run_infilling, share_right
    from tezgah.evaluation.sandbox import Sandbox
    from tezgah.evaluation.task_results import summarize
    from tezgah.evaluation.task_run import run_tasks
    from tezgah.lock import locked
    from tezgah.starting import find_model

    tasks = asked.read()
    find_model(Path(path))  # before a folder is made for nothing
    with locked(folder), Sandbox(accept_weak=asked.accept_weak) as sandbox:
        model, tokenizer = opened(path)
        told = _settings(path, asked, cut_rule(tasks), sandbox.isolation)
        draw = task_completer(Completer(model, tokenizer, asked.max_new_tokens, asked.temperature, asked.top_p))
        results = run_tasks(tasks, told, draw, completion_of, sandbox.judge, folder)
        fill = infiller(model, tokenizer, asked.max_new_tokens)
        infilled = run_infilling(tasks, fill, folder) if fill else []
        summary = summarize(results, asked.ks, _solution_bits(model, tokenizer, tasks), share_right(infilled))
        write_json(folder / "summary.json", msgspec.to_builtins(summary, str_keys=True))
        write_json(folder / "harness.json", harness_results(results, asked.ks, told))
        contamination = _contamination(path, tasks)
        if contamination:
            write_json(folder / "contamination.json", msgspec.to_builtins(contamination))
    return Measured(summary, results, infilled, contamination, sandbox.isolation, told.sampling.until)


def figures(measured: Measured) -> dict[str, str]:
    """The figures of some tasks, to read."""
    summary = measured.summary
    shown = {f"pass@{k}": str(each) for k, each in summary.pass_at_k.items()}
    shown["parses"] = str(summary.parses)
    shown["first call runs"] = str(summary.runs)
    if summary.solution_bits_per_byte:
        shown["solution bits per byte"] = str(summary.solution_bits_per_byte)
    if summary.infill_exact_match:
        shown["infilled lines right"] = str(summary.infill_exact_match)
    shown |= {"tasks": f"{summary.tasks:,}", "samples": f"{summary.samples:,}", "cut": measured.until}
    return {**shown, "isolation": measured.isolation, "contamination": contaminated(measured.contamination)}


def contaminated(found: "Contamination | None") -> str:
    """One line on what of the tasks is in the training corpus."""
    if found is None:
        return "not looked for: the model belongs to no run with a corpus"
    if not found.shared and not found.longest:
        return f"none of {found.tasks:,} tasks in {found.bytes:,} bytes of training text"
    worst = max(found.overlaps, key=lambda each: each.longest)
    longest = f"longest stretch {worst.longest:,} bytes ({worst.task_id})" if worst.longest else "no long stretch"
    return (
        f"{found.shared:,} of {found.tasks:,} tasks share a 13-gram with the training text, {found.half:,} half of "
        f"theirs; {longest}"
    )


def value_of(measured: Measured, folder: Path) -> dict[str, Any]:
    """The same for a program."""
    return {
        **msgspec.to_builtins(measured.summary, str_keys=True),
        "isolation": measured.isolation,
        "contamination": msgspec.to_builtins(measured.contamination),
        "results": str(folder / "results.jsonl"),
    }


def _settings(path: str, asked: Asked, until: str, isolation: str) -> Any:
    from tezgah.evaluation.task_results import Sampling, TaskSettings
    from tezgah.runlog import versions

    found = versions()
    return TaskSettings(
        model=path,
        model_hash=model_hash(path),
        tasks=asked.tasks.name,
        tasks_hash=hash_file(asked.tasks),
        sampling=Sampling(
            n=asked.n,
            temperature=asked.temperature,
            top_p=asked.top_p,
            seed=asked.seed,
            max_new_tokens=asked.max_new_tokens,
            until=until,
        ),
        isolation=isolation,
        versions={"python": found["python"], **found["packages"]},
    )


def model_hash(path: str) -> str:
    """A hash of the files that decide what a model writes."""
    from tezgah.starting import find_model

    folder = find_model(Path(path))
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
    files = [*(folder / name for name in names), *sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*.bin"))]
    return fingerprint({each.name: hash_file(each) for each in files if each.is_file()})


def _solution_bits(model: Any, tokenizer: "Tokenizer", tasks: "Sequence[Task]") -> "Interval | None":
    """Bits per byte of the canonical solutions, their prompts given; None where no task has one."""
    import math

    from tezgah.evaluation.continuations import score_continuations
    from tezgah.evaluation.intervals import ratio_interval

    pairs = [(task.prompt, task.canonical_solution) for task in tasks if task.canonical_solution]
    if not pairs:
        return None
    scores = score_continuations(model, tokenizer, pairs)
    return ratio_interval(
        [each.nats / math.log(2) for each in scores], [each.bytes for each in scores], "solution bits per byte"
    )


def _contamination(path: str, tasks: "Sequence[Task]") -> "Contamination | None":
    """What of the tasks is in the training text of the model's run."""
    home = run_of(path)
    if home is None or not (home / "corpus" / "index.json").is_file():
        return None
    from tezgah.corpus.reading import read_batches
    from tezgah.evaluation.contamination import check_contamination
    from tezgah.stations import training_split

    texts = {task.task_id: task.prompt + (task.canonical_solution or "") for task in tasks}
    split = training_split(recipe_of(path))
    return check_contamination(texts, read_batches(home / "corpus", split, ("text", "path")))
