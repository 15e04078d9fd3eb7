"""A classifier fine-tuned from an encoder, beside the same architecture from random weights and TF-IDF.

    python benchmarks/topics.py ENCODER --topics DATA.tsv MORE.tsv --polarity TRAIN.jsonl.gz TEST.jsonl.gz

Topics: cross-validation over fixed folds of all rows of the files (SIB-200 Turkish, 800 sentences of seven topics); a
seed's figures are of all rows, each predicted by the model that had not read it. Polarity: trained on the first file,
measured on the second. No contestant sees what it is measured on before: the epoch is chosen by a tenth of the
training part, held out by hash, and TF-IDF's strength of regularization by cross-validation inside that part.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tezgah.api import find_model
from tezgah.errors import InputError
from tezgah.finetuning.classify import framed
from tezgah.finetuning.data import Examples, read_examples, targets_of
from tezgah.finetuning.metrics import measure, probabilities_of
from tezgah.finetuning.run import framing_tokenizer
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.finetuning.split import fold_of_rows, held_out_rows
from tezgah.finetuning.training import Labelled, predict, train
from tezgah.models.checkpoint import read_config
from tezgah.models.classifier import classifier_config, fresh_classifier, start_classifier
from tezgah.models.config import CausalConfig
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.training.place import Place, choose_place
from tezgah.training.settings import TrainTable

CONTESTANTS = ("fine-tuned", "random weights", "TF-IDF")
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)  # C of the logistic regression

Scores = NDArray[np.float64]
Contestant = Callable[[Examples, Examples, int], Scores]  # learned, measured, seed → (measured, labels)


def encoders(folder: Path, settings: FinetuneSettings, labels: tuple[str, ...]) -> dict[str, Contestant]:
    """The two contestants that are of the encoder's architecture."""
    config, place = read_config(folder), choose_place(TrainTable(compile=False))
    tokenizer = framing_tokenizer(folder, isinstance(config, CausalConfig), config.vocab_size)

    def pretrained(learned: Examples, measured: Examples, seed: int) -> Scores:
        model = start_classifier(folder, labels, dropout=settings.dropout, seed=seed)
        return trained(model, tokenizer, learned, measured, settings, seed, place)

    def random(learned: Examples, measured: Examples, seed: int) -> Scores:
        model = fresh_classifier(classifier_config(config, labels, False, settings.dropout), seed)
        return trained(model, tokenizer, learned, measured, settings, seed, place)

    return {"fine-tuned": pretrained, "random weights": random}


def trained(
    model: Any,
    tokenizer: Tokenizer,
    learned: Examples,
    measured: Examples,
    settings: FinetuneSettings,
    seed: int,
    place: Place,
) -> Scores:
    """Probabilities of the model at its best epoch, by a tenth of what it learns from."""

    labels = model.config.labels

    def read(examples: Examples) -> Labelled:
        return Labelled(framed(model, tokenizer, examples.texts), targets_of(examples, labels))

    chosen = held_out_rows(learned)
    others = np.setdiff1d(np.arange(len(learned)), chosen)
    own = msgspec.structs.replace(settings, seed=seed)
    train(model, read(learned.take(others)), read(learned.take(chosen)), own, place)
    return probabilities_of(predict(model, read(measured).rows, place, 2 * settings.batch_size), is_multi=False)


def tf_idf(learned: Examples, measured: Examples, seed: int) -> Scores:
    """Words and pairs of words by TF-IDF, then a logistic regression, both scikit-learn's."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline

    labels = tuple(learned.counts())
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=2_000))
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    search = GridSearchCV(pipeline, {"logisticregression__C": STRENGTHS}, scoring="f1_macro", cv=folds)
    search.fit(learned.texts, targets_of(learned, labels))
    return np.asarray(search.predict_proba(measured.texts), np.float64)


def cross_validated(contestant: Contestant, examples: Examples, folds: int, first: int, seed: int) -> dict[str, Any]:
    """Figures over the rows of the `first` so many of all folds, each predicted by a model that had not read it."""
    fold, labels = fold_of_rows(examples, folds), tuple(examples.counts())
    begun = time.perf_counter()
    parts, scores = [], []
    for number in range(first):
        parts.append(np.flatnonzero(fold == number))
        learned = examples.take(np.flatnonzero(fold != number))
        scores.append(contestant(learned, examples.take(parts[-1]), seed))
    rows = np.concatenate(parts)
    return figures(np.concatenate(scores), examples.take(rows), labels) | {"seconds": time.perf_counter() - begun}


def figures(scores: Scores, measured: Examples, labels: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy, macro-F1 and calibration error in percent."""
    found = measure(scores, targets_of(measured, labels), labels)
    named = ("accuracy", "macro_f1", "calibration_error")
    return {"texts": found.texts, **{name: 100 * getattr(found, name) for name in named}}


