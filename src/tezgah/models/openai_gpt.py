"""The first GPT (Radford et al. 2018): GPT-2's parts, with the norms after the sums and none at the end."""

from collections.abc import Sequence
from typing import Literal

from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.family import Epsilon, Family, Fields, Layers, Probability, Size, initialize_normal
from tezgah.models.gpt2 import conv1d_blocks, stack_config
from tezgah.models.mapping import Entry, Plain


class GPTFields(Fields, frozen=True, kw_only=True):
    """The first GPT's `config.json`. Its "gelu" is the tanh approximation all the same; `qkv_bias` is ours."""

    vocab_size: Size = 40_478
    n_positions: Size = 512
    n_embd: Size = 768
    n_layer: Layers = 12
    n_head: Size = 12
    afn: Literal["gelu"] = "gelu"
    resid_pdrop: Probability = 0.1
    embd_pdrop: Probability = 0.1
    attn_pdrop: Probability = 0.1
    layer_norm_epsilon: Epsilon = 1e-5
    tie_word_embeddings: bool = True
    qkv_bias: bool = True


def config_of(fields: GPTFields, architecture: str, tensors: Sequence[str]) -> CausalConfig:
    """The configuration that a `config.json` states."""
    if fields.n_embd % fields.n_head:
        raise ValueError(f"n_embd {fields.n_embd} that n_head {fields.n_head} does not divide")
    stack = stack_config(
        fields.n_layer,
        fields.n_embd,
        fields.n_head,
        4 * fields.n_embd,
        norm_epsilon=fields.layer_norm_epsilon,
        qkv_bias=fields.qkv_bias,
        dropout=fields.resid_pdrop,
        attention_dropout=fields.attn_pdrop,
        norm_first=False,
    )
    return CausalConfig(
        family="openai-gpt",
        vocab_size=fields.vocab_size,
        context_length=fields.n_positions,
        stack=stack,
        tied=fields.tie_word_embeddings,
        learned_positions=True,
        embedding_dropout=fields.embd_pdrop,
    )


def fields_of(config: CausalConfig) -> GPTFields:
    """What `config.json` says of a configuration."""
    stack = config.stack
    return GPTFields(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=stack.width,
        n_layer=stack.n_layers,
        n_head=stack.n_heads,
        resid_pdrop=stack.dropout,
        embd_pdrop=config.embedding_dropout,
        attn_pdrop=stack.attention_dropout,
        layer_norm_epsilon=stack.norm_epsilon,
        tie_word_embeddings=config.tied,
        qkv_bias=stack.qkv_bias,
    )


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter or parameters it holds."""
    entries: list[Entry] = [
        Plain("transformer.tokens_embed.weight", "embedding.weight"),
        Plain("transformer.positions_embed.weight", "positions.weight"),
        *conv1d_blocks(config),
    ]
    return entries if config.tied else [*entries, Plain("lm_head.weight", "head.weight")]


FAMILY = Family(
    model_type="openai-gpt",
    architectures=("OpenAIGPTLMHeadModel", "OpenAIGPTModel"),
    fields=GPTFields,
    computed={},
    prefix="transformer.",
    headless="OpenAIGPTModel",
    surplus=(r"h\.\d+\.attn\.bias", r"position_ids", r"lm_head\.weight"),
    build=CausalLM,
    initialize=initialize_normal,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=lambda config: "OpenAIGPTLMHeadModel",
    key_map=key_map,
)
