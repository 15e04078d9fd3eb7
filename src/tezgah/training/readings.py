"""Losses at a reading: both splits in evaluation mode, over the same number of batches."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.models.language import LanguageModel
from tezgah.seeds import named_seed
from tezgah.tokens.order import sequence_indices
from tezgah.tokens.sequences import Sequences
from tezgah.training.place import Place
from tezgah.training.settings import TrainSettings


def loss_readings(
    model: LanguageModel,
    train: Sequences,
    validation: Sequences,
    settings: TrainSettings,
    place: Place,
    separator_id: int | None = None,
) -> dict[str, Any]:
    """`validation_loss`, `train_eval_loss` (nats per token) and `perplexity` of the model as it is.

    The sequences are the same at every reading: a fixed sample of each split. `separator_id` is given where
    documents are read by themselves (`CausalLM.loss`).
    """
    losses = {
        name: _mean_loss(model, sequences, _sample(sequences, settings, name), settings.batch_size, place, separator_id)
        for name, sequences in (("validation_loss", validation), ("train_eval_loss", train))
    }
    return {**losses, "perplexity": math.exp(min(losses["validation_loss"], 700.0))}


def _sample(sequences: Sequences, settings: TrainSettings, name: str) -> NDArray[np.int64]:
    count = min(len(sequences), settings.validation_batches * settings.batch_size)
    return sequence_indices(named_seed(settings.seed, name), len(sequences), 0, count)


def _mean_loss(
    model: LanguageModel,
    sequences: Sequences,
    indices: NDArray[np.int64],
    batch_size: int,
    place: Place,
    separator_id: int | None,
) -> float:
    total, counted = 0.0, 0
    for start in range(0, len(indices), batch_size):
        ids, targets = place.tensors(*sequences.batch(indices[start : start + batch_size]))
        with place.precision():
            total += float(model.loss(ids, targets, separator_id))
        counted += int((targets >= 0).sum())
    return total / counted
