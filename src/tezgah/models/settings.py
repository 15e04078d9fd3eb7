"""The `[model]` table: what is learned, a shape and its size."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tezgah.errors import InputError
from tezgah.settings import PositiveInt, Settings, Share

Shape = Literal["qwen3", "llama", "gpt2", "openai-gpt", "modernbert", "bert"]
Objective = Literal["causal", "mlm"]

# The shapes that can learn each objective; the first one does where none is stated.
SHAPES: dict[Objective, tuple[Shape, ...]] = {
    "causal": ("qwen3", "llama", "gpt2", "openai-gpt"),
    "mlm": ("modernbert", "bert"),
}
# Named sizes: (n_layers, width, n_heads). GPT-2's are Radford et al. 2019, table 2, GPT's is section 4.1 of 2018.
# BERT's base and large are Devlin et al. 2019, the smaller ones Turc et al. 2019; ModernBERT's base and large are
# Warner et al. 2024.
SIZES: dict[Shape, dict[str, tuple[int, int, int]]] = {
    "gpt2": {"small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "xl": (48, 1600, 25)},
    "openai-gpt": {"small": (12, 768, 12)},
    "llama": {"tiny": (4, 256, 4), "mini": (6, 384, 6), "small": (12, 768, 12), "medium": (24, 1024, 16)},
    "qwen3": {"tiny": (4, 256, 4), "mini": (6, 384, 6), "small": (12, 768, 12), "medium": (24, 1024, 16)},
    "modernbert": {"tiny": (4, 256, 4), "mini": (6, 384, 6), "base": (22, 768, 12), "large": (28, 1024, 16)},
    "bert": {
        "tiny": (2, 128, 2),
        "mini": (4, 256, 4),
        "small": (4, 512, 8),
        "medium": (8, 512, 8),
        "base": (12, 768, 12),
        "large": (24, 1024, 16),
    },
}
# Where a named size has another MLP than its shape's usual one: (shape, size, width) → mlp_width.
MLP_WIDTHS: dict[tuple[Shape, str, int], int] = {("modernbert", "large", 1024): 2_624}


class ModelSettings(Settings, frozen=True):
    """A named size, or its numbers; a number given beside a name replaces the name's. Or a model that is there."""

    from_: Annotated[
        str | None,
        Meta(description="go on with the model of a run, a checkpoint or a Hugging Face folder, its shape included"),
    ] = msgspec.field(default=None, name="from")
    objective: Annotated[
        Objective, Meta(description='"causal": the next token, or "mlm": masked tokens, from both sides')
    ] = "causal"
    shape: Annotated[
        Shape | None,
        Meta(
            description="causal: qwen3 (RMSNorm, RoPE, QK-norm, SwiGLU; the default), llama (no QK-norm), gpt2 or "
            "openai-gpt; mlm: modernbert (RoPE, GeGLU, local layers; the default) or bert"
        ),
    ] = None
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
        Meta(
            description="hidden width of the MLP; default 8/3 width (qwen3, llama), 3/2 width (modernbert), "
            "4 width (the others)"
        ),
    ] = None
    context_length: Annotated[
        PositiveInt | None, Meta(description="tokens the model sees at once; beside from, the folder's or fewer")
    ] = 512
    tied: Annotated[bool | None, Meta(description="input and output embeddings are one; default by shape")] = None
    qkv_bias: Annotated[bool, Meta(description="biases on query, key and value (gpt2, openai-gpt)")] = True
    dropout: Annotated[Share, Meta(description="dropout on embeddings, attention and residuals (not qwen3, llama)")] = (
        0.0
    )
    rope_theta: Annotated[
        PositiveInt, Meta(description="base of the rotary frequencies (qwen3, llama, modernbert's global layers)")
    ] = 10_000


def shape_of(objective: Objective, shape: Shape | None) -> Shape:
    """The shape that learns an objective: the one stated, or the usual one. Raises InputError where it cannot.

    >>> shape_of("mlm", None), shape_of("causal", "gpt2")
    ('modernbert', 'gpt2')
    """
    able = SHAPES[objective]
    if shape is not None and shape not in able:
        raise InputError(
            f'[model] shape "{shape}" cannot learn objective "{objective}". Choose {" or ".join(able)}, '
            f'or set objective = "{next(each for each in SHAPES if shape in SHAPES[each])}".'
        )
    return shape or able[0]
