"""The verbs of the command line: how each is called, and what it answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb
from tezgah.compare_verb import COMPARE
from tezgah.curves_verb import CURVES
from tezgah.evaluate_verb import EVALUATE
from tezgah.fields import Field, fields_of, parse
from tezgah.finetune_verbs import FINETUNE_VERBS
from tezgah.flags import Usage, flag_name
from tezgah.generate_verbs import GENERATE_VERBS
from tezgah.hub_verbs import HUB_VERBS
from tezgah.import_verbs import IMPORT_VERBS
from tezgah.inspect_verb import INSPECT
from tezgah.masked_verbs import MASKED_VERBS
from tezgah.score_verb import SCORE
from tezgah.stages import Stage
from tezgah.sweep_verb import SWEEP
from tezgah.tokenizer_verbs import TOKENIZER_VERBS

if TYPE_CHECKING:
    from tezgah.pipeline import RunResult


class RunFlags(Plain, frozen=True):
    """Flags of `run` beside the recipe's fields."""

    run: Annotated[str, Meta(description="run folder; default runs/<recipe file name>")] = ""
    only: Annotated[Stage | None, Meta(description="do this stage alone; those before it must be up to date")] = None
    restart: Annotated[
        bool,
        Meta(description="begin training anew (the earlier one moves to previous/), or make the stage of --only anew"),
    ] = False
    branch: Annotated[
        str, Meta(description="begin at a checkpoint of another run, before its decay, and go on to this one's end")
    ] = ""
    profile: Annotated[
        bool, Meta(description="profile a few steps of the training: a trace, and a table of where their time goes")
    ] = False


def usage(name: str) -> Usage:
    """How the verb `name` is called, the recipe's fields among its flags where it takes them."""
    verb = VERBS[name]
    flags: tuple[Field, ...] = fields_of(verb.flags)
    if verb.takes_recipe_fields:
        from tezgah.recipe import recipe_fields

        flags += tuple(recipe_fields().values())
    return Usage(name, verb.summary, verb.operands, flags, verb.notes)


def call(name: str, operands: list[str], given: dict[str, str]) -> Answer:
    """Do a verb: read its own flags' texts, and hand it the recipe's as they are."""
    verb = VERBS[name]
    own = {field.name: field for field in fields_of(verb.flags)}
    values = {key: parse(own[key], text, flag_name(own[key])) for key, text in given.items() if key in own}
    flags = verb.flags(**values)
    if verb.takes_recipe_fields:
        return verb.answer(operands, flags, {key: text for key, text in given.items() if key not in own})
    return verb.answer(operands, flags)


def new(operands: list[str], flags: Plain) -> Answer:
    """Write a starter recipe."""
    from tezgah.starter import write_starter

    path = write_starter(Path(operands[0]))
    return Answer(f"{path}\nNext: tezgah run {path}", {"recipe": str(path)})


def run(operands: list[str], flags: RunFlags, overrides: dict[str, str]) -> Answer:
    """Run a recipe."""
    from tezgah import api

    only, restart, branch, profile = flags.only, flags.restart, flags.branch or None, flags.profile
    result = api.run(operands[0], flags.run or None, only, restart, overrides, branch, profile)
    return _told(result, result.folder / "profile" if flags.profile else None)


def report(operands: list[str], flags: Plain) -> Answer:
    """Draw the report of a run."""
    from tezgah.changes import has_outdated_evaluation
    from tezgah.training.report import write_report

    run = Path(operands[0])
    write_report(run, has_outdated_evaluation(run))
    return Answer(f"{run / 'report.html'}\n{run / 'curves.png'}", {"report": str(run / "report.html")})


def _told(result: "RunResult", profile: Path | None) -> Answer:
    """What a run came to: where a step's time goes, its figure beside those of others, and what to do next."""
    evaluation = result.evaluation
    value = {"run": str(result.folder), "made": result.made, "evaluation": evaluation}
    lines = []
    if profile and profile.is_dir():  # only the first process writes one
        lines += [(profile / "step.md").read_text(encoding="utf-8")]
        value["profile"] = str(profile)
    if evaluation:
        name = "masked_accuracy" if "masked_accuracy" in evaluation else "bits_per_byte"
        marks = {"this model": evaluation[name], **evaluation["baselines"]}
        width = max(12, *(len(each) + 2 for each in marks))
        lines += [f"held-out {name.replace('_', ' ')}"]
        lines += [f"  {each:<{width}}{number:.4f}" for each, number in marks.items()]
    if (result.folder / "report.html").is_file():
        lines.append(f"report  {result.folder / 'report.html'}")
    if (result.folder / "model").is_dir():
        lines.append(f"model   {result.folder / 'model'}")
    return Answer("\n".join(lines or [f"run     {result.folder}"]), value)


VERBS: dict[str, Verb] = {
    "new": Verb("Write a starter recipe, commented, into DIR.", ("DIR",), Plain, new),
    "run": Verb(
        "Run a recipe: corpus, tokenizer, tokens, train, evaluate, report. What is up to date is skipped, and a "
        "training that was stopped goes on from its last checkpoint.",
        ("RECIPE",),
        RunFlags,
        run,
        'Any field of the recipe can be set here. A LIST is a,b or \'["a", "b"]\'; `none` unsets a field that may be '
        "unset. A budget (steps, tokens, epochs, minutes, flops) given here replaces the recipe's. With --model.size "
        "auto the model's size, its batch and its rates follow from minutes, tokens or flops.",
        takes_recipe_fields=True,
    ),
    "sweep": SWEEP,
    **TOKENIZER_VERBS,
    "inspect": INSPECT,
    **GENERATE_VERBS,
    **MASKED_VERBS,
    "evaluate": EVALUATE,
    "compare": COMPARE,
    "score": SCORE,
    "report": Verb("Draw report.html and curves.png of a run from its files.", ("RUN",), Plain, report),
    "curves": CURVES,
    **FINETUNE_VERBS,
    **IMPORT_VERBS,
    **HUB_VERBS,
}