def joined(paths: list[Path], settings: FinetuneSettings) -> Examples:
    """The rows of all files."""
    parts = [read_examples(path, settings) for path in paths]
    return Examples(parts[0].source, pa.concat_tables([part.table for part in parts]), is_multi=False)


def table(task: str, found: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A row a contestant: the mean over seeds, their standard deviation, the lowest and the highest."""
    rows = []
    for name, each in found.items():
        cells = [f"{each[0]['texts']:,}"]
        for figure in ("macro_f1", "accuracy"):
            values = [one[figure] for one in each]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.1f} ± {deviation:.1f} ({min(values):.1f}–{max(values):.1f})")
        rows.append([task, name, *cells, f"{statistics.mean(one['seconds'] for one in each):.0f}"])
    return rows


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    folder = find_model(arguments.encoder)
    settings = FinetuneSettings(
        text=arguments.text,
        label=arguments.label,
        epochs=arguments.epochs,
        lr=arguments.lr,
        patience=arguments.patience,
    )
    rows: list[list[str]] = []
    results: dict[str, Any] = {"encoder": str(folder), "seeds": arguments.seeds, "folds": arguments.folds}
    if arguments.topics:
        examples = joined(arguments.topics, settings)
        first = arguments.only_folds or arguments.folds
        results["topics"] = each_seed(
            arguments,
            contestants(arguments, folder, settings, examples),
            lambda one, seed: cross_validated(one, examples, arguments.folds, first, seed),
        )
        rows += table("topics", results["topics"])
    if arguments.polarity:
        told = FinetuneSettings(epochs=arguments.epochs, lr=arguments.lr, patience=arguments.patience)
        learned, measured = (read_examples(path, told) for path in arguments.polarity)

        def on_test(one: Contestant, seed: int) -> dict[str, Any]:
            start = time.perf_counter()
            scores = one(learned, measured, seed)
            return figures(scores, measured, tuple(learned.counts())) | {"seconds": time.perf_counter() - start}

        results["polarity"] = each_seed(arguments, contestants(arguments, folder, told, learned), on_test)
        rows += table("polarity", results["polarity"])
    if not rows:
        raise InputError("benchmarks/topics.py: give --topics or --polarity files.")
    header = ["task", "contestant", "texts", "macro-F1, %", "accuracy, %", "seconds a seed"]
    title = f"Classification: mean ± standard deviation (lowest–highest) of {arguments.seeds} seeds"
    written = {"results": results, "settings": {"epochs": settings.epochs, "lr": settings.lr}}
    measuring.write_results(arguments.results, "topics", title, measuring.markdown_table(header, rows), written, begun)


def contestants(
    arguments: argparse.Namespace, folder: Path, settings: FinetuneSettings, learned: Examples
) -> dict[str, Contestant]:
    """Those that were asked for, in their order."""
    known = encoders(folder, settings, tuple(learned.counts())) | {"TF-IDF": tf_idf}
    return {name: known[name] for name in arguments.contestants}


def each_seed(
    arguments: argparse.Namespace,
    asked: dict[str, Contestant],
    measured: Callable[[Contestant, int], dict[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    """Every contestant's figures for every seed; the contestants take turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for seed in range(1, arguments.seeds + 1):
        for name, contestant in asked.items():
            found[name].append(measured(contestant, seed))
            print(f"seed {seed}, {name}: macro-F1 {found[name][-1]['macro_f1']:.1f}", flush=True)
    return found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("encoder", type=Path, help="run, checkpoint or Hugging Face folder to fine-tune")
    made.add_argument("--topics", type=Path, nargs="+", default=[], help="files whose rows are cross-validated")
    made.add_argument("--text", default="text", help="column of the topics' texts")
    made.add_argument("--label", default="category", help="column of the topics")
    made.add_argument("--polarity", type=Path, nargs=2, help="files to learn from and to measure on: text, label")
    made.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    made.add_argument("--seeds", type=int, default=5, help="times each contestant is trained")
    made.add_argument("--folds", type=int, default=5, help="parts of the topics")
    made.add_argument("--only-folds", type=int, default=0, help="measure on the first so many parts; 0 is all")
    made.add_argument("--epochs", type=int, default=20, help="epochs at most")
    made.add_argument("--patience", type=int, default=5, help="epochs without a better reading that end training")
    made.add_argument("--lr", type=float, default=None, help="peak learning rate; default by width")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
