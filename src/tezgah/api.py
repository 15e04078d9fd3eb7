"""The Python door: what the command line does, as functions.

Nothing here imports torch before it is called. Bad input raises `tezgah.InputError`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, overload

from tezgah.errors import InputError
from tezgah.generation.kinds import check_causal as check_causal
from tezgah.generation.kinds import fills_masks
from tezgah.starting import find_model as find_model

if TYPE_CHECKING:
    from tezgah.evaluation.bits_per_byte import Evaluation
    from tezgah.evaluation.masked import MaskedEvaluation
    from tezgah.finetuning.classify import Classified
    from tezgah.finetuning.record import FinetuneRecord
    from tezgah.models.causal import CausalLM
    from tezgah.models.encoder import Encoder
    from tezgah.pipeline import RunResult
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.training.loop import TrainResult

DTYPES = ("float32", "bfloat16", "float16", "float64")


def run(
    recipe: str | Path,
    folder: str | Path | None = None,
    only: str | None = None,
    restart: bool = False,
    overrides: Mapping[str, Any] | None = None,
    branch: str | Path | None = None,
    profile: bool = False,
) -> "RunResult":
    """Run a recipe file, stage by stage, as `tezgah run` does; `overrides` are fields by key, `train.steps`.

    The run folder is `runs/<recipe file name>` unless `folder` names another. `branch` is a checkpoint of another
    run, before its decay, where training begins. With `profile` some steps of the training are profiled, and its
    `profile/` says where their time goes.
    """
    from tezgah import pipeline
    from tezgah.recipe import load_recipe

    path = Path(recipe)
    home = Path(folder or Path("runs") / path.stem)
    begin = Path(branch) if branch else None
    return pipeline.run(load_recipe(path, overrides), home, only, restart, branch=begin, is_profiled=profile)


def new_model(vocab_size: int, seed: int = 1, **settings: Any) -> "CausalLM":
    """An untrained model; `settings` are fields of a recipe's `[model]` table: `n_layers`, `width`, `shape` …"""
    from tezgah.models.build import build_config, build_model
    from tezgah.recipe import make_table

    if "from" in settings:
        raise InputError("tezgah.new_model: [model] from: open the folder with tezgah.load instead.")
    model: CausalLM = build_model(build_config(make_table("model", settings, "tezgah.new_model"), vocab_size), seed)
    return model


def load(
    folder: str | Path, dtype: str = "float32", vocab_size: int | None = None
) -> "tuple[CausalLM, Tokenizer | None]":
    """The model and the tokenizer of a MODEL: a run folder, a checkpoint, or a Hugging Face folder.

    The parameters are "float32", "bfloat16", "float16" or "float64", whatever they are on disk. With a `vocab_size`
    the embedding and the head have so many rows: new ones are the mean of the old, as a tokenizer that was extended
    needs them. The tokenizer is None where the folder has none. Raises InputError for another dtype, and for a folder
    that is no model, or a damaged one.
    """
    import torch

    from tezgah.models.checkpoint import load_model
    from tezgah.stages import TOKENIZER_FILES
    from tezgah.tokenizer.tokenizer import Tokenizer

    if dtype not in DTYPES:
        raise InputError(f"tezgah.load: dtype must be one of {', '.join(DTYPES)}, not {dtype!r}.")
    if vocab_size is not None and (not isinstance(vocab_size, int) or vocab_size < 1):
        raise InputError(f"tezgah.load: vocab_size must be a whole number, 1 or more, not {vocab_size!r}.")
    found = find_model(Path(folder))
    has_tokenizer = any((found / name).is_file() for name in TOKENIZER_FILES)
    model = load_model(found, getattr(torch, dtype), vocab_size)
    return model, Tokenizer.load(found) if has_tokenizer else None


def train(
    model: "CausalLM | Encoder",
    tokenizer: "Tokenizer",
    texts: Iterable[str],
    folder: str | Path | None = None,
    *,
    masking: Mapping[str, Any] | None = None,
    **settings: Any,
) -> "TrainResult":
    """Train `model` in place on `texts`; a tenth of them is held out and read as training goes.

    `settings` are fields of a recipe's `[train]` table, with exactly one budget: `steps=200`; `masking` are those of
    `[masking]`, for a model that fills masks. With a `folder` the run is kept there, and the same call goes on from
    its newest checkpoint. Raises InputError, before anything in it is touched, when the folder holds another run, for
    a tokenizer with more ids than the model has rows or, where masks are filled, without [MASK], and for `masking` of
    a model that fills none.
    """
    from tezgah.corpus.build import build_corpus
    from tezgah.corpus.settings import CorpusSettings
    from tezgah.files import atomic_folder, fingerprint, hash_file
    from tezgah.lock import locked
    from tezgah.models.sizing import AUTO
    from tezgah.recipe import filled, make_recipe
    from tezgah.stages import settings_of
    from tezgah.stations import train_on
    from tezgah.tokenizer.texts import strings
    from tezgah.tokens.build import build_tokens
    from tezgah.training.scaling import rates
    from tezgah.training.trackers import check_trackers

    if tokenizer.vocab_size > model.config.vocab_size:
        raise InputError(
            f"tezgah.train: the tokenizer has {tokenizer.vocab_size:,} ids, the model {model.config.vocab_size:,} "
            f"rows. Open it with tezgah.load(folder, vocab_size={tokenizer.vocab_size})."
        )
    is_masked = _check_trained(model, tokenizer, masking)
    documents = strings(texts)
    shape = {"context_length": model.config.context_length, "objective": "mlm" if is_masked else "causal"}
    tables = {"train": settings, "model": shape} | ({"masking": dict(masking or {})} if is_masked else {})
    recipe = make_recipe(tables, name="tezgah.train")
    if recipe.train.batch_size == AUTO:
        raise InputError('tezgah.train: batch_size = "auto" is chosen by `tezgah run`. Give a number.')
    recipe = filled(recipe, {f"train.{name}": rate for name, rate in rates(model.config.width).items()})
    check_trackers(recipe.train)
    with _kept_or_temporary(folder) as run, locked(run):
        with TemporaryDirectory(dir=run) as given:
            source = Path(given) / "texts.jsonl"
            _write_texts(source, documents)
            told = [hash_file(source), tokenizer.hash, tokenizer.separator_id, repr(model.config)]
            named = fingerprint([*told, settings_of("train", recipe)])
            _check_folder(run, named)
            with atomic_folder(run / "corpus") as corpus:
                build_corpus(CorpusSettings(source=str(source)), corpus)
        with atomic_folder(run / "tokens") as tokens:
            build_tokens(run / "corpus", tokenizer, recipe.tokens, tokens)
        result, _ = train_on(model, tokenizer, recipe, run, named)
    return result


