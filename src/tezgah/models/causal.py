"""A causal language model: token embedding, the stack, a head that scores the next token."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.models.config import CausalConfig
from tezgah.nn.cache import KVCache
from tezgah.nn.cross_entropy import SoftmaxSlope, cross_entropy_sum
from tezgah.nn.precision import widened
from tezgah.nn.stack import Stack


class CausalLM(nn.Module):
    """Any causal family; what differs between them is in `config`."""

    def __init__(self, config: CausalConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.context_length, config.width) if config.learned_positions else None
        self.stack = Stack(config.stack, config.context_length)
        self.head = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)
        self.softmax_slope = SoftmaxSlope()

    def forward(
        self,
        ids: Tensor,
        attention_mask: Tensor | None = None,
        token_types: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Logits of the token after each of `ids`, (batch, time) → (batch, time, vocab), float32.

        `attention_mask`, (batch, keys), is 0 at padding, cached positions included; positions are
        counted from the row's start all the same. With a `cache`, `ids` follow what it holds and
        are added to it. Causal families have no `token_types`.
        """
        if token_types is not None:
            raise TypeError("a causal model takes no token_types")
        hidden = self.hidden(ids, attention_mask, cache)
        return widened(F.linear(hidden, self.head_weight()))

    def next_logits(self, ids: Tensor, cache: KVCache) -> Tensor:
        """Logits of what follows the last of `ids` alone, (batch, vocab), float32; `cache` as in `forward`."""
        return F.linear(self.hidden(ids, cache=cache)[:, -1], self.head_weight()).float()

    def hidden(self, ids: Tensor, attention_mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """The last norm's output, (batch, time, width)."""
        start = cache.length if cache is not None else 0
        if start + ids.shape[1] > self.config.context_length:
            raise ValueError(f"{start + ids.shape[1]} tokens exceed context_length {self.config.context_length}")
        x = widened(self.embedding(ids))  # (batch, time, width)
        if self.positions is not None:
            x = x + self.positions.weight[start : start + ids.shape[1]]
        x = F.dropout(x, self.config.stack.dropout, self.training)
        return self.stack(x, attention_mask, cache)  # type: ignore[no-any-return]

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Sum of the cross-entropies of `targets`, in nats; both (batch, time), −100 is not counted."""
        return cross_entropy_sum(self.hidden(ids), self.head_weight(), targets, self.softmax_slope)

    def head_weight(self) -> Tensor:
        """The head's matrix, (vocab, width)."""
        return self.embedding.weight if self.head is None else self.head.weight

    def new_cache(self, batch: int, length: int) -> KVCache:
        """An empty key-value cache for `batch` rows of `length` positions, in the parameters' precision."""
        weight = self.embedding.weight
        dtype = weight.dtype
        if torch.is_autocast_enabled(weight.device.type):
            dtype = torch.get_autocast_dtype(weight.device.type)
        return KVCache(self.config.stack, batch, length, weight.device, dtype)

    def compiled_parts(self) -> Iterator[nn.Module]:
        """The modules worth compiling one by one: every block (one compilation serves all) and the loss.

        The embedding's lookup stays outside: inside, its gradient made compiled training differ
        from run to run.
        """
        yield from self.stack.blocks
        yield self.softmax_slope
