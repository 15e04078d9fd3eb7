"""Two models side by side, from Python and for `tezgah compare`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from tezgah.answers import short_names
from tezgah.errors import InputError
from tezgah.settings import NaturalFloat, PositiveInt
from tezgah.task_measure import Asked, TaskFlags, asked_of

if TYPE_CHECKING:
    from tezgah.compare_page import TaskComparison
    from tezgah.evaluation.prompts import Family
    from tezgah.evaluation.side_by_side import SideBySide

OF_THE_VERB = ("o", "json")  # flags that are no settings


class CompareFlags(TaskFlags, frozen=True):
    """Flags of `compare`."""

    prompts: Annotated[
        str, Meta(description='prompts, one a line, {a|b} in it a family of them; or JSON Lines with a "prompt"')
    ] = ""
    o: Annotated[str, Meta(description="page to write, .html; the results of tasks go to a folder beside it")] = (
        "compare.html"
    )
    n: Annotated[PositiveInt, Meta(description="completions a prompt, samples a task")] = 3
    temperature: Annotated[NaturalFloat, Meta(description="0 always takes the likeliest token")] = 0.4
    max_new_tokens: Annotated[PositiveInt, Meta(description="longest completion, the prompt not counted")] = 50


@dataclass(frozen=True)
class Comparison:
    """What two models wrote after the same prompts, and made of the same tasks; None where there were none.

    `models` has the names that they have on the page, and their paths; `drawn` says how completions were.
    """

    models: dict[str, str]
    texts: "SideBySide | None"
    tasks: "TaskComparison | None"
    drawn: dict[str, Any]
    page: Path


def compare(first: str | Path, second: str | Path, page: str | Path, **settings: Any) -> Comparison:
    """Set two MODELs side by side, as `tezgah compare` does, and write the page that shows them.

    `settings` are the flags of that verb: `prompts="prompts.txt"`, `tasks="HumanEval.jsonl.gz"`, `n=3`, `k=(1, 3)` …
    The results of tasks go to a folder beside the page, and go on from what is there. Raises InputError for settings
    that are not known, where there is nothing to compare the models on, and for a page that is no `.html`.
    """
    from tezgah.compare_page import compare_page
    from tezgah.fields import settings_from
    from tezgah.files import write_text
    from tezgah.starting import find_model

    given = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    if "k" in given:
        given["k"] = [str(k) for k in given["k"]]
    flags = settings_from(CompareFlags, given, "tezgah.compare", OF_THE_VERB)
    output = Path(page)
    if output.suffix.lower() != ".html":
        raise InputError(f"{output}: the comparison is a page. Name a file that ends in .html.")
    if not flags.prompts and not flags.tasks:
        raise InputError("there is nothing to compare the models on: give prompts, tasks, or both.")
    paths = [str(first), str(second)]
    names = short_names([Path(path) for path in paths])
    if names[0] == names[1]:
        names = [f"{name} ({place})" for name, place in zip(names, ("first", "second"), strict=True)]
    asked = asked_of(flags) if flags.tasks else None
    if asked:
        asked.read()  # what is wrong with the tasks, or a model's name, is told before texts are made
        for path in paths:
            find_model(Path(path))
    texts = _texts(paths, names, flags) if flags.prompts else None
    tasks = _tasks(paths, asked, output.with_suffix("")) if asked else None
    drawn = {name: getattr(flags, name) for name in ("n", "temperature", "top_p", "seed", "max_new_tokens")}
    write_text(output, compare_page(names, texts, tasks, drawn))
    return Comparison(dict(zip(names, paths, strict=True)), texts, tasks, drawn, output)


def _texts(paths: list[str], names: list[str], flags: CompareFlags) -> "SideBySide":
    """What both models write after the same prompts."""
    from tezgah.completing import Completer
    from tezgah.evaluation.continuations import score_continuations
    from tezgah.evaluation.side_by_side import compare_texts, write_texts
    from tezgah.opening import opened

    families = _families(Path(flags.prompts))
    models = [opened(path) for path in paths]
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


def _families(path: Path) -> "list[Family]":
    """The prompts of a file; those of JSON Lines, which `generate` reads too, as they stand."""
    from tezgah.evaluation.prompts import Family, read_prompts
    from tezgah.generation.prompts import JSON
    from tezgah.generation.prompts import read_prompts as read_rows

    if path.suffix not in JSON:
        return read_prompts(path)
    return [Family(each.text, ("",), (each.text,)) for each in read_rows(path)]


def _tasks(paths: list[str], asked: Asked, folder: Path) -> "TaskComparison":
    """What both models make of the same code tasks."""
    from tezgah.compare_page import compare_tasks
    from tezgah.task_measure import measure_tasks

    first = measure_tasks(paths[0], asked, folder / "first")
    second = measure_tasks(paths[1], asked, folder / "second")
    return compare_tasks(first, second)
