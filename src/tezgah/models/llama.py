"""Llama (Touvron et al. 2023; Llama 3: Dubey et al. 2024): its block, and its names on disk."""

from collections.abc import Sequence
from typing import Any, Literal

from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.family import LARGEST, Epsilon, Family, Fields, Layers, Probability, Size, initialize_normal
from tezgah.models.mapping import Entry, Plain, head_entries, layered
from tezgah.models.rope import rope_fields, rope_of
from tezgah.nn.config import StackConfig

NORMS = {"input_layernorm": "attention_norm", "post_attention_layernorm": "mlp_norm"}
QKV = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
}
OUTPUT = {"self_attn.o_proj": "attention.output"}
MLP = {"mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.up", "mlp.down_proj": "mlp.down"}


class RotaryFields(Fields, frozen=True, kw_only=True):
    """What the `config.json` of Llama and of its descendants have in common."""

    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    max_position_embeddings: Size
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    hidden_act: Literal["silu"] = "silu"
    rms_norm_eps: Epsilon = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    rope_parameters: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_theta: float = 10_000.0
    original_max_position_embeddings: Size | None = None
    partial_rotary_factor: float | None = None
    attention_dropout: Probability = 0.0


class LlamaFields(RotaryFields, frozen=True, kw_only=True):
    """Llama's `config.json`."""

    mlp_bias: bool = False


def rotary_config(family: Literal["llama", "qwen3"], fields: RotaryFields, head_dim: int, **other: Any) -> CausalConfig:
    """The configuration that fields state; `other` are fields of StackConfig."""
    if head_dim % 2:
        raise ValueError(f"head_dim {head_dim}, which is odd")
    n_kv_heads = fields.num_key_value_heads or fields.num_attention_heads
    if fields.num_attention_heads % n_kv_heads:
        raise ValueError(f"num_attention_heads {fields.num_attention_heads} over num_key_value_heads {n_kv_heads}")
    stated = {
        "rope_parameters": fields.rope_parameters,
        "rope_scaling": fields.rope_scaling,
        "rope_theta": fields.rope_theta,
        "original_max_position_embeddings": fields.original_max_position_embeddings,
        "partial_rotary_factor": fields.partial_rotary_factor,
    }
    if fields.num_attention_heads * head_dim > LARGEST:
        raise ValueError(f"num_attention_heads {fields.num_attention_heads} × head_dim {head_dim}")
    stack = StackConfig(
        n_layers=fields.num_hidden_layers,
        width=fields.hidden_size,
        n_heads=fields.num_attention_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        mlp_width=fields.intermediate_size,
        norm="rms",
        norm_epsilon=fields.rms_norm_eps,
        mlp="swiglu",
        rope=rope_of(stated, fields.max_position_embeddings),
        qkv_bias=fields.attention_bias,
        output_bias=fields.attention_bias,
        attention_dropout=fields.attention_dropout,
        **other,
    )
    return CausalConfig(
        family=family,
        vocab_size=fields.vocab_size,
        context_length=fields.max_position_embeddings,
        stack=stack,
        tied=fields.tie_word_embeddings,
        learned_positions=False,
    )


def config_of(fields: LlamaFields, architecture: str, tensors: Sequence[str]) -> CausalConfig:
    """The configuration that a `config.json` states."""
    head_dim = fields.head_dim or fields.hidden_size // fields.num_attention_heads
    return rotary_config("llama", fields, head_dim, mlp_bias=fields.mlp_bias)


def rotary_fields(config: CausalConfig) -> dict[str, Any]:
    """What `config.json` says of a configuration."""
    stack = config.stack
    assert stack.rope is not None
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": stack.width,
        "intermediate_size": stack.mlp_width,
        "num_hidden_layers": stack.n_layers,
        "num_attention_heads": stack.n_heads,
        "num_key_value_heads": stack.n_kv_heads,
        "head_dim": stack.head_dim,
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": stack.norm_epsilon,
        "tie_word_embeddings": config.tied,
        "attention_bias": stack.qkv_bias,
        "rope_parameters": rope_fields(stack.rope),
        "rope_theta": stack.rope.theta,
        "attention_dropout": stack.attention_dropout,
    }


def fields_of(config: CausalConfig) -> LlamaFields:
    """What `config.json` says of a configuration."""
    return LlamaFields(mlp_bias=config.stack.mlp_bias, **rotary_fields(config))


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter it holds."""
    stack, layers = config.stack, config.n_layers
    entries: list[Entry] = [
        Plain("model.embed_tokens.weight", "embedding.weight"),
        Plain("model.norm.weight", "stack.norm.weight"),
        *layered(layers, "model.layers", NORMS | QKV | OUTPUT | MLP, ("weight",)),
    ]
    if stack.qkv_bias:
        entries += layered(layers, "model.layers", QKV | OUTPUT, ("bias",))
    if stack.mlp_bias:
        entries += layered(layers, "model.layers", MLP, ("bias",))
    return entries + head_entries(config)


FAMILY = Family(
    model_type="llama",
    architectures=("LlamaForCausalLM", "LlamaModel", "LlamaForSequenceClassification"),
    fields=LlamaFields,
    computed={},
    prefix="model.",
    headless="LlamaModel",
    surplus=(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq", r"rotary_emb\.inv_freq", r"lm_head\.weight"),
    build=CausalLM,
    initialize=initialize_normal,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=lambda config: "LlamaForSequenceClassification" if config.labels else "LlamaForCausalLM",
    key_map=key_map,
)
