"""What a causal language model is, in one frozen record."""

from dataclasses import dataclass
from typing import Literal

from tezgah.nn.config import StackConfig


@dataclass(frozen=True)
class CausalConfig:
    """A stack between an embedding of `vocab_size` ids and a head over them.

    `learned_positions` adds an embedding of the position; otherwise positions are the stack's
    affair. `tied` makes the head's matrix the embedding's.
    """

    family: Literal["qwen3", "gpt2"]
    vocab_size: int
    context_length: int
    stack: StackConfig
    tied: bool
    learned_positions: bool

    @property
    def width(self) -> int:
        """Features of the residual stream."""
        return self.stack.width

    @property
    def n_layers(self) -> int:
        """Blocks in the stack."""
        return self.stack.n_layers
