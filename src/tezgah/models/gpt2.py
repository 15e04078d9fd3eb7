"""GPT-2 (Radford et al. 2019): its block, its first weights, and its names on disk.

Its projections are Conv1D, (inputs, features): transposed beside ours. Query, key and value are
one tensor. The stock class has biases everywhere; a model without query, key and value biases
writes zeros, and says so in a field of ours that stock readers pass over.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.family import Epsilon, Family, Fields, Layers, Probability, Size
from tezgah.models.mapping import Entry, Joined, Plain, Transposed, Zeros, head_entries
from tezgah.nn.config import StackConfig

ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu2": "relu2"}


class Conv1DFields(Fields, frozen=True, kw_only=True):
    """What the `config.json` of GPT and of GPT-2 have in common; `qkv_bias` is ours."""

    vocab_size: Size
    n_positions: Size
    n_embd: Size = 768
    n_layer: Layers = 12
    n_head: Size = 12
    resid_pdrop: Probability = 0.1
    embd_pdrop: Probability = 0.1
    attn_pdrop: Probability = 0.1
    layer_norm_epsilon: Epsilon = 1e-5
    tie_word_embeddings: bool = True
    qkv_bias: bool = True


class GPT2Fields(Conv1DFields, frozen=True, kw_only=True):
    """GPT-2's `config.json`."""

    vocab_size: Size = 50_257
    n_positions: Size = 1_024
    n_inner: Size | None = None
    activation_function: Literal["gelu_new", "gelu_pytorch_tanh", "gelu", "relu2"] = "gelu_new"


def stack_config(n_layers: int, width: int, n_heads: int, mlp_width: int, **other: Any) -> StackConfig:
    """GPT-2's block at a size; `other` are fields of StackConfig that differ from it."""
    usual: dict[str, Any] = {"norm": "layer", "norm_epsilon": 1e-5, "mlp": "gelu_tanh"}
    return StackConfig(
        n_layers=n_layers,
        width=width,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=width // n_heads,
        mlp_width=mlp_width,
        **(usual | other),
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


def conv1d_config(
    family: Literal["gpt2", "openai-gpt"], fields: Conv1DFields, mlp_width: int, **other: Any
) -> CausalConfig:
    """The configuration that fields state; `other` are fields of StackConfig."""
    if fields.n_embd % fields.n_head:
        raise ValueError(f"n_embd {fields.n_embd} that n_head {fields.n_head} does not divide")
    stack = stack_config(
        fields.n_layer,
        fields.n_embd,
        fields.n_head,
        mlp_width,
        norm_epsilon=fields.layer_norm_epsilon,
        qkv_bias=fields.qkv_bias,
        dropout=fields.resid_pdrop,
        attention_dropout=fields.attn_pdrop,
        **other,
    )
    return CausalConfig(
        family=family,
        vocab_size=fields.vocab_size,
        context_length=fields.n_positions,
        stack=stack,
        tied=fields.tie_word_embeddings,
        learned_positions=True,
        embedding_dropout=fields.embd_pdrop,
    )


def conv1d_fields(config: CausalConfig) -> dict[str, Any]:
    """What `config.json` says of a configuration, in either family."""
    stack = config.stack
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_embd": stack.width,
        "n_layer": stack.n_layers,
        "n_head": stack.n_heads,
        "resid_pdrop": stack.dropout,
        "embd_pdrop": config.embedding_dropout,
        "attn_pdrop": stack.attention_dropout,
        "layer_norm_epsilon": stack.norm_epsilon,
        "tie_word_embeddings": config.tied,
        "qkv_bias": stack.qkv_bias,
    }


def config_of(fields: GPT2Fields, architecture: str, tensors: Sequence[str]) -> CausalConfig:
    """The configuration that a `config.json` states."""
    mlp_width = fields.n_inner or 4 * fields.n_embd
    return conv1d_config("gpt2", fields, mlp_width, mlp=ACTIVATIONS[fields.activation_function])


def fields_of(config: CausalConfig) -> GPT2Fields:
    """What `config.json` says of a configuration."""
    names: dict[str, Any] = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    inside = {"n_inner": config.stack.mlp_width, "activation_function": names[config.stack.mlp]}
    return GPT2Fields(**conv1d_fields(config), **inside)


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter or parameters it holds."""
    entries: list[Entry] = [
        Plain("transformer.wte.weight", "embedding.weight"),
        Plain("transformer.wpe.weight", "positions.weight"),
        Plain("transformer.ln_f.weight", "stack.norm.weight"),
        Plain("transformer.ln_f.bias", "stack.norm.bias"),
        *conv1d_blocks(config),
    ]
    return entries + head_entries(config)


def conv1d_blocks(config: CausalConfig) -> list[Entry]:
    """The entries of GPT's and GPT-2's blocks."""
    entries: list[Entry] = []
    for layer in range(config.n_layers):
        theirs, ours = f"transformer.h.{layer}", f"stack.blocks.{layer}"
        for norm, name in (("ln_1", "attention_norm"), ("ln_2", "mlp_norm")):
            entries += [Plain(f"{theirs}.{norm}.{part}", f"{ours}.{name}.{part}") for part in ("weight", "bias")]
        parts = tuple(f"{ours}.attention.{part}" for part in ("query", "key", "value"))
        weights, biases = tuple(f"{part}.weight" for part in parts), tuple(f"{part}.bias" for part in parts)
        entries.append(Joined(f"{theirs}.attn.c_attn.weight", weights, True))
        bias = f"{theirs}.attn.c_attn.bias"
        entries.append(
            Joined(bias, biases, False) if config.stack.qkv_bias else Zeros(bias, weights, "qkv_bias = false")
        )
        for projection, name in (
            ("attn.c_proj", "attention.output"),
            ("mlp.c_fc", "mlp.up"),
            ("mlp.c_proj", "mlp.down"),
        ):
            entries.append(Transposed(f"{theirs}.{projection}.weight", f"{ours}.{name}.weight"))
            entries.append(Plain(f"{theirs}.{projection}.bias", f"{ours}.{name}.bias"))
    return entries


FAMILY = Family(
    model_type="gpt2",
    architectures=("GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification"),
    fields=GPT2Fields,
    computed={
        "add_cross_attention": (False,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "scale_attn_weights": (True,),
    },
    prefix="transformer.",
    headless="GPT2Model",
    surplus=(r"h\.\d+\.attn\.(bias|masked_bias)", r"lm_head\.weight"),
    build=CausalLM,
    initialize=initialize,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=lambda config: "GPT2ForSequenceClassification" if config.labels else "GPT2LMHeadModel",
    key_map=key_map,
)
