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
class StackConfig:
    """Sizes and parts of a stack. Widths are in features; `dropout` and `attention_dropout` are probabilities.

    `norm_first` normalizes what goes into attention and MLP, and the stack's output once more (GPT-2, Llama);
    otherwise the sum of each with its input is normalized (the first GPT, BERT). `causal` lets a
    position look at itself and what is before it only. `rope` is None where positions are not rotary. `qk_norm`
    normalizes every head's query and key. `mlp` names the activation: "swiglu" is gated (Shazeer 2020), "gelu"
    is exact, "gelu_tanh" the approximation GPT-2 was trained with, "relu2" is ReLU squared (So et al. 2021).
    """

    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    mlp_width: int
    norm: Literal["rms", "layer"]
    norm_epsilon: float
    mlp: Literal["swiglu", "gelu", "gelu_tanh", "relu2"]
    rope: Rope | None = None
    qk_norm: bool = False
    qkv_bias: bool = True
    output_bias: bool = True
    mlp_bias: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0
    norm_first: bool = True
    causal: bool = True

    def __post_init__(self) -> None:
        assert self.n_heads % self.n_kv_heads == 0, "query heads share key-value heads evenly"
