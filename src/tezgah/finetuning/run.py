"""A fine-tuning from its beginning to its end: read, split, encode, train, measure, write."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tezgah.console import say, warn
from tezgah.errors import InputError
from tezgah.files import atomic_folder, read_json, write_json
from tezgah.finetuning.classify import framed, warn_of_cut
from tezgah.finetuning.data import UNEVEN, Examples, check_examples, check_known, read_examples, say_counts, targets_of
from tezgah.finetuning.metrics import decided, measure, probabilities_of, worst_mistakes
from tezgah.finetuning.record import FinetuneRecord, Mistake
from tezgah.finetuning.report import write_report
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.finetuning.split import fold_of_rows, held_out_rows
from tezgah.finetuning.training import Epoch, Labelled, Trained, train
from tezgah.models.checkpoint import read_config, save_model
from tezgah.models.classifier import start_classifier
from tezgah.models.config import CausalConfig
from tezgah.tokenizer.artefact import Artefact
from tezgah.tokenizer.framed import framed_json, padding_id
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.training.place import Place, choose_place
from tezgah.training.settings import TrainTable

MISTAKES = 10  # shown


@dataclass(frozen=True)
class Task:
    """What all trainings of a fine-tuning have in common."""

    folder: Path  # of the model to begin with
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    is_multi: bool
    settings: FinetuneSettings
    place: Place

    def new_model(self) -> Any:
        """The model as it begins."""
        return start_classifier(self.folder, self.labels, self.is_multi, self.settings.dropout, self.settings.seed)

    def labelled(self, model: Any, examples: Examples) -> Labelled:
        """Examples as the model reads them."""
        rows = framed(model, self.tokenizer, examples.texts, examples.pairs)
        return Labelled(rows, targets_of(examples, self.labels))


@dataclass(frozen=True)
class Outcome:
    """A model that was trained, and the scores of texts that were held out, (texts, labels)."""

    model: Any
    trained: Trained
    learned: int  # texts
    cut: int  # texts longer than the context
    measured: Examples
    logits: NDArray[np.float32]
    told: str  # which texts were held out
    folds: list[float]  # macro-F1 of each


def finetune(folder: Path, data: Path, output: Path, settings: FinetuneSettings) -> FinetuneRecord:
    """Train a classifier from the model in `folder` on the texts in `data`, and write it into `output`.

    `output` is then a Hugging Face folder with `finetune.json` and `report.html`. Raises InputError for bad data, for a
    model without a tokenizer, and for an `output` that holds something. A stop by the user keeps the best so far:
    it is written, and then KeyboardInterrupt goes on.
    """
    check_output(output)
    if settings.valid and settings.folds:
        raise InputError("--valid and --folds: give one of them; folds hold out parts of DATA in turn.")
    examples = read_examples(data, settings)
    check_examples(examples, settings.label)
    config = read_config(folder)
    tokenizer = framing_tokenizer(folder, isinstance(config, CausalConfig), config.vocab_size)
    place = choose_place(TrainTable(compile=False))
    task = Task(folder, tokenizer, tuple(examples.counts()), examples.is_multi, settings, place)
    begun = time.monotonic()
    outcome = _cross_validate(task, examples) if settings.folds else _hold_out(task, examples)
    record = _record(task, examples, outcome, str(data), time.monotonic() - begun)
    with atomic_folder(output.resolve()) as made:
        save_classifier(outcome.model, tokenizer, made)
        write_json(made / "finetune.json", msgspec.to_builtins(record))
        write_report(made, record)
    if record.stopped:
        say(f"{output}: the best of the epochs before the stop, epoch {record.best_epoch}")
        raise KeyboardInterrupt
    return record


def check_output(output: Path) -> None:
    """Raise InputError where something would be replaced."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file. Give a folder to -o.")
    if output.is_dir() and any(output.iterdir()):
        raise InputError(f"{output}: holds files, which would be replaced. Give -o a folder of its own.")