def _check_trained(model: Any, tokenizer: "Tokenizer", masking: Mapping[str, Any] | None) -> bool:
    """Whether a model learns to fill masks; InputError where it, the tokenizer and `masking` do not go together."""
    from tezgah.masked_stations import check_mask

    if fills_masks(model):
        check_mask(tokenizer, "tezgah.train")
        return True
    check_causal(model, "tezgah.train")
    if masking is not None:
        raise InputError(f"tezgah.train: a {model.config.family} fills no masks. Leave masking away.")
    return False


@overload
def evaluate(model: "CausalLM", tokenizer: "Tokenizer", texts: Iterable[str]) -> "Evaluation": ...
@overload
def evaluate(model: "Encoder", tokenizer: "Tokenizer", texts: Iterable[str]) -> "MaskedEvaluation": ...
def evaluate(model: Any, tokenizer: "Tokenizer", texts: Iterable[str]) -> "Evaluation | MaskedEvaluation":
    """Loss, perplexity and bits per byte of `model` on `texts`, each predicted whole as a document.

    Of a model that fills masks it is the loss, the masked accuracy and the pseudo-perplexity per word, with fixed
    masks.
    """
    if fills_masks(model):
        from tezgah.evaluation.masked import evaluate_masked_texts

        return evaluate_masked_texts(model, tokenizer, texts)
    from tezgah.evaluation.texts import evaluate_texts

    check_causal(model, "tezgah.evaluate")
    return evaluate_texts(model, tokenizer, texts)


def finetune(model: str | Path, data: str | Path, folder: str | Path, **settings: Any) -> "FinetuneRecord":
    """Train a classifier from a MODEL on a file of labelled texts, as `tezgah finetune` does, and write it to `folder`.

    `settings` are the flags of that verb: `text="sentence"`, `label="topic"`, `epochs=5`. What comes back is what
    `finetune.json` holds. Raises InputError for settings that are not known, bad data, and a folder that is not empty.
    """
    from tezgah.fields import settings_from
    from tezgah.finetuning.run import finetune as train_classifier
    from tezgah.finetuning.settings import FinetuneSettings

    told = settings_from(FinetuneSettings, settings, "tezgah.finetune")
    return train_classifier(find_model(Path(model)), Path(data), Path(folder), told)


def classify(
    model: Any, tokenizer: "Tokenizer", texts: Sequence[str], pairs: Sequence[str] | None = None
) -> "list[Classified]":
    """The labels and probabilities that a classifier, opened with `tezgah.load`, gives each text, or each pair.

    Raises InputError for a model without a classification head, and for an empty text.
    """
    from tezgah.finetuning.classify import classify as labels_of

    return labels_of(model, tokenizer, texts, pairs)


def read_texts(sources: Iterable[str]) -> Iterator[str]:
    """The documents of files, folders or globs, as a corpus would read them."""
    from tezgah.corpus.inputs import list_sources
    from tezgah.corpus.readers import read_sources
    from tezgah.corpus.settings import CorpusSettings

    for batch in read_sources(list_sources(CorpusSettings(source=tuple(sources)))):
        yield from batch["text"].to_pylist()


@contextmanager
def _kept_or_temporary(folder: str | Path | None) -> Iterator[Path]:
    if folder is not None:
        yield Path(folder)
        return
    with TemporaryDirectory(prefix="tezgah-") as temporary:
        yield Path(temporary)


def _check_folder(run: Path, fingerprint: str) -> None:
    """Refuse a folder with work in it that is not of the training that `fingerprint` names."""
    from tezgah.changes import has_weights
    from tezgah.training.checkpoint import newest_state

    if any(run.glob("*/stage.json")):
        raise InputError(f"{run}: holds a run of `tezgah run`. Name another folder for tezgah.train.")
    for inner in (run / "corpus", run / "tokens"):
        if inner.exists() and not (inner / "index.json").is_file():
            raise InputError(f"{inner}: is in the way, and not of tezgah's making. Name another folder.")
    if not has_weights(run):
        return
    state = newest_state(run)
    if state is None:
        raise InputError(f"{run}: holds a model, but no whole checkpoint to go on from. Name another folder.")
    if state.fingerprint != fingerprint:
        raise InputError(
            f"{run}: its checkpoints belong to another model, tokenizer, texts or settings. "
            "Give the same as then, or name another folder."
        )


def _write_texts(path: Path, texts: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
