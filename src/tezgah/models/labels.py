"""The labels of a classification, as a `config.json` states them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tezgah.models.config import ModelConfig, classes_of

UNNAMED = {"0": "LABEL_0", "1": "LABEL_1"}  # what `transformers` means where no labels are stated
MULTI_LABEL, SINGLE_LABEL = "multi_label_classification", "single_label_classification"
CLASSIFICATION = "ForSequenceClassification"  # the end of a stock class's name
LABEL_FIELDS = {"id2label", "problem_type"}  # of `config.json`, which a classification reads


def labels_of(id2label: Mapping[str, str] | None) -> tuple[str, ...]:
    """The labels in the order of their numbers.

    >>> labels_of({"1": "sport", "0": "health"}), labels_of(None)
    (('health', 'sport'), ('LABEL_0', 'LABEL_1'))
    """
    names = id2label or UNNAMED
    return tuple(names[key] for key in sorted(names, key=int))


def numbered(labels: tuple[str, ...]) -> dict[str, str]:
    """Labels by their numbers, as texts.

    >>> numbered(("health", "sport"))
    {'0': 'health', '1': 'sport'}
    """
    return {str(number): label for number, label in enumerate(labels)}


def label_fields(config: ModelConfig) -> dict[str, Any]:
    """What a `config.json` says of labels; nothing of a model that has none."""
    labels = classes_of(config)
    if not labels:
        return {}
    return {
        "id2label": numbered(labels),
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": MULTI_LABEL if config.multi_label else SINGLE_LABEL,
    }


def with_labels(config: ModelConfig, architecture: str, fields: Mapping[str, Any]) -> ModelConfig:
    """The configuration with the labels that the fields state, where the architecture has any.

    Raises ValueError for labels without names.
    """
    if not architecture.endswith(CLASSIFICATION):
        return config
    stated = fields.get("id2label")
    if stated is not None and not _is_numbered(stated):
        raise ValueError(f"id2label = {stated!r}")
    is_multi = fields.get("problem_type") == MULTI_LABEL
    return dataclasses.replace(config, labels=labels_of(stated), multi_label=is_multi)


def _is_numbered(stated: Any) -> bool:
    """Whether each number from 0 on has a name."""
    if not isinstance(stated, dict) or not all(isinstance(name, str) for name in stated.values()):
        return False
    return sorted(stated, key=str) == sorted(map(str, range(len(stated))))
