"""What a family file states about itself, and the parts such statements are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta
from torch import nn

from tezgah.models.mapping import Entry

HEADS = ("head.weight", "masked_head.scores.weight")  # matrices that score every id
LARGEST = 1 << 28  # of any width or number of rows
Size = Annotated[int, Meta(ge=1, le=LARGEST)]
Layers = Annotated[int, Meta(ge=1, le=4_096)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Epsilon = Annotated[float, Meta(gt=0, le=1)]


class Fields(msgspec.Struct, kw_only=True, frozen=True):
    """What of a `config.json` a family reads: names, types, limits, and the values that stand where one is absent."""


@dataclass(frozen=True)
class Family:
    """A family of models: its names on disk, and its functions.

    `architectures` are the stock classes it reads. `computed` are fields that change the computation, with the values
    that are computed here. `surplus` are patterns of tensors that other writers leave in files and that nothing
    needs. `unset` are fields that its stock class fills, where absent, with numbers of a vocabulary of its own.
    `prefix` begins the names of all but the head's tensors, unless the file is of a `headless` one.
    `config_of` takes the fields, the architecture and the file's tensor names.
    """

    model_type: str
    architectures: tuple[str, ...]
    fields: type[Fields]
    computed: dict[str, tuple[Any, ...]]
    prefix: str
    headless: str
    surplus: tuple[str, ...]
    build: Callable[[Any], nn.Module]
    initialize: Callable[[nn.Module, Any, torch.Generator], None]
    config_of: Callable[[Any, str, Sequence[str]], Any]
    fields_of: Callable[[Any], Fields]
    architecture_of: Callable[[Any], str]
    key_map: Callable[[Any], list[Entry]]
    unset: tuple[str, ...] = ()


@torch.no_grad()
def initialize_normal(model: nn.Module, config: Any, generator: torch.Generator) -> None:
    """N(0, 0.02), biases 0: the `initializer_range` that GPT, Llama and BERT were released with."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.ndim == 2:
            parameter.normal_(0.0, 0.02, generator=generator)


@torch.no_grad()
def initialize_quiet(model: nn.Module, config: Any, generator: torch.Generator) -> None:
    """First weights for Muon: N(0, 1/width) matrices; a block adds nothing yet, and the head says nothing yet.

    Zeros in the projections back to the residual stream and a head near zero (nanochat's `init_weights`)
    start training at a loss of ln(vocab_size).
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("output.weight", "down.weight", "bias")):
            parameter.zero_()
        elif name in HEADS or (name == "embedding.weight" and config.tied):
            parameter.normal_(0.0, 0.02 if config.tied else 0.001, generator=generator)
        elif name == "embedding.weight":
            parameter.normal_(0.0, 1.0, generator=generator)
        elif parameter.ndim == 2:
            parameter.normal_(0.0, config.width**-0.5, generator=generator)
