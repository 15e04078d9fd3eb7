"""What a run folder holds for its readers, read once; whatever is not there yet is named."""

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tezgah.errors import InputError
from tezgah.files import read_json
from tezgah.models.build import build_config
from tezgah.models.checkpoint import read_config
from tezgah.models.config import ModelConfig
from tezgah.models.settings import ModelSettings
from tezgah.starting import find_model
from tezgah.tokens.mixture import SharesRecord, SourceShare
from tezgah.training.metrics import Row, last, read_json_lines, read_metrics


class Held(msgspec.Struct, frozen=True):
    """What a model makes of some held-out documents."""

    bits_per_byte: float
    bytes: int
    documents: int


class Evaluation(msgspec.Struct, frozen=True):
    """`evaluation.json`: the finished model on the whole held-out text."""

    loss: float
    perplexity: float
    bits_per_byte: float | None = None
    masked_accuracy: float | None = None  # of a masked language model, in place of bits per byte
    baselines: dict[str, float] = {}  # the same figure of compressors, or of simple fillers; msgspec copies the default
    reading_baselines: dict[str, float] = {}  # the same over what a reading during training takes
    by_source: dict[str, Held] = {}  # where there are several


@dataclass(frozen=True)
class Record:
    """The readable files of one run; empty or None where the run has not come so far."""

    folder: Path
    rows: list[Row]
    evaluation: Evaluation | None
    recipe_text: str
    recipe: dict[str, Any]
    card: str
    measures: dict[str, Any]
    versions: dict[str, Any]
    log: list[dict[str, Any]]
    sources: tuple[SourceShare, ...]  # of which the training reads; none where they come as they are
    missing: list[str]  # a sentence each

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def baselines(self) -> dict[str, float]:
        """Bits per byte of the compressors on the held-out text."""
        return self.evaluation.baselines if self.evaluation else {}

    @property
    def reading_baselines(self) -> dict[str, float]:
        """Bits per byte of the compressors on the text of a reading, which the curve is held against."""
        return (self.evaluation.reading_baselines if self.evaluation else {}) or self.baselines


def read_record(run: Path, is_outdated: bool = False) -> Record:
    """Read a run folder, finished or not; an evaluation that `is_outdated` is passed over.

    Raises InputError where it is none, or a file of it is damaged.
    """
    if not ((run / "recipe.toml").is_file() or (run / "metrics.jsonl").is_file()):
        raise InputError(f"{run}: holds neither recipe.toml nor metrics.jsonl. Give the folder of a run.")
    rows = read_metrics(run) if (run / "metrics.jsonl").is_file() else []
    text = _text(run / "recipe.toml")
    record = Record(
        folder=run,
        rows=rows,
        evaluation=None if is_outdated else _evaluation(run / "evaluation.json"),
        recipe_text=text,
        recipe=_toml(run / "recipe.toml", text),
        card=_text(run / "corpus" / "card.md"),
        measures=_table(run / "tokenizer" / "measures.json"),
        versions=_table(run / "versions.json"),
        log=_log(run / "log.jsonl"),
        sources=_sources(run / "checkpoints" / "sources.json"),
        missing=[],
    )
    record.missing.extend(_missing(record, is_outdated))
    return record


def model_config(record: Record) -> ModelConfig | None:
    """The run's model: what its recipe makes of its tokenizer's size, or, where it began with a model, its newest
    folder's; None where neither is there."""
    vocab_size = record.measures.get("vocab_size")
    if vocab_size and "model" in record.recipe:
        try:
            settings = msgspec.convert(record.recipe["model"], ModelSettings)
        except msgspec.ValidationError as error:
            raise InputError(f"{record.name}/recipe.toml: [model] is not one this tezgah knows ({error}).") from None
        if not settings.from_:
            return build_config(settings, vocab_size)
    with suppress(InputError):  # no checkpoint yet
        return read_config(find_model(record.folder))
    return None


def _missing(record: Record, is_outdated: bool) -> list[str]:
    sentences = []
    has_reading = last(record.rows, "validation_loss") is not None
    if not record.rows:
        sentences.append("Training has not begun: metrics.jsonl holds no row yet, so there are no curves.")
    elif not has_reading:
        sentences.append("No reading was taken yet, so there are no validation figures.")
    if not record.evaluation:
        instead = " The figures are those of the last reading." if has_reading else ""
        why = "is of an earlier model" if is_outdated else "is not there yet: the compressors have not been measured"
        sentences.append(f"evaluation.json {why}.{instead}")
    for present, file in (
        (record.recipe_text, "recipe.toml"),
        (record.card, "corpus/card.md"),
        (record.measures, "tokenizer/measures.json"),
        (record.versions, "versions.json"),
    ):
        if not present:
            sentences.append(f"{file} is not there.")
    return sentences


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _table(path: Path) -> dict[str, Any]:
    table = read_json(path) if path.is_file() else {}
    if not isinstance(table, dict):
        raise InputError(f"{path}: not a JSON object. Restore or remove the file.")
    return table


def _evaluation(path: Path) -> Evaluation | None:
    if not path.is_file():
        return None
    try:
        return msgspec.convert(read_json(path), Evaluation)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not an evaluation ({error}). Remove it and evaluate again.") from None


def _sources(path: Path) -> tuple[SourceShare, ...]:
    if not path.is_file():
        return ()
    try:
        return msgspec.convert(read_json(path), SharesRecord).sources
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: damaged ({error}). Remove it; the next training writes it anew.") from None


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML ({error}). Restore the file.") from None


def _log(path: Path) -> list[dict[str, Any]]:
    lines = read_json_lines(path) if path.is_file() else []
    return [line for line in lines if isinstance(line, dict)]
