"""What a classifier says of texts."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.finetuning.metrics import THRESHOLD, probabilities_of
from tezgah.finetuning.training import predict
from tezgah.models.config import CausalConfig, classes_of
from tezgah.tokenizer.framed import Framed, frame, framed_json
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.training.place import Place, choose_place
from tezgah.training.settings import TrainTable

BATCH = 32  # texts at a time


class Classified(msgspec.Struct, frozen=True):
    """A text's labels, the likeliest first, and the probability of every label the model knows.

    It is one label, or, where a text may have several, those that are as likely as not; none is possible there.
    """

    text: str
    labels: list[str]
    probabilities: dict[str, float]


def classify(
    model: Any,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    place: Place | None = None,
) -> list[Classified]:
    """Classify texts, or each with its second text. Of texts longer than the context the beginning is read.

    Raises InputError for a model without a classification head, an empty text, and texts and pairs of two numbers.
    """
    names = classes_of(model.config)
    if not names:
        raise InputError(
            f"tezgah.classify: this {model.config.family} has no classification head. Give it one: `tezgah finetune`."
        )
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(f"tezgah.classify: {len(texts):,} texts and {len(pairs):,} second texts. Give one for each.")
    if any(not text.strip() for text in texts):
        raise InputError("tezgah.classify: a text is empty. Give some words.")
    place = place or choose_place(TrainTable(compile=False, precision="fp32"))  # few texts: exact is fast enough
    model.to(place.device)
    rows = framed(model, tokenizer, texts, pairs)
    warn_of_cut(int(rows.is_cut.sum()), model.config.context_length)
    logits = predict(model, rows, place, BATCH)
    is_multi = model.config.multi_label
    found = []
    for text, row in zip(texts, probabilities_of(logits, is_multi), strict=True):
        order = [int(place) for place in np.argsort(-row, kind="stable")]
        chosen = [place for place in order if row[place] >= THRESHOLD] if is_multi else order[:1]
        probabilities = {names[place]: float(row[place]) for place in order}
        found.append(Classified(text, [names[place] for place in chosen], probabilities))
    return found


def warn_of_cut(texts: int, context_length: int) -> None:
    """Say how many texts are longer than the context, and what becomes of them; nothing where none is."""
    if texts:
        are = "text is" if texts == 1 else "texts are"
        warn(f"{texts:,} {are} longer than the context of {context_length:,} tokens: the beginning is read.")


def framed(model: Any, tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Framed:
    """Texts as rows of ids that the model takes."""
    is_causal = isinstance(model.config, CausalConfig)
    text = framed_json(tokenizer.json, tokenizer.separator, is_causal)
    return frame(text, texts, pairs, model.config.context_length)
