"""The verbs of classification: `tezgah finetune` and `tezgah classify`."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines, table
from tezgah.errors import InputError
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.opening import MODEL, with_tokenizer

LONGEST_SHOWN = 60  # characters of a text


class FinetuneFlags(FinetuneSettings, frozen=True):
    """Flags of `finetune`."""

    o: Annotated[str, Meta(description="folder for the classifier and its report")] = ""
    json: Annotated[bool, Meta(description="print one JSON object instead of text")] = False


class ClassifyFlags(Plain, frozen=True):
    """Flags of `classify`."""

    text_pair: Annotated[
        tuple[str, ...],
        Meta(description="second text, for a model of pairs; once for each TEXT", extra={"repeats": "TEXT"}),
    ] = ()


def finetune(operands: list[str], flags: FinetuneFlags) -> Answer:
    """Train a classifier."""
    if not flags.o:
        raise InputError("`finetune` needs -o DIR, the folder to write the classifier into.")
    from tezgah import api

    given = {name: getattr(flags, name) for name in FinetuneSettings.__struct_fields__}
    record = api.finetune(operands[0], operands[1], flags.o, **given)
    measured = record.measured
    figures = {
        "classifier": flags.o,
        "texts": f"{measured.texts:,} ({record.held_out})",
        "best_epoch": record.best_epoch,
        "accuracy": measured.accuracy,
        "macro_f1": measured.macro_f1,
        "calibration_error": measured.calibration_error,
        "report": str(Path(flags.o) / "report.html"),
    }
    rows = [
        (each.label, f"{each.texts:,}", *(f"{share:.3f}" for share in (each.precision, each.recall, each.f1)))
        for each in measured.classes
    ]
    classes = table(("class", "texts", "precision", "recall", "F1"), rows)
    return Answer(f"{classes}\n\n{lines(figures)}", {"classifier": flags.o, **msgspec.to_builtins(record)})


def classify(operands: list[str], flags: ClassifyFlags) -> Answer:
    """Classify texts."""
    from tezgah import api

    path, *texts = operands
    model, tokenizer = with_tokenizer(path)
    found = api.classify(model, tokenizer, texts, flags.text_pair or None)
    rows = [
        (
            ", ".join(each.labels) or "none",
            f"{each.probabilities[each.labels[0]] if each.labels else 1 - max(each.probabilities.values()):.3f}",
            _short(each.text),
        )
        for each in found
    ]
    value = {"model": path, "texts": msgspec.to_builtins(found)}
    return Answer(table(("label", "probability", "text"), rows), value)


def _short(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= LONGEST_SHOWN else whole[: LONGEST_SHOWN - 1] + "…"


FINETUNE_VERBS: dict[str, Verb] = {
    "finetune": Verb(
        "Train a classifier of texts from a model and a file of labelled texts; measure it on texts held out.",
        ("MODEL", "DATA"),
        FinetuneFlags,
        finetune,
        f"{MODEL} An encoder gets a head on its first token, a causal model one on its last. DATA is TSV, CSV or JSON "
        "Lines, also .gz or .zst, or Parquet. Of texts longer than the context the beginning is read. Ctrl-C keeps the "
        "best epoch so far.",
    ),
    "classify": Verb(
        "Label each TEXT with a classifier that `finetune` or `transformers` made.",
        ("MODEL", "TEXT…"),
        ClassifyFlags,
        classify,
        f"{MODEL} After `--` a TEXT may begin with a dash.",
    ),
}
