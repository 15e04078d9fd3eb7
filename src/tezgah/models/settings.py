"""The `[model]` table: a shape and its size."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tezgah.settings import PositiveInt, Settings, Share

Shape = Literal["qwen3", "llama", "gpt2", "openai-gpt"]

# Named sizes: (n_layers, width, n_heads). GPT-2's are Radford et al. 2019, table 2, GPT's is section 4.1 of 2018.
SIZES: dict[Shape, dict[str, tuple[int, int, int]]] = {
    "gpt2": {"small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "xl": (48, 1600, 25)},
    "openai-gpt": {"small": (12, 768, 12)},
    "llama": {"tiny": (4, 256, 4), "mini": (6, 384, 6), "small": (12, 768, 12), "medium": (24, 1024, 16)},
    "qwen3": {"tiny": (4, 256, 4), "mini": (6, 384, 6), "small": (12, 768, 12), "medium": (24, 1024, 16)},
}


class ModelSettings(Settings, frozen=True):
    """A named size, or its numbers; a number given beside a name replaces the name's. Or a model that is there."""

    from_: Annotated[
        str | None,
        Meta(description="go on with the model of a run, a checkpoint or a Hugging Face folder, its shape included"),
    ] = msgspec.field(default=None, name="from")
    shape: Annotated[
        Shape, Meta(description="qwen3 (RMSNorm, RoPE, QK-norm, SwiGLU), llama (no QK-norm), gpt2, or openai-gpt")
    ] = "qwen3"
    size: Annotated[
        str,
        Meta(
            description='"auto" (chosen from budget and machine), parameters as in "8M", or a name; empty: the numbers'
        ),
    ] = ""
    n_layers: Annotated[PositiveInt | None, Meta(description="blocks in the stack")] = None
    width: Annotated[PositiveInt | None, Meta(description="model dimension")] = None
    n_heads: Annotated[PositiveInt | None, Meta(description="query heads; default width / 64")] = None
    n_kv_heads: Annotated[
        PositiveInt | None, Meta(description="key and value heads (qwen3, llama); default n_heads")
    ] = None
    head_dim: Annotated[
        PositiveInt | None, Meta(description="width of a head (qwen3, llama); default width / n_heads")
    ] = None
    mlp_width: Annotated[
        PositiveInt | None,
        Meta(description="hidden width of the MLP; default 8/3 width (qwen3, llama), 4 width (the others)"),
    ] = None
    context_length: Annotated[
        PositiveInt | None, Meta(description="tokens the model sees at once; beside from, the folder's or fewer")
    ] = 512
    tied: Annotated[bool | None, Meta(description="input and output embeddings are one; default by shape")] = None
    qkv_bias: Annotated[bool, Meta(description="biases on query, key and value (gpt2, openai-gpt)")] = True
    dropout: Annotated[Share, Meta(description="dropout on embeddings, attention and residuals (gpt2, openai-gpt)")] = (
        0.0
    )
    rope_theta: Annotated[PositiveInt, Meta(description="base of the rotary frequencies (qwen3, llama)")] = 10_000
