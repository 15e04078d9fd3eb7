"""The verbs of the command line: how each is called, and what it answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.curves_verb import CURVES
from tezgah.errors import InputError
from tezgah.fields import Field, fields_of, parse
from tezgah.finetune_verbs import FINETUNE_VERBS
from tezgah.flags import Usage, flag_name
from tezgah.hub_verbs import HUB_VERBS
from tezgah.import_verbs import IMPORT_VERBS
from tezgah.inspect_verb import INSPECT
from tezgah.masked_verbs import MASKED_VERBS
from tezgah.score_verb import SCORE
from tezgah.settings import NaturalFloat, NaturalInt, PositiveInt, Share
from tezgah.stages import Stage
from tezgah.sweep_verb import SWEEP
from tezgah.tokenizer_verbs import TOKENIZER_VERBS

if TYPE_CHECKING:
    from tezgah.evaluation.bits_per_byte import Documents
    from tezgah.pipeline import RunResult
    from tezgah.recipe import Recipe
    from tezgah.tokenizer.tokenizer import Tokenizer

MODEL = "MODEL is a run folder, a checkpoint folder, or a Hugging Face folder of a known family."
SEPARATOR = "=" * 80  # between candidates


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


class GenerateFlags(Plain, frozen=True):
    """Flags of `generate`."""

    n: Annotated[PositiveInt, Meta(description="candidates per prompt")] = 1
    temperature: Annotated[NaturalFloat, Meta(description="0 always takes the likeliest token")] = 0.0
    top_k: Annotated[NaturalInt, Meta(description="sample from the k likeliest tokens; 0 is off")] = 0
    top_p: Annotated[Share, Meta(description="sample from the likeliest tokens that together have this share")] = 1.0
    seed: Annotated[NaturalInt, Meta(description="with it the same candidates come again")] = 1
    max_new_tokens: Annotated[PositiveInt, Meta(description="longest completion, the prompt not counted")] = 50
    max_length: Annotated[
        PositiveInt | None, Meta(description="longest text, prompt and completion, in tokens; replaces max-new-tokens")
    ] = None
    until: Annotated[
        Literal["block"] | None,
        Meta(description="block: end before the first later line that starts with class, def, #, @, print or if"),
    ] = None


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


def generate(operands: list[str], flags: GenerateFlags) -> Answer:
    """Complete prompts."""
    from tezgah.generation.generate import generate as candidates_of

    path, *prompts = operands
    model, tokenizer = _opened(path)
    given = msgspec.structs.asdict(flags)
    del given["json"]
    candidates = [
        {"prompt": prompt, "text": text}
        for prompt in prompts
        for text in candidates_of(model, tokenizer, prompt, **given)
    ]
    text = f"\n{SEPARATOR}\n".join(candidate["text"] for candidate in candidates)
    return Answer(text, {"model": path, **given, "candidates": candidates})


def evaluate(operands: list[str], flags: Plain) -> Answer:
    """Measure a model on files, or on the held-out text of its run."""
    from tezgah.evaluation.bits_per_byte import evaluate_documents
    from tezgah.generation.kinds import fills_masks
    from tezgah.stations import evaluation_place

    path, *files = operands
    recipe = _recipe_of(path)
    model, tokenizer = _opened(path, or_fills=True)
    autocast, batch_size = evaluation_place(recipe).autocast, recipe.evaluate.batch_size
    if fills_masks(model):
        value = {"model": path, **_filled(path, files, model, tokenizer, autocast)}
        return Answer(lines(value), value)
    stream = _documents(path, files, tokenizer)
    measured = evaluate_documents(model, stream, batch_size, autocast=autocast, show_progress=True)
    value = {"model": path, **msgspec.to_builtins(measured)}
    return Answer(lines(value), value)


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


def _opened(path: str, or_fills: bool = False) -> "tuple[Any, Tokenizer]":
    """A MODEL that goes on from texts, `or_fills` masks, on the best device here, and its tokenizer."""
    from tezgah import api
    from tezgah.generation.kinds import fills_masks
    from tezgah.stations import evaluation_place

    model, tokenizer = api.load(path)
    if not (or_fills and fills_masks(model)):
        api.check_causal(model, path)
    if tokenizer is None:
        raise InputError(f"{path}: has no tokenizer beside its model. Add a tokenizer.json.")
    return model.to(evaluation_place(_recipe_of(path)).device), tokenizer


def _filled(path: str, files: list[str], model: Any, tokenizer: "Tokenizer", autocast: Any) -> dict[str, Any]:
    """What a model makes of the fixed masks of files, or of the held-out text of its run."""
    from tezgah.api import read_texts
    from tezgah.evaluation.masked import evaluate_masked_texts
    from tezgah.masked_stations import check_mask, evaluate_held_out

    check_mask(tokenizer, Path(path))
    recipe = _recipe_of(path)
    if files:
        batch_size = recipe.evaluate.batch_size
        measured = evaluate_masked_texts(model, tokenizer, read_texts(files), batch_size, autocast, True)
    else:
        measured, _ = evaluate_held_out(model, tokenizer, recipe, _home(path), autocast)
    found: dict[str, Any] = msgspec.to_builtins(measured)
    return found


def _documents(path: str, files: list[str], tokenizer: "Tokenizer") -> "Documents":
    """The documents of files, or, where none are named, the held-out ones of the run that a MODEL belongs to."""
    if files:
        from tezgah.api import read_texts
        from tezgah.evaluation.texts import TextDocuments

        return TextDocuments(tokenizer, list(read_texts(files)))
    from tezgah.tokens.shards import TokenStream

    stream = TokenStream(_home(path) / "tokens", "validation")
    stream.check_tokenizer(tokenizer.hash)
    return stream


def _home(path: str) -> Path:
    """The run that a MODEL belongs to, which it must."""
    home = _run_of(path)
    if home is None:
        raise InputError(f"{path}: belongs to no run, so it has no held-out text. Name files to evaluate it on.")
    return home


def _run_of(path: str) -> Path | None:
    """The run that a run folder, its `model/` or one of its checkpoints belongs to."""
    here = Path(path).resolve()
    folders = (here, here.parent, here.parent.parent)
    return next((folder for folder in folders if (folder / "tokens" / "index.json").is_file()), None)


def _recipe_of(path: str) -> "Recipe":
    """The recipe of a MODEL's run, the defaults where it belongs to none."""
    from tezgah.recipe import Recipe, load_recipe

    home = _run_of(path)
    return load_recipe(home / "recipe.toml") if home and (home / "recipe.toml").is_file() else Recipe()


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
    "generate": Verb(
        "Complete each PROMPT; candidates are printed with their prompt, a line of 80 `=` between two.",
        ("MODEL", "PROMPT…"),
        GenerateFlags,
        generate,
        f"{MODEL} After `--` a PROMPT may begin with a dash.",
    ),
    **MASKED_VERBS,
    "evaluate": Verb(
        "Measure a model: loss, perplexity and bits per byte of whole documents; or how well it fills masks.",
        ("MODEL", "[FILE…]"),
        Plain,
        evaluate,
        f"{MODEL} Without a FILE the held-out documents of its run are read. Of a masked language model it is the "
        "loss per masked token, the share filled right and the pseudo-perplexity per word; the masks never change.",
    ),
    "score": SCORE,
    "report": Verb("Draw report.html and curves.png of a run from its files.", ("RUN",), Plain, report),
    "curves": CURVES,
    **FINETUNE_VERBS,
    **IMPORT_VERBS,
    **HUB_VERBS,
}