def save_classifier(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a classifier and its tokenizer so that `transformers` opens both, and pads as it is to."""
    is_causal = isinstance(model.config, CausalConfig)
    separator_id = tokenizer.separator_id if is_causal and tokenizer.separator else None
    save_model(model.to("cpu"), folder, separator_id)
    tokenizer.save(folder, model.config.context_length)
    padding = padding_id(tokenizer.json, tokenizer.separator)
    has_types = not is_causal and model.config.n_token_types > 1
    names = ["input_ids", *(["token_type_ids"] if has_types else []), "attention_mask"]
    stated: dict[str, Any] = {"model_input_names": names}
    if padding is not None:  # transformers finds the last token of a text by it
        write_json(folder / "config.json", read_json(folder / "config.json") | {"pad_token_id": padding})
        stated["pad_token"] = tokenizer.decode([padding])
    path = folder / "tokenizer_config.json"
    write_json(path, read_json(path) | stated)


def framing_tokenizer(folder: Path, is_causal: bool, rows: int) -> Tokenizer:
    """The model's tokenizer, with a frame for texts; it must have no more ids than the model has rows."""
    try:
        tokenizer = Tokenizer.load(folder)
        text = framed_json(tokenizer.json, tokenizer.separator, is_causal)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    if tokenizer.vocab_size > rows:
        raise InputError(
            f"{folder}: its tokenizer has {tokenizer.vocab_size:,} ids, its model {rows:,} rows. "
            "Give a folder whose files belong together."
        )
    return Tokenizer(Artefact(text, tokenizer.separator))


def _hold_out(task: Task, examples: Examples) -> Outcome:
    """Train on DATA and measure on a given file; or on nine tenths of DATA, and measure on the rest."""
    settings = task.settings
    if settings.valid:
        learned, measured = examples, _given(examples, settings)
        told = f"measured on {settings.valid}"
    else:
        rows = held_out_rows(examples)
        if not len(rows):
            raise InputError(
                f"{examples.source}: no class has two different texts, so none can be held out. Give --valid."
            )
        learned, measured = examples.take(np.setdiff1d(np.arange(len(examples)), rows)), examples.take(rows)
        told = "measured on a tenth of the texts, held out by hash"
    say_counts(examples, measured)
    model, trained, cut = _train(task, learned, measured)
    assert trained.logits is not None
    return Outcome(model, trained, len(learned), cut, measured, trained.logits, told, [])


def _given(examples: Examples, settings: FinetuneSettings) -> Examples:
    """The texts of the file to measure on."""
    given = read_examples(Path(settings.valid), settings)
    if given.is_multi and not examples.is_multi:
        raise InputError(f"{given.source}: has lists of labels, {examples.source} one label a text. Make them alike.")
    check_known(given, tuple(examples.counts()), settings.label)
    if shared := len(set(given.texts) & set(examples.texts)):
        warn(f"{settings.valid}: {shared:,} of its texts are in {examples.source} too, so figures are too good.")
    return Examples(given.source, given.table, examples.is_multi)


def _train(task: Task, learned: Examples, held_out: Examples | None) -> tuple[Any, Trained, int]:
    """A model trained on some texts and read on others; how many of both are longer than its context."""
    model = task.new_model()
    ours = task.labelled(model, learned)
    theirs = None if held_out is None else task.labelled(model, held_out)
    cut = int(ours.rows.is_cut.sum()) + (0 if theirs is None else int(theirs.rows.is_cut.sum()))
    warn_of_cut(cut, model.config.context_length)
    return model, train(model, ours, theirs, task.settings, task.place, _say_epoch), cut


def _cross_validate(task: Task, examples: Examples) -> Outcome:
    """Score every text by a model that had not read it; then train on all of them for as many epochs as was best."""
    count = task.settings.folds
    fold = fold_of_rows(examples, count)
    say_counts(examples, None)
    logits = np.zeros((len(examples), len(task.labels)), np.float32)
    qualities, epochs = [], []
    for number in range(count):
        rows = np.flatnonzero(fold == number)
        say(f"fold {number + 1} of {count}: {len(rows):,} texts held out")
        _, trained, _ = _train(task, examples.take(np.flatnonzero(fold != number)), examples.take(rows))
        if trained.stopped:  # the other folds' texts have no scores
            raise KeyboardInterrupt
        assert trained.logits is not None
        logits[rows] = trained.logits
        qualities.append(trained.history[trained.best_epoch - 1].macro_f1 or 0.0)
        epochs.append(trained.best_epoch)
    best = median_low(epochs)
    say(f"all {len(examples):,} texts: {best} epochs, the median of the folds' best")
    whole = dataclasses.replace(task, settings=msgspec.structs.replace(task.settings, epochs=best))
    model, trained, cut = _train(whole, examples, None)
    told = f"each text measured by one of {count} models that had not read it"
    return Outcome(model, trained, len(examples), cut, examples, logits, told, qualities)


def _record(task: Task, examples: Examples, outcome: Outcome, data: str, seconds: float) -> FinetuneRecord:
    """What is to be kept of it all."""
    probabilities = probabilities_of(outcome.logits, task.is_multi)
    settings = msgspec.structs.asdict(task.settings)
    return FinetuneRecord(
        model=str(task.folder),
        data=data,
        settings={name: value for name, value in settings.items() if value is not None},
        labels=list(task.labels),
        is_multi=task.is_multi,
        counts=examples.counts(),
        held_out=outcome.told,
        trained_texts=outcome.learned,
        cut_texts=outcome.cut,
        notes=_notes(examples, outcome),
        history=outcome.trained.history,
        best_epoch=outcome.trained.best_epoch,
        folds=outcome.folds,
        measured=measure(probabilities, targets_of(outcome.measured, task.labels), task.labels),
        mistakes=_mistakes(outcome.measured, probabilities, task.labels),
        stopped=outcome.trained.stopped,
        seconds=seconds,
        environment=task.place.environment(),
    )


def _say_epoch(epoch: Epoch) -> None:
    beside = ""
    if epoch.macro_f1 is not None:
        beside = f", held out {epoch.validation_loss:.3f}, accuracy {epoch.accuracy:.3f}, macro-F1 {epoch.macro_f1:.3f}"
    say(f"epoch {epoch.epoch}: loss {epoch.loss:.3f}{beside}")


def _notes(examples: Examples, outcome: Outcome) -> list[str]:
    """What a reader of the report should know."""
    notes = []
    if outcome.trained.stopped:
        notes.append(f"Stopped by the user; this is the best of {len(outcome.trained.history)} epochs.")
    if outcome.cut:
        longest = outcome.model.config.context_length
        notes.append(
            f"{outcome.cut:,} texts are longer than the context of {longest:,} tokens; their beginning was read."
        )
    counts = examples.counts().values()
    if max(counts) >= UNEVEN * min(counts):
        notes.append(f"Classes are uneven: from {min(counts):,} to {max(counts):,} texts.")
    return notes


def _mistakes(examples: Examples, probabilities: NDArray[np.float64], labels: tuple[str, ...]) -> list[Mistake]:
    """The most confident mistakes among the texts that were measured on."""
    targets, chosen = targets_of(examples, labels), decided(probabilities, examples.is_multi)
    texts, pairs, given = examples.texts, examples.pairs, examples.labels
    found = []
    for row in worst_mistakes(probabilities, targets, MISTAKES):
        if examples.is_multi:
            sure = np.maximum(probabilities[row], 1 - probabilities[row])
            confidence, numbers = sure[chosen[row] != targets[row]].max(), np.flatnonzero(chosen[row])
        else:
            confidence, numbers = probabilities[row].max(), chosen[row : row + 1]
        predicted = [labels[number] for number in numbers.tolist()]
        pair = None if pairs is None else pairs[row]
        found.append(Mistake(texts[row], pair, given[row], predicted, float(confidence)))
    return found
