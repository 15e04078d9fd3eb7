"""Qwen3, dense (Yang et al. 2025): Llama's block with normalized queries and keys."""

from collections.abc import Sequence

from tezgah.models import llama
from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.family import Family, initialize_quiet
from tezgah.models.llama import RotaryFields, rotary_config, rotary_fields
from tezgah.models.mapping import Entry, layered

QK_NORMS = {"self_attn.q_norm": "attention.query_norm", "self_attn.k_norm": "attention.key_norm"}


class Qwen3Fields(RotaryFields, frozen=True, kw_only=True):
    """Qwen3's `config.json`."""

    layer_types: list[str] | None = None


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
    initialize=initialize_quiet,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=lambda config: "Qwen3ForSequenceClassification" if config.labels else "Qwen3ForCausalLM",
    key_map=key_map,
)
