"""The stages of a run, and when one is up to date: a fingerprint of its settings, format and inputs.

A fingerprint follows from the recipe and the input files alone, never from what a stage has made,
so the whole plan of a run is known before any work begins.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from tezgah.corpus.reading import FORMAT as CORPUS_FORMAT
from tezgah.errors import InputError
from tezgah.files import check_format, fingerprint, hash_file, write_json
from tezgah.recipe import Recipe, by_key, recipe_tables
from tezgah.recipe_checks import BUDGETS, SHARES
from tezgah.starting import find_model, start_inputs
from tezgah.tokens.index import FORMAT as TOKENS_FORMAT

Stage = Literal["corpus", "tokenizer", "tokens", "train", "evaluate", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)

# Raised when what a stage writes changes, so that a run folder made before is made anew.
FORMATS = {"corpus": CORPUS_FORMAT, "tokenizer": 1, "tokens": TOKENS_FORMAT, "train": 1, "evaluate": 1}

# What a training is told that changes no weight: an unfinished one goes on, a finished one stays.
# Threads are here because a resume on another machine must be possible; it says that bits may differ.
DISPLAY = frozenset(
    {
        "train.threads",
        "train.on_divergence",  # decides what follows a step that diverges; until then all trainings are the same
        "train.spike_deviations",
        "train.sharding",  # like the number of processes: the same steps, to rounding
        "train.recompute",  # the same numbers, computed twice: a training that ran out of memory may go on with it
        "train.validation_steps",
        "train.validation_batches",
        "train.sample_steps",
        "train.sample_prompts",
        "train.sample_tokens",
        "train.checkpoint_steps",
        "train.checkpoint_minutes",
        "train.keep_checkpoints",
        "train.trackers",
        "tokens.keep_short",  # the last window of the validation split
        "evaluate.batch_size",
        "evaluate.reading_bytes",
    }
)
# What of [corpus] changes the order of training alone.
SHARES_OF_SOURCES = frozenset(f"corpus.{each}" for each in SHARES)
# Fields that came later, with the values that do as was done before: left out, so that older runs stay up to date.
CAME_LATER = {"tokens.fim_rate": 0.0}
# A larger one goes on, a smaller one is a change (changes.py).
BUDGET = frozenset(f"train.{budget}" for budget in BUDGETS)

TOKENIZER_FILES = ("tokenizer.json", "encoder.json", "vocab.bpe", "vocab.json", "merges.txt")
SEPARATOR_FILE = "tokenizer_config.json"  # beside them; it names the token that stands between documents


class Stamp(msgspec.Struct, frozen=True):
    """What a stage's `stage.json` says: enough to see whether it would come out the same."""

    format: int
    fingerprint: str
    inputs: dict[str, Any]  # the settings that matter, the files read, the stages before


def stamps(recipe: Recipe, run: Path | None = None) -> dict[str, Stamp]:
    """The stamp of every stage up to training, as this recipe and the files of today would make it.

    Where the folder of `[model] from` is gone, what a training in `run` has recorded of it stands.
    """
    from tezgah.corpus.inputs import list_sources, listing_of

    listing = listing_of(list_sources(recipe.corpus))
    corpus = _stamp("corpus", recipe, {"files": len(listing), "listing": fingerprint(listing)})
    try:
        ready, start = _ready_tokenizer(recipe), _start(recipe)
    except InputError:
        recorded = _recorded(recipe, run)
        if recorded is None:
            raise
        ready, start = recorded
    infill = {"infill": True} if recipe.tokens.fim_rate and not ready else {}
    tokenizer = _stamp("tokenizer", recipe, {"corpus": corpus.fingerprint, **ready, **infill})
    tokens = _stamp("tokens", recipe, {"corpus": corpus.fingerprint, "tokenizer": tokenizer.fingerprint})
    train = _stamp("train", recipe, {"tokens": tokens.fingerprint, **start})
    return {"corpus": corpus, "tokenizer": tokenizer, "tokens": tokens, "train": train}


def evaluation_fingerprint(train: str, steps: int, format: int = FORMATS["evaluate"]) -> str:
    """The fingerprint of `evaluation.json` for a training, itself named by its fingerprint, of so many steps."""
    return fingerprint(["evaluate", format, train, steps])


