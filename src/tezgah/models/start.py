"""A model to go on training: opened from a folder, with rows for its tokenizer, and perhaps a shorter context."""

import dataclasses
from pathlib import Path

from torch import nn

from tezgah.errors import InputError
from tezgah.models.checkpoint import load_model, read_config
from tezgah.models.config import CausalConfig, ModelConfig, classes_of
from tezgah.models.families import FAMILIES
from tezgah.models.language import LanguageModel
from tezgah.models.settings import Objective


def start_config(folder: Path, objective: Objective, context_length: int | None = None) -> ModelConfig:
    """The configuration of the model in `folder`, seeing `context_length` tokens at once where that is given.

    Raises InputError for a model that does not learn the objective, and for a longer context than it was made for.
    """
    config = read_config(folder)
    _check_objective(folder, config, objective)
    if context_length is None:
        return config
    if context_length > config.context_length:
        raise InputError(
            f"[model] context_length {context_length:,}: the model in {folder} sees {config.context_length:,} tokens "
            f"at once. Set it to {config.context_length:,} or less, or leave it out."
        )
    return dataclasses.replace(config, context_length=context_length)


def start_model(
    folder: Path, vocab_size: int, objective: Objective, context_length: int | None = None
) -> LanguageModel:
    """The model in `folder`, its weights in float32, with a row for each of `vocab_size` ids at least.

    Rows it has beyond the ids stay: vocabularies are padded.
    Rows it lacks are the mean of its own, and said. A shorter context leaves the later positions out.
    """
    config = start_config(folder, objective, context_length)
    rows = vocab_size if vocab_size > config.vocab_size else None
    model: LanguageModel = load_model(folder, vocab_size=rows)
    if config.context_length < model.config.context_length:
        _shorten(model, config.context_length)
    for parameter in model.parameters():  # transposed ones are views of a file; compiled code is made for one layout
        parameter.data = parameter.data.contiguous()
    return model


def unfilled_model(folder: Path, objective: Objective) -> LanguageModel:
    """A model of the shape of the checkpoint in `folder`, its weights to be loaded."""
    config = start_config(folder, objective)
    model = FAMILIES[config.family].build(config)
    assert isinstance(model, LanguageModel)
    return model


def _check_objective(folder: Path, config: ModelConfig, objective: Objective) -> None:
    """Refuse a model that learns another objective, or none: one without the head for it."""
    if classes_of(config):
        raise InputError(f"[model] from: {folder}: is a classifier of texts. Name the folder that it was made from.")
    if isinstance(config, CausalConfig):
        if objective == "mlm":
            raise InputError(
                f'[model] objective = "mlm": the {config.family} in {folder} goes on from a text. Leave objective out.'
            )
        return
    if objective == "causal":
        raise InputError(
            f"[model] from: {folder}: a {config.family} looks both ways, and learns to fill masks. "
            'Set [model] objective = "mlm".'
        )
    if config.head != "masked_lm":
        raise InputError(
            f"[model] from: {folder}: has no masked-LM head. Name a folder saved from a model for masked language "
            "modelling."
        )


def _shorten(model: LanguageModel, context_length: int) -> None:
    if model.positions is not None:
        kept = model.positions.weight[:context_length].detach().clone()
        model.positions = nn.Embedding(context_length, model.config.width, _weight=kept)
    model.stack.context_length = context_length
    model.stack.make_tables()
    model.config = dataclasses.replace(model.config, context_length=context_length)
