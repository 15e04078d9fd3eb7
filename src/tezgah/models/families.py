"""The families this version knows, by the name a recipe gives them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tezgah.models import gpt2, qwen3
from tezgah.models.config import CausalConfig
from tezgah.models.mapping import Entry


@dataclass(frozen=True)
class Family:
    """What a family file states: its names on disk, and its functions."""

    architecture: str
    model_type: str
    computed: dict[str, tuple[Any, ...]]
    initialize: Callable[[nn.Module, CausalConfig, torch.Generator], None]
    to_hugging_face: Callable[[CausalConfig], dict[str, Any]]
    from_hugging_face: Callable[[dict[str, Any]], CausalConfig]
    key_map: Callable[[CausalConfig], list[Entry]]


FAMILIES: dict[str, Family] = {
    family.MODEL_TYPE: Family(
        family.ARCHITECTURE,
        family.MODEL_TYPE,
        family.COMPUTED,
        family.initialize,
        family.to_hugging_face,
        family.from_hugging_face,
        family.key_map,
    )
    for family in (gpt2, qwen3)
}
