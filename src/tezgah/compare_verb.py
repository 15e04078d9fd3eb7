"""The verb that sets two models side by side: `tezgah compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Verb, lines, short_names
from tezgah.errors import InputError
from tezgah.opening import MODEL
from tezgah.settings import NaturalFloat, PositiveInt
from tezgah.task_measure import Asked, TaskFlags, asked_of

if TYPE_CHECKING:
    from tezgah.compare_page import TaskComparison
    from tezgah.evaluation.side_by_side import SideBySide


class CompareFlags(TaskFlags, frozen=True):
    """Flags of `compare`."""

    prompts: Annotated[
        str, Meta(description="file of prompts, one a line; {a|b} in a line makes a family of prompts")
    ] = ""
    o: Annotated[str, Meta(description="page to write, .html; the results of tasks go to a folder beside it")] = (
        "compare.html"
    )
    n: Annotated[PositiveInt, Meta(description="completions a prompt, samples a task")] = 3
    temperature: Annotated[NaturalFloat, Meta(description="0 always takes the likeliest token")] = 0.4
    max_new_tokens: Annotated[PositiveInt, Meta(description="longest completion, the prompt not counted")] = 50


def compare(operands: list[str], flags: CompareFlags) -> Answer:
    """Set two models side by side on one page."""
    from tezgah.compare_page import compare_page
    from tezgah.files import write_text

    output = Path(flags.o)
    if output.suffix.lower() != ".html":
        raise InputError(f"-o {output}: the comparison is a page. Name a file that ends in .html.")
    if not flags.prompts and not flags.tasks:
        raise InputError("`compare` needs --prompts, --tasks, or both: what to compare the models on.")
    names = short_names([Path(path) for path in operands])
    if operands[0] == operands[1]:
        names = [f"{name} ({place})" for name, place in zip(names, ("first", "second"), strict=True)]
    asked = asked_of(flags) if flags.tasks else None
    if asked:
        asked.read()  # what is wrong with the tasks is told before texts are made
    texts = _texts(operands, names, flags) if flags.prompts else None
    tasks = _tasks(operands, asked, output.with_suffix("")) if asked else None
    drawn = {name: getattr(flags, name) for name in ("n", "temperature", "top_p", "seed", "max_new_tokens")}
    write_text(output, compare_page(names, texts, tasks, drawn))
    value: dict[str, Any] = {"models": dict(zip(names, operands, strict=True)), **drawn}
    value |= {"texts": msgspec.to_builtins(texts), "tasks": msgspec.to_builtins(tasks, str_keys=True)}
    figures = {**_figures(texts, tasks), "page": str(output)}
    return Answer(lines(figures), {**value, "page": str(output)})


def _texts(operands: list[str], names: list[str], flags: CompareFlags) -> "SideBySide":
    """What both models write after the same prompts."""
    from functools import partial

    from tezgah.completing import Completer
    from tezgah.evaluation.continuations import score_continuations
    from tezgah.evaluation.prompts import read_prompts
    from tezgah.evaluation.side_by_side import compare_texts, write_texts
    from tezgah.opening import opened

    families = read_prompts(Path(flags.prompts))
    models = [opened(path) for path in operands]
    texts = [
        write_texts(
            Completer(model, tokenizer, flags.max_new_tokens, flags.temperature, flags.top_p),
            families,
            flags.n,
            flags.seed,
        )
        for model, tokenizer in models
    ]
    scores = [partial(score_continuations, model, tokenizer) for model, tokenizer in models]
    return compare_texts(names, families, texts, scores)


def _tasks(operands: list[str], asked: Asked, folder: Path) -> "TaskComparison":
    """What both models make of the same code tasks."""
    from tezgah.compare_page import compare_tasks
    from tezgah.task_measure import measure_tasks

    first = measure_tasks(operands[0], asked, folder / "first")
    second = measure_tasks(operands[1], asked, folder / "second")
    return compare_tasks(first, second)


def _figures(texts: "SideBySide | None", tasks: "TaskComparison | None") -> dict[str, str]:
    """What a reader wants to know first."""
    shown: dict[str, str] = {}
    if texts:
        shown["prompts"] = f"{sum(len(family.prompts) for family in texts.families):,}"
        for writer, row in zip(texts.models, texts.bits_per_byte, strict=True):
            for reader, bits in zip(texts.models, row, strict=True):
                shown[f"{writer} read by {reader}"] = f"{bits} bits per byte" if bits else "nothing written"
    if tasks:
        shown["pass@1, second − first"] = str(tasks.difference.difference)
        shown["p, sign flips"] = f"{tasks.difference.p_value:.4f}"
        shown["p, McNemar"] = f"{tasks.mcnemar.exact:.4f} exact, {tasks.mcnemar.mid_p:.4f} mid-p"
        shown["flipped tasks"] = f"{len(tasks.only_first):,} to {len(tasks.only_second):,}"
    return shown


COMPARE = Verb(
    "Set two models side by side on one page: what they write after the same prompts, which code tasks they solve.",
    ("MODEL", "MODEL"),
    CompareFlags,
    compare,
    f"{MODEL} Both have the same seeds. A line of --prompts in double quotes has the escapes of JSON.",
)
