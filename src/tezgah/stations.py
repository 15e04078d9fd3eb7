"""What each stage of a run does: which rooms it calls, with what, and what it leaves in its folder."""

import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tezgah.errors import InputError
from tezgah.files import write_json
from tezgah.generation.kinds import fills_masks
from tezgah.masked_stations import check_mask, evaluate_filling, masked_data, masked_reading
from tezgah.recipe import Recipe
from tezgah.stages import FORMATS, tokenizer_path
from tezgah.starting import checkpoints, find_model
from tezgah.training_sequences import tell_shares, training_sequences

if TYPE_CHECKING:
    from tezgah.models.language import LanguageModel
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.training.loop import TrainResult
    from tezgah.training.place import Place
    from tezgah.training.reader import Reading, Samples

MEASURED_DOCUMENTS = 10_000  # held-out documents that a tokenizer is measured on, at most


def make_corpus(recipe: Recipe, run: Path, folder: Path) -> None:
    """Read the sources into `folder`, or a sample of them where they are a stream."""
    from tezgah.corpus.build import build_corpus
    from tezgah.corpus.sample import build_sample

    build = build_sample if recipe.tokens.mode == "stream" else build_corpus
    build(recipe.corpus, folder)


def make_tokenizer(recipe: Recipe, run: Path, folder: Path) -> None:
    """Train a tokenizer on the corpus, or take the ready or the model's one; measure it on the held-out text."""
    from tezgah.console import say
    from tezgah.corpus.split_texts import spread_documents
    from tezgah.tokenizer.measure import measure
    from tezgah.tokenizer.tokenizer import Tokenizer

    settings, corpus = recipe.tokenizer, run / "corpus"
    if ready := tokenizer_path(recipe):
        tokenizer = Tokenizer.load(ready)
        if recipe.model.objective == "mlm":
            check_mask(tokenizer, ready)
        if recipe.tokens.fim_rate:
            _check_infills(tokenizer, ready)
        if settings.path and recipe.model.from_:
            _compare(tokenizer, recipe.model.from_)
    else:
        texts = spread_documents(corpus, training_split(recipe), settings.documents)
        tokenizer = Tokenizer.train(
            texts,
            settings.vocab_size,
            settings.split,
            settings.algorithm,
            settings.normalize,
            mask=bool(settings.mask),
            infill=recipe.tokens.fim_rate > 0,
        )
    measures = measure(tokenizer, spread_documents(corpus, "validation", MEASURED_DOCUMENTS))
    tokenizer.save(folder)
    write_json(folder / "measures.json", msgspec.to_builtins(measures))
    say(
        f"tokenizer: {tokenizer.vocab_size:,} ids, {measures.bytes_per_token:.2f} bytes per token, "
        f"{measures.tokens_per_word:.2f} tokens per word on held-out text"
    )


def _check_infills(tokenizer: "Tokenizer", path: Path) -> None:
    """Raise InputError, naming the file, for a ready tokenizer without the tokens of filling in the middle."""
    from tezgah.tokens.infill import check_infills

    try:
        check_infills(tokenizer)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _compare(tokenizer: "Tokenizer", start: str) -> None:
    """Warn where ids of the model that is started from stand for other tokens: what it knows of them is lost."""
    from tezgah.console import warn
    from tezgah.tokenizer.tokenizer import Tokenizer

    try:
        known = Tokenizer.load(find_model(Path(start)))
    except InputError:  # it has none
        return
    shared = range(min(known.vocab_size, tokenizer.vocab_size))
    if other := sum(known.decode_bytes([each]) != tokenizer.decode_bytes([each]) for each in shared):
        warn(
            f"{other:,} of {len(shared):,} ids are other tokens than those that {start} has learned, which will have "
            "to learn them anew. A tokenizer extended from its own (`tezgah tokenizer extend`) keeps them."
        )


def training_split(recipe: Recipe) -> str:
    """The name of the stored split to learn from: of a stream that is a sample."""
    return "sample" if recipe.tokens.mode == "stream" else "train"


def make_tokens(recipe: Recipe, run: Path, folder: Path) -> None:
    """Encode every split into shards."""
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokens.build import build_tokens

    build_tokens(run / "corpus", Tokenizer.load(run / "tokenizer"), recipe.tokens, folder, recipe.train.seed)