def matters(key: str, stage: str, recipe: Recipe) -> bool:
    """Whether a field of the recipe changes what this stage makes."""
    if key in DISPLAY or key in BUDGET:
        return False
    table, name = key.split(".")
    if stage == "tokenizer":
        return table == "tokenizer" and (name == "path" or not recipe.tokenizer.path)
    if stage == "tokens":
        is_seed = key == "train.seed" and recipe.tokens.fim_rate > 0
        return is_seed or key in ("tokens.shard_tokens", "tokens.fim_rate")
    if stage == "corpus" and key == "tokens.mode":
        return True
    if key in SHARES_OF_SOURCES:
        return stage == "train"
    if table == "masking":
        return stage == "train" and recipe.model.objective == "mlm"
    if stage == "train":
        return table in ("model", "train") or key in ("tokens.stride", "tokens.documents")
    return table == stage


def matters_to_training(key: str, recipe: Recipe) -> bool:
    """Whether a field changes the weights that come out, through any stage."""
    return any(matters(key, stage, recipe) for stage in ("corpus", "tokenizer", "tokens", "train"))


def settings_of(stage: str, recipe: Recipe) -> dict[str, Any]:
    """The fields that matter to a stage, by key."""
    fields = by_key(recipe_tables(recipe)).items()
    return {key: v for key, v in fields if matters(key, stage, recipe) and CAME_LATER.get(key) != v}


def is_current(folder: Path, stamp: Stamp) -> bool:
    """Whether the stage in `folder` was made with this stamp. One made by a newer tezgah is refused."""
    found = _read_stamp(folder)
    if found is None:
        return False
    check_format(folder / "stage.json", found.format, known=stamp.format)
    return found.fingerprint == stamp.fingerprint


def tokenizer_path(recipe: Recipe) -> Path | None:
    """The ready tokenizer of a recipe: the one it names, or its starting model's; None where one is trained."""
    if recipe.tokenizer.path:
        return Path(recipe.tokenizer.path)
    return find_model(Path(recipe.model.from_)) if recipe.model.from_ else None


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Write `folder/stage.json`."""
    write_json(folder / "stage.json", msgspec.to_builtins(stamp))


def _stamp(stage: str, recipe: Recipe, before: dict[str, Any]) -> Stamp:
    inputs = {"settings": settings_of(stage, recipe), **before}
    return Stamp(FORMATS[stage], fingerprint([stage, FORMATS[stage], inputs]), inputs)


def _read_stamp(folder: Path) -> Stamp | None:
    try:
        return msgspec.json.decode((folder / "stage.json").read_bytes(), type=Stamp)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _start(recipe: Recipe) -> dict[str, Any]:
    """What counts of the model that training starts from; nothing where it starts from none."""
    return {"from": start_inputs(find_model(Path(recipe.model.from_)))} if recipe.model.from_ else {}


def _recorded(recipe: Recipe, run: Path | None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The tokenizer's and training's inputs as `run` has them beside the same `[model] from`; None where it has not."""
    if run is None or not recipe.model.from_:
        return None
    tokenizer, training = _read_stamp(run / "tokenizer"), _read_stamp(run / "checkpoints") or _read_stamp(run / "model")
    if tokenizer is None or training is None or training.inputs["settings"].get("model.from") != recipe.model.from_:
        return None
    return {"path": tokenizer.inputs.get("path")}, {"from": training.inputs.get("from")}


def _ready_tokenizer(recipe: Recipe) -> dict[str, Any]:
    """The contents of a ready tokenizer's files, hashed; nothing where one is trained."""
    path = tokenizer_path(recipe)
    if path is None:
        return {}
    folder, names = (path.parent, (path.name,)) if path.is_file() else (path, TOKENIZER_FILES)
    found = {name: hash_file(folder / name) for name in names if (folder / name).is_file()}
    if not found:
        raise InputError(
            f"{path}: no tokenizer there. Set [tokenizer] path to a tokenizer.json, "
            "or to a folder with one or with encoder.json and vocab.bpe."
        )
    if (folder / SEPARATOR_FILE).is_file():
        found[SEPARATOR_FILE] = hash_file(folder / SEPARATOR_FILE)
    return {"path": found}
