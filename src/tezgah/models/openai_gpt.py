"""The first GPT (Radford et al. 2018): GPT-2's parts, with the norms after the sums and none at the end."""

from collections.abc import Sequence
from typing import Literal

from tezgah.models.causal import CausalLM
from tezgah.models.config import CausalConfig
from tezgah.models.family import Family, Size, initialize_normal
from tezgah.models.gpt2 import Conv1DFields, conv1d_blocks, conv1d_config, conv1d_fields
from tezgah.models.mapping import Entry, Plain, head_entries


class GPTFields(Conv1DFields, frozen=True, kw_only=True):
    """The first GPT's `config.json`. Its "gelu" is the tanh approximation all the same."""

    vocab_size: Size = 40_478
    n_positions: Size = 512
    afn: Literal["gelu"] = "gelu"


def config_of(fields: GPTFields, architecture: str, tensors: Sequence[str]) -> CausalConfig:
    """The configuration that a `config.json` states."""
    return conv1d_config("openai-gpt", fields, 4 * fields.n_embd, norm_first=False)


def fields_of(config: CausalConfig) -> GPTFields:
    """What `config.json` says of a configuration."""
    return GPTFields(**conv1d_fields(config))


def key_map(config: CausalConfig) -> list[Entry]:
    """Every tensor on disk and the parameter or parameters it holds."""
    entries: list[Entry] = [
        Plain("transformer.tokens_embed.weight", "embedding.weight"),
        Plain("transformer.positions_embed.weight", "positions.weight"),
        *conv1d_blocks(config),
    ]
    return entries + head_entries(config)


FAMILY = Family(
    model_type="openai-gpt",
    architectures=("OpenAIGPTLMHeadModel", "OpenAIGPTModel", "OpenAIGPTForSequenceClassification"),
    fields=GPTFields,
    computed={},
    prefix="transformer.",
    headless="OpenAIGPTModel",
    surplus=(r"h\.\d+\.attn\.bias", r"position_ids", r"lm_head\.weight"),
    build=CausalLM,
    initialize=initialize_normal,
    config_of=config_of,
    fields_of=fields_of,
    architecture_of=lambda config: "OpenAIGPTForSequenceClassification" if config.labels else "OpenAIGPTLMHeadModel",
    key_map=key_map,
)
