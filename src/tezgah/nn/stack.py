"""All blocks of a transformer, and the norm at their end."""

import torch
from torch import Tensor, nn

from tezgah.nn.attention import LONGEST_EXPLICIT
from tezgah.nn.block import Block
from tezgah.nn.cache import KVCache
from tezgah.nn.config import StackConfig
from tezgah.nn.norms import build_norm
from tezgah.nn.positions import rotary_table


class Stack(nn.Module):
    """Blocks one after another; positions up to `context_length`."""

    def __init__(self, config: StackConfig, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = build_norm(config)
        self.future: Tensor
        self.register_buffer("future", _future(min(context_length, LONGEST_EXPLICIT)), persistent=False)
        if config.rope_theta is not None:
            cos, sin = rotary_table(config.head_dim, context_length, config.rope_theta)
            self.cos: Tensor
            self.sin: Tensor
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor, padding: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """Map embeddings `x`, (batch, time, width), to normalized hidden states of the same shape.

        `padding`, (batch, keys), is true where there is a token, cached ones included.
        """
        start = cache.length if cache is not None else 0
        time = x.shape[1]
        rotary = None
        if self.config.rope_theta is not None:
            rotary = self.cos[start : start + time], self.sin[start : start + time]
        future = self.future[:time, :time]
        mask = _mask(start, time, padding, x.device)
        for block in self.blocks:
            x = block(x, future, rotary, mask, cache)
        if cache is not None:
            cache.advance(time)
        return self.norm(x)  # type: ignore[no-any-return]


def _future(time: int) -> Tensor:
    """−∞ where a key comes after its query, 0 elsewhere, (time, time)."""
    return torch.full((time, time), float("-inf")).triu(1)


def _mask(start: int, time: int, padding: Tensor | None, device: torch.device) -> Tensor | None:
    """Where each of `time` queries after `start` cached positions may look, (batch or 1, 1, time, keys)."""
    if start == 0 and padding is None:
        return None
    causal = torch.ones(time, start + time, dtype=torch.bool, device=device).tril(start)  # (time, keys)
    if padding is None:
        return causal[None, None]
    # A query in the padding sees itself, so that its softmax has a term; nobody reads its output.
    itself = torch.eye(time, dtype=torch.bool, device=device)
    itself = torch.cat((torch.zeros(time, start, dtype=torch.bool, device=device), itself), 1)
    return (causal & padding[:, None, :].bool() | itself)[:, None]
