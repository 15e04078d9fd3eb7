"""What a stack of blocks is made of: one frozen record, read by every module of this room."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class StackConfig:
    """Sizes and parts of a stack. Widths are in features; `dropout` is a probability.

    `rope_theta` is None where positions are not rotary. `qk_norm` normalizes every head's query
    and key. `mlp` names the activation: "swiglu" is gated (Shazeer 2020), "gelu" is the tanh
    approximation GPT-2 was trained with.
    """

    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    mlp_width: int
    norm: Literal["rms", "layer"]
    norm_epsilon: float
    mlp: Literal["swiglu", "gelu"]
    rope_theta: float | None
    qk_norm: bool
    qkv_bias: bool
    linear_bias: bool
    dropout: float = 0.0

    def __post_init__(self) -> None:
        assert self.n_heads % self.n_kv_heads == 0, "query heads share key-value heads evenly"