def train_model(recipe: Recipe, run: Path, fingerprint: str, is_profiled: bool = False) -> dict[str, float]:
    """Train a model, or go on training, to the budget's end; what was reached, in every unit of a budget."""
    from tezgah.models.cost import flops_per_token
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.training.settings import closed

    tokenizer = Tokenizer.load(run / "tokenizer")
    model = model_to_train(recipe, run, tokenizer.vocab_size)
    result, epochs = train_on(model, tokenizer, recipe, run, fingerprint, is_profiled)
    tokens = result.steps * closed(recipe.train).batch_size * model.config.context_length
    return {
        "steps": result.steps,
        "tokens": tokens,
        "epochs": epochs,
        "minutes": result.seconds / 60,
        "flops": tokens * flops_per_token(model.config),
    }


def choose(recipe: Recipe, run: Path) -> dict[str, Any]:
    """What the recipe leaves open in `[model]` and `[train]`, by key, for the tokens in `run` and for this machine."""
    from tezgah.models.start import start_config
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokens.sequences import Sequences
    from tezgah.tokens.shards import TokenStream
    from tezgah.training.choosing import Ask, choose_open
    from tezgah.training.world import join_world

    model, vocab_size, tokens, start = recipe.model, Tokenizer.load(run / "tokenizer").vocab_size, None, None
    if model.from_:
        start = start_config(find_model(Path(model.from_)), model.objective, model.context_length)
        start = dataclasses.replace(start, vocab_size=max(start.vocab_size, vocab_size))
    if recipe.tokens.mode == "stored":
        length = start.context_length if start else model.context_length or 1
        tokens = len(Sequences(TokenStream(run / "tokens", "train"), length, recipe.tokens.stride)) * length
    predicted = recipe.masking.rate if model.objective == "mlm" else 1.0
    return choose_open(Ask(model, recipe.train, vocab_size, tokens, join_world(), start, predicted))


def model_to_train(recipe: Recipe, run: Path, vocab_size: int) -> "LanguageModel":
    """A fresh model, or the one that `[model] from` names, whose folder is not read once there is a checkpoint."""
    from tezgah.console import say
    from tezgah.models.build import build_config, build_model
    from tezgah.models.start import start_model, unfilled_model

    settings = recipe.model
    if not settings.from_:
        model: LanguageModel = build_model(build_config(settings, vocab_size), recipe.train.seed)
        return model
    for folder in reversed(checkpoints(run)):
        with suppress(InputError):  # a damaged one is named where its weights are loaded
            return unfilled_model(folder, settings.objective)
    folder = find_model(Path(settings.from_))
    say(f"model: starts from the weights in {folder}")
    return start_model(folder, vocab_size, settings.objective, settings.context_length)


def check_start(recipe: Recipe, run: Path) -> None:
    """Refuse a `[model] from` that cannot be trained, before the stages in front of training take their time."""
    from tezgah.models.start import start_config
    from tezgah.models.weights import WeightFiles

    if not recipe.model.from_:
        return
    folder = find_model(Path(recipe.model.from_))
    if any(folder.resolve().is_relative_to((run / own).resolve()) for own in ("model", "checkpoints")):
        raise InputError(
            f"[model] from: {folder} lies in the run folder itself, which moves it out of the way. "
            "Name another folder with --run."
        )
    start_config(folder, recipe.model.objective, recipe.model.context_length)
    WeightFiles(folder)  # there, and whole as far as their headers say


