"""What a stack of blocks is made of: frozen records, read by every module of this room."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rope:
    """Rotary positions: their base, and how their angles are scaled for texts longer than the first ones.

    `scaling` is one of `positions.SCALINGS`; the numbers after it belong to one or two of them each.
    `original_length` is the context length before scaling.
    """

    theta: float
    scaling: Literal["none", "linear", "dynamic", "llama3", "yarn"] = "none"
    factor: float = 1.0
    original_length: int = 0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0


@dataclass(frozen=True)
class Local:
    """Blocks that see what is near: of `layers`, counted from 0, a query looks at most `reach` positions to each side.

    Their queries and keys are turned by a `rope` of their own, which needs to tell fewer positions apart.
    """

    layers: tuple[int, ...]
    reach: int
    rope: Rope


@dataclass(frozen=True)
class StackConfig:
    """Sizes and parts of a stack. Widths are in features; `dropout` and `attention_dropout` are probabilities.

    `norm_first` normalizes what goes into attention and MLP, and the stack's output once more (GPT-2, Llama);
    otherwise the sum of each with its input is normalized (the first GPT, BERT). `causal` lets a
    position look at itself and what is before it only. `rope` is None where positions are not rotary. `qk_norm`
    normalizes every head's query and key. `mlp` names the activation: "swiglu" and "geglu" are gated (Shazeer 2020),
    "gelu" is exact, "gelu_tanh" the approximation GPT-2 was trained with, "relu2" is ReLU squared (So et al. 2021).
    `norm_bias` is of a layer norm. Without `first_norm` the first block's attention takes its input as it comes,
    normalized before. `local` are blocks with a window, of a stack that looks both ways. `mlp_dropout`, where given,
    is inside the MLP, before its last product, and takes the place of `dropout` on what it gives.
    """

    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    mlp_width: int
    norm: Literal["rms", "layer"]
    norm_epsilon: float
    mlp: Literal["swiglu", "geglu", "gelu", "gelu_tanh", "relu2"]
    rope: Rope | None = None
    qk_norm: bool = False
    qkv_bias: bool = True
    output_bias: bool = True
    mlp_bias: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    norm_first: bool = True
    causal: bool = True
    norm_bias: bool = True
    first_norm: bool = True
    local: Local | None = None
    mlp_dropout: float | None = None

    def __post_init__(self) -> None:
        assert self.n_heads % self.n_kv_heads == 0, "query heads share key-value heads evenly"
        assert self.local is None or not self.causal, "windows are of stacks that look both ways"

    @property
    def gated(self) -> bool:
        """Whether the MLP has a third matrix, whose activation multiplies what the second one gives."""
        return self.mlp in ("swiglu", "geglu")
