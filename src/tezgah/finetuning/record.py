"""`finetune.json`: what a fine-tuning was told, what it read, and what it came to."""

from typing import Any

import msgspec

from tezgah.finetuning.metrics import Measured
from tezgah.finetuning.training import Epoch

FORMAT = 1


class Mistake(msgspec.Struct, frozen=True):
    """A held-out text that was called wrong: its labels, those it was given, and with what confidence."""

    text: str
    text_pair: str | None
    labels: list[str]
    predicted: list[str]
    confidence: float


class FinetuneRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`finetune.json`, format 1."""

    format: int = FORMAT
    model: str  # the folder whose weights it began with
    data: str  # the file of texts
    settings: dict[str, Any]
    labels: list[str]  # in the order of their numbers
    is_multi: bool  # a text may have several labels
    counts: dict[str, int]  # texts of each label in the data
    held_out: str  # which texts were measured on, in words
    trained_texts: int
    cut_texts: int  # longer than the context; their beginning was read
    notes: list[str]  # what a reader should know
    history: list[Epoch]
    best_epoch: int
    folds: list[float]  # macro-F1 of each part, where it was cross-validated
    measured: Measured
    mistakes: list[Mistake]
    stopped: bool  # by the user, before its end
    seconds: float
    environment: dict[str, str | int]
