"""The families this version knows, by the name that a recipe and a `config.json` give them."""

from tezgah.models import bert, gpt2, llama, modernbert, openai_gpt, qwen3
from tezgah.models.family import Family

FAMILIES: dict[str, Family] = {
    module.FAMILY.model_type: module.FAMILY for module in (openai_gpt, gpt2, llama, qwen3, bert, modernbert)
}
