"""A classifier made of a model that is there: its weights, and a head of its own for other labels."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from tezgah.models.checkpoint import load_model
from tezgah.models.config import EncoderConfig, ModelConfig
from tezgah.models.families import FAMILIES
from tezgah.models.mapping import Plain
from tezgah.models.weights import WeightFiles
from tezgah.seeds import named_seed


def classifier_config(config: ModelConfig, labels: tuple[str, ...], is_multi: bool, dropout: float) -> ModelConfig:
    """The same shape with a head over `labels`; `dropout` is everywhere a probability."""
    stack = dataclasses.replace(config.stack, dropout=dropout, attention_dropout=dropout)
    changed: dict[str, Any] = {"stack": stack, "embedding_dropout": dropout, "labels": labels, "multi_label": is_multi}
    if isinstance(config, EncoderConfig):
        changed |= {"head": "classification", "head_dropout": dropout}
    return dataclasses.replace(config, **changed)


def start_classifier(
    folder: Path, labels: tuple[str, ...], is_multi: bool = False, dropout: float = 0.0, seed: int = 1
) -> Any:
    """A classifier with the weights in `folder`, and those that it lacks fresh, a function of `seed`.

    The scores of labels are always fresh. What stands between the stack and them, BERT's pooler say, is the folder's
    where its files hold it. Raises InputError as `load_model` does.
    """
    body = load_model(folder)
    model = fresh_classifier(classifier_config(body.config, labels, is_multi, dropout), seed)
    held = dict(body.named_parameters())
    wanted = {name: each for name, each in model.named_parameters() if not name.startswith("classifier.")}
    with torch.no_grad():
        for name in set(wanted) & set(held):
            wanted[name].copy_(held[name])
        for name, tensor in _left_in_files(folder, model, set(wanted) - set(held)).items():
            if tensor.shape == wanted[name].shape:
                wanted[name].copy_(tensor)
    return model


def fresh_classifier(config: ModelConfig, seed: int) -> Any:
    """A classifier with its family's first weights."""
    family = FAMILIES[config.family]
    model = family.build(config)
    family.initialize(model, config, torch.Generator().manual_seed(named_seed(seed, "weights")))
    return model


def _left_in_files(folder: Path, model: Any, names: set[str]) -> dict[str, torch.Tensor]:
    """Parameters of these names that the files hold, though the model that they are of does not use them."""
    family, files = FAMILIES[model.config.family], WeightFiles(folder)
    found = {}
    for entry in family.key_map(model.config):
        if isinstance(entry, Plain) and entry.ours in names:
            theirs = (entry.theirs, entry.theirs.removeprefix(family.prefix))
            held = next((name for name in theirs if name in files.shapes), None)
            if held is not None:
                found[entry.ours] = files.tensor(held)
    return found
