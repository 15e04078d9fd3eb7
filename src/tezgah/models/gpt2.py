"""GPT-2 (Radford et al. 2019): its block, its first weights, and its names on disk.

Its projections are Conv1D, (inputs, features): transposed beside ours. Query, key and value are
one tensor. The stock class has biases everywhere; a model without query, key and value biases
writes zeros, and says so in a field of ours that stock readers pass over.
"""

from typing import Any

import torch
from torch import nn

from tezgah.models.config import CausalConfig
from tezgah.models.mapping import Entry, Joined, Plain, Transposed
from tezgah.nn.config import StackConfig

ARCHITECTURE = "GPT2LMHeadModel"
MODEL_TYPE = "gpt2"

# Fields of a stock configuration that change the computation, and the values ours computes.
COMPUTED: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "add_cross_attention": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
}


def stack_config(
    n_layers: int, width: int, n_heads: int, mlp_width: int, qkv_bias: bool, dropout: float, norm_epsilon: float = 1e-5
) -> StackConfig:
    """GPT-2's block at a size."""
    return StackConfig(
        n_layers=n_layers,
        width=width,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=width // n_heads,
        mlp_width=mlp_width,
        norm="layer",
        norm_epsilon=norm_epsilon,
        mlp="gelu",
        rope_theta=None,
        qk_norm=False,
        qkv_bias=qkv_bias,
        linear_bias=True,
        dropout=dropout,
    )


@torch.no_grad()
def initialize(model: nn.Module, config: CausalConfig, generator: torch.Generator) -> None:
    """First weights as GPT-2's: N(0, 0.02), residual projections smaller by √(2 n_layers) (section 2.3).

    With a head of its own the embeddings need not serve as one, and start at torch's N(0, 1): at a
    constant 4e-4 the textbook run then stood at 4.70 after 36 steps, against 5.66 with 0.02 and a warm-up.
    """
    table = 0.02 if config.tied else 1.0
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif name in ("embedding.weight", "positions.weight"):
            parameter.normal_(0.0, table, generator=generator)
        elif parameter.ndim == 2:
            last = name.endswith(("output.weight", "down.weight"))
            parameter.normal_(0.0, 0.02 / (2 * config.n_layers) ** 0.5 if last else 0.02, generator=generator)


def to_hugging_face(config: CausalConfig) -> dict[str, Any]:
    """The family's own part of `config.json`."""
    stack = config.stack
    return {
        "activation_function": "gelu_new",
        "attn_pdrop": stack.dropout,
        "embd_pdrop": stack.dropout,
        "resid_pdrop": stack.dropout,
        "layer_norm_epsilon": stack.norm_epsilon,
        "n_ctx": config.context_length,
        "n_embd": stack.width,
        "n_head": stack.n_heads,
        "n_inner": stack.mlp_width,
        "n_layer": stack.n_layers,
        "n_positions": config.context_length,
        "qkv_bias": stack.qkv_bias,
    }


def from_hugging_face(fields: dict[str, Any]) -> CausalConfig:
    """Read what `to_hugging_face` wrote, or any stock GPT-2's configuration."""
    width = fields["n_embd"]
    stack = stack_config(
        n_layers=fields["n_layer"],
        width=width,
        n_heads=fields["n_head"],
        mlp_width=fields.get("n_inner") or 4 * width,
        qkv_bias=fields.get("qkv_bias", True),
        dropout=fields.get("resid_pdrop", 0.0),
        norm_epsilon=fields.get("layer_norm_epsilon", 1e-5),
    )
    return CausalConfig(
        family="gpt2",
        vocab_size=fields["vocab_size"],
        context_length=fields["n_positions"],
        stack=stack,
        tied=fields.get("tie_word_embeddings", True),
        learned_positions=True,
    )


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter or parameters it holds."""
    entries: list[Entry] = [
        Plain("transformer.wte.weight", "embedding.weight"),
        Plain("transformer.wpe.weight", "positions.weight"),
        Plain("transformer.ln_f.weight", "stack.norm.weight"),
        Plain("transformer.ln_f.bias", "stack.norm.bias"),
    ]
    for layer in range(config.n_layers):
        theirs, ours = f"transformer.h.{layer}", f"stack.blocks.{layer}"
        for norm, name in (("ln_1", "attention_norm"), ("ln_2", "mlp_norm")):
            entries += [Plain(f"{theirs}.{norm}.{part}", f"{ours}.{name}.{part}") for part in ("weight", "bias")]
        parts = tuple(f"{ours}.attention.{part}" for part in ("query", "key", "value"))
        entries.append(Joined(f"{theirs}.attn.c_attn.weight", tuple(f"{part}.weight" for part in parts), True))
        biases = tuple(f"{part}.bias" for part in parts)
        entries.append(Joined(f"{theirs}.attn.c_attn.bias", biases, False, zeros=not config.stack.qkv_bias))
        for projection, name in (
            ("attn.c_proj", "attention.output"),
            ("mlp.c_fc", "mlp.up"),
            ("mlp.c_proj", "mlp.down"),
        ):
            entries.append(Transposed(f"{theirs}.{projection}.weight", f"{ours}.{name}.weight"))
            entries.append(Plain(f"{theirs}.{projection}.bias", f"{ours}.{name}.bias"))
    if not config.tied:
        entries.append(Plain("lm_head.weight", "head.weight"))
    return entries