def train_on(
    model: "LanguageModel",
    tokenizer: "Tokenizer",
    recipe: Recipe,
    run: Path,
    fingerprint: str,
    is_profiled: bool = False,
) -> "tuple[TrainResult, float]":
    """Train `model` in place on the tokens in `run`, or on a stream. Returns the result and the epochs it came to."""
    from tezgah.tokens.sequences import Sequences
    from tezgah.tokens.shards import TokenStream
    from tezgah.training.loop import train
    from tezgah.training.reader import Callbacks, Data
    from tezgah.training.settings import closed
    from tezgah.training.world import join_world

    learned, held_out = (TokenStream(run / "tokens", split) for split in (training_split(recipe), "validation"))
    for stream in (learned, held_out):
        stream.check_tokenizer(tokenizer.hash)
    context_length = model.config.context_length
    validation = Sequences(held_out, context_length, recipe.tokens.stride, recipe.tokens.keep_short)
    with training_sequences(learned, context_length, tokenizer, recipe, run, fingerprint) as sequences:
        separately = recipe.tokens.documents == "separate"
        data = Data(sequences, validation, tokenizer.separator_id, reads_separately=separately)
        if fills_masks(model):
            data = masked_data(data, tokenizer, recipe)
            reading, samples = masked_reading(recipe, tokenizer, data.validation)
        else:
            reading, samples = _reading(recipe, tokenizer, held_out)
        callbacks = Callbacks(reading, samples, lambda folder: tokenizer.save(folder, context_length))
        settings = closed(recipe.train)
        result = train(model, data, settings, run, fingerprint, callbacks, is_profiled)
        count = result.steps * settings.batch_size
        if join_world().is_first:
            tell_shares(sequences, count)
        return result, sequences.epochs(count)


def evaluate_model(recipe: Recipe, run: Path, fingerprint: str) -> dict[str, Any]:
    """Write `evaluation.json`: the trained model on the held-out documents, beside the compressors."""
    from tezgah.corpus.split_texts import SplitTexts
    from tezgah.evaluation.by_source import evaluate_by_source
    from tezgah.evaluation.compressors import baselines
    from tezgah.evaluation.readings import reading_documents
    from tezgah.models.checkpoint import load_model
    from tezgah.tokens.shards import TokenStream

    place = evaluation_place(recipe)
    model = load_model(run / "model").to(place.device)
    if fills_masks(model):
        filling = evaluate_filling(model, recipe, run, training_split(recipe), place.autocast)
        evaluation = {"format": FORMATS["evaluate"], "fingerprint": fingerprint, **filling}
        write_json(run / "evaluation.json", evaluation)
        return evaluation
    stream = TokenStream(run / "tokens", "validation")
    batch_size = recipe.evaluate.batch_size
    measured, by_source = evaluate_by_source(model, stream, batch_size, place.autocast)
    corpus = run / "corpus"
    held_out = SplitTexts(corpus, "validation")
    read = SplitTexts(corpus, "validation", reading_documents(stream, recipe.evaluate.reading_bytes))
    evaluation = {
        "format": FORMATS["evaluate"],
        "fingerprint": fingerprint,
        **msgspec.to_builtins(measured),
        "by_source": msgspec.to_builtins(by_source),
        "baselines": baselines(held_out, train=SplitTexts(corpus, training_split(recipe))),
        "reading_baselines": baselines(read),
    }
    write_json(run / "evaluation.json", evaluation)
    return evaluation


def evaluation_place(recipe: Recipe) -> "Place":
    """Where a recipe's models are used: as it trains, but uncompiled, and on the best device here if its own is not.

    A model is used on other machines than the one that trained it.
    """
    from tezgah.training.place import choose_place, devices

    device = recipe.train.device if recipe.train.device in devices() else "auto"
    return choose_place(msgspec.structs.replace(recipe.train, compile=False, device=device))


def _reading(recipe: Recipe, tokenizer: "Tokenizer", held_out: Any) -> "tuple[Reading, Samples]":
    """What training does at a reading: bits per byte of some held-out documents, and greedy samples."""
    from tezgah.evaluation.bits_per_byte import evaluate_documents
    from tezgah.evaluation.readings import reading_documents
    from tezgah.generation.generate import generate

    documents = reading_documents(held_out, recipe.evaluate.reading_bytes)
    batch_size, new_tokens = recipe.evaluate.batch_size, recipe.train.sample_tokens

    def reading(model: Any, place: "Place") -> dict[str, Any]:
        measured = evaluate_documents(model, held_out, batch_size, documents, autocast=place.autocast)
        return {"bits_per_byte": measured.bits_per_byte}

    def samples(model: Any, place: "Place") -> list[dict[str, str]]:
        prompts = (recipe.train.sample_prompts or ("",)) if new_tokens else ()
        texts = [generate(model, tokenizer, prompt, new_tokens)[0] for prompt in prompts]
        return [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)]

    return reading, samples
