"""Qwen3, dense (Yang et al. 2025): its block, its first weights, and its names on disk."""

from typing import Any

import torch
from torch import nn

from tezgah.models.config import CausalConfig
from tezgah.models.mapping import Entry, Plain
from tezgah.nn.config import StackConfig

ARCHITECTURE = "Qwen3ForCausalLM"
MODEL_TYPE = "qwen3"

# Fields of a stock configuration that change the computation, and the values ours computes.
COMPUTED: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False,),
    "hidden_act": ("silu",),
    "use_sliding_window": (False,),
    "rope_scaling": (None,),
}


def stack_config(
    n_layers: int,
    width: int,
    n_heads: int,
    n_kv_heads: int,
    head_dim: int,
    mlp_width: int,
    rope_theta: float,
    norm_epsilon: float = 1e-6,
) -> StackConfig:
    """Qwen3's block at a size."""
    return StackConfig(
        n_layers=n_layers,
        width=width,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        mlp_width=mlp_width,
        norm="rms",
        norm_epsilon=norm_epsilon,
        mlp="swiglu",
        rope_theta=rope_theta,
        qk_norm=True,
        qkv_bias=False,
        linear_bias=False,
    )


@torch.no_grad()
def initialize(model: nn.Module, config: CausalConfig, generator: torch.Generator) -> None:
    """First weights for Muon: N(0, 1/width) matrices; a block adds nothing yet, and the head says nothing yet.

    Zeros in the projections back to the residual stream and a head near zero (nanochat's `init_weights`)
    start training at a loss of ln(vocab_size).
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("output.weight", "down.weight")):
            parameter.zero_()
        elif name == "head.weight" or (name == "embedding.weight" and config.tied):
            parameter.normal_(0.0, 0.02 if config.tied else 0.001, generator=generator)
        elif name == "embedding.weight":
            parameter.normal_(0.0, 1.0, generator=generator)
        elif parameter.ndim == 2:
            parameter.normal_(0.0, config.width**-0.5, generator=generator)


def to_hugging_face(config: CausalConfig) -> dict[str, Any]:
    """The family's own part of `config.json`."""
    stack = config.stack
    return {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": stack.head_dim,
        "hidden_act": "silu",
        "hidden_size": stack.width,
        "intermediate_size": stack.mlp_width,
        "max_position_embeddings": config.context_length,
        "num_attention_heads": stack.n_heads,
        "num_hidden_layers": stack.n_layers,
        "num_key_value_heads": stack.n_kv_heads,
        "rms_norm_eps": stack.norm_epsilon,
        "rope_parameters": {"rope_theta": stack.rope_theta, "rope_type": "default"},
        "use_sliding_window": False,
    }


def from_hugging_face(fields: dict[str, Any]) -> CausalConfig:
    """Read what `to_hugging_face` wrote, or a stock dense Qwen3's configuration."""
    rope = fields.get("rope_parameters") or {"rope_theta": fields.get("rope_theta", 10_000.0)}
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"rope_type {rope['rope_type']!r}")
    stack = stack_config(
        n_layers=fields["num_hidden_layers"],
        width=fields["hidden_size"],
        n_heads=fields["num_attention_heads"],
        n_kv_heads=fields["num_key_value_heads"],
        head_dim=fields["head_dim"],
        mlp_width=fields["intermediate_size"],
        rope_theta=rope["rope_theta"],
        norm_epsilon=fields.get("rms_norm_eps", 1e-6),
    )
    return CausalConfig(
        family="qwen3",
        vocab_size=fields["vocab_size"],
        context_length=fields["max_position_embeddings"],
        stack=stack,
        tied=fields.get("tie_word_embeddings", False),
        learned_positions=False,
    )


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter it holds."""
    names = {
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "mlp_norm",
        "self_attn.q_proj": "attention.query",
        "self_attn.k_proj": "attention.key",
        "self_attn.v_proj": "attention.value",
        "self_attn.o_proj": "attention.output",
        "self_attn.q_norm": "attention.query_norm",
        "self_attn.k_norm": "attention.key_norm",
        "mlp.gate_proj": "mlp.gate",
        "mlp.up_proj": "mlp.up",
        "mlp.down_proj": "mlp.down",
    }
    entries: list[Entry] = [
        Plain("model.embed_tokens.weight", "embedding.weight"),
        Plain("model.norm.weight", "stack.norm.weight"),
    ]
    for layer in range(config.n_layers):
        entries += [
            Plain(f"model.layers.{layer}.{theirs}.weight", f"stack.blocks.{layer}.{ours}.weight")
            for theirs, ours in names.items()
        ]
    if not config.tied:
        entries.append(Plain("lm_head.weight", "head.weight"))
    return entries
