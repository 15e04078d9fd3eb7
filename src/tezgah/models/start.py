"""A model to go on training: opened from a folder, with rows for its tokenizer, and perhaps a shorter context."""

import dataclasses
from pathlib import Path

from torch import nn

from tezgah.errors import InputError
from tezgah.models.causal import CausalLM
from tezgah.models.checkpoint import load_model, read_config
from tezgah.models.config import CausalConfig
from tezgah.models.settings import SHAPES


def start_config(folder: Path, context_length: int | None = None) -> CausalConfig:
    """The configuration of the model in `folder`, seeing `context_length` tokens at once where that is given.

    Raises InputError for a model that is not trained here, and for a longer context than the model was made for.
    """
    config = read_config(folder)
    if not isinstance(config, CausalConfig):
        raise InputError(
            f"[model] from: {folder}: a {config.family} looks both ways, and is not trained here yet. "
            f"Name a folder with one of {', '.join(SHAPES['causal'])}."
        )
    if context_length is None:
        return config
    if context_length > config.context_length:
        raise InputError(
            f"[model] context_length {context_length:,}: the model in {folder} sees {config.context_length:,} tokens "
            f"at once. Set it to {config.context_length:,} or less, or leave it out."
        )
    return dataclasses.replace(config, context_length=context_length)


def start_model(folder: Path, vocab_size: int, context_length: int | None = None) -> CausalLM:
    """The model in `folder`, its weights in float32, with a row for each of `vocab_size` ids at least.

    Rows it has beyond them stay: vocabularies are padded. Rows it lacks are the mean of its own, and said. A shorter
    context leaves the later positions out.
    """
    config = start_config(folder, context_length)
    rows = vocab_size if vocab_size > config.vocab_size else None
    model: CausalLM = load_model(folder, vocab_size=rows)
    if config.context_length < model.config.context_length:
        _shorten(model, config.context_length)
    return model


def unfilled_model(folder: Path) -> CausalLM:
    """A model of the shape of the checkpoint in `folder`, its weights to be loaded."""
    return CausalLM(start_config(folder))


def _shorten(model: CausalLM, context_length: int) -> None:
    if model.positions is not None:
        kept = model.positions.weight[:context_length].detach().clone()
        model.positions = nn.Embedding(context_length, model.config.width, _weight=kept)
    model.stack.context_length = context_length
    model.stack.make_tables()
    model.config = dataclasses.replace(model.config, context_length=context_length)
