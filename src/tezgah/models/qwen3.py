"""Qwen3, dense (Yang et al. 2025): Llama's block with normalized queries and keys, and our first weights for it."""

from collections.abc import Sequence

import torch
from torch import nn

from tezgah.models import llama
from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.family import Family
from tezgah.models.llama import RotaryFields, rotary_config, rotary_fields
from tezgah.models.mapping import Entry, layered

QK_NORMS = {"self_attn.q_norm": "attention.query_norm", "self_attn.k_norm": "attention.key_norm"}


class Qwen3Fields(RotaryFields, frozen=True, kw_only=True):
    """Qwen3's `config.json`."""

    layer_types: list[str] | None = None


@torch.no_grad()
def initialize(model: nn.Module, config: CausalConfig, generator: torch.Generator) -> None:
    """First weights for Muon: N(0, 1/width) matrices; a block adds nothing yet, and the head says nothing yet.

    Zeros in the projections back to the residual stream and a head near zero (nanochat's `init_weights`)
    start training at a loss of ln(vocab_size).
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("output.weight", "down.weight", "bias")):
            parameter.zero_()
        elif name == "head.weight" or (name == "embedding.weight" and config.tied):
            parameter.normal_(0.0, 0.02 if config.tied else 0.001, generator=generator)
        elif name == "embedding.weight":
            parameter.normal_(0.0, 1.0, generator=generator)
        elif parameter.ndim == 2:
            parameter.normal_(0.0, config.width**-0.5, generator=generator)


def config_of(fields: Qwen3Fields, architecture: str, tensors: Sequence[str]) -> CausalConfig:
    """The configuration that a `config.json` states."""
    if set(fields.layer_types or ()) - {"full_attention"}:
        raise ValueError("layer_types other than full_attention")
    return rotary_config("qwen3", fields, fields.head_dim or 128, qk_norm=True, mlp_bias=False)


def fields_of(config: CausalConfig) -> Qwen3Fields:
    """What `config.json` says of a configuration."""
    return Qwen3Fields(layer_types=["full_attention"] * config.n_layers, **rotary_fields(config))


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter it holds."""
    return llama.key_map(config) + layered(config.n_layers, "model.layers", QK_NORMS, ("weight",))


FAMILY = Family(
    model_type="qwen3",
    architectures=("Qwen3ForCausalLM", "Qwen3Model", "Qwen3ForSequenceClassification"),
    fields=Qwen3Fields,
    computed={"use_sliding_window": (False,)},
    prefix="model.",
    headless="Qwen3Model",
    surplus=llama.FAMILY.surplus,
    build=CausalLM,
    initialize=initialize,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=lambda config: "Qwen3ForSequenceClassification" if config.labels else "Qwen3ForCausalLM",
    key_map=key_map,
)
