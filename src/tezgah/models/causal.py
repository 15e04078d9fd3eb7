"""A causal language model: token embedding, the stack, a head that scores the next token."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.models.config import CausalConfig
from tezgah.nn.cache import KVCache
from tezgah.nn.cross_entropy import Scored, SoftmaxSlope, cross_entropy_sum
from tezgah.nn.embedding import build_embedding
from tezgah.nn.linear import linear
from tezgah.nn.masks import packed_documents, text_positions
from tezgah.nn.precision import widened
from tezgah.nn.stack import Stack
from tezgah.nn.trace import Trace


class CausalLM(nn.Module):
    """Any causal family; what differs between them is in `config`."""

    def __init__(self, config: CausalConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = build_embedding(config.vocab_size, config.width)
        self.positions = build_embedding(config.context_length, config.width) if config.learned_positions else None
        self.stack = Stack(config.stack, config.context_length)
        self.classifier = nn.Linear(config.width, len(config.labels), bias=False) if config.labels else None
        has_own = not config.tied and not config.labels
        self.head = nn.Linear(config.width, config.vocab_size, bias=False) if has_own else None
        self.softmax_slope = SoftmaxSlope()

    def forward(
        self,
        ids: Tensor | None,
        attention_mask: Tensor | None = None,
        token_types: Tensor | None = None,
        *,
        embeddings: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Logits of the token after each of `ids`, (batch, time) → (batch, time, vocab), in the products' precision.

        Of a classification it is the scores of every label, (batch, labels), by the last token that is no padding.
        `attention_mask` is 0 at padding, (batch, keys), on either side, or where a query may not look,
        (batch, time, keys); cached positions included. `positions`, (batch, time), are counted from each row's first
        token where not given. With a `cache`, `ids` follow what it holds and are added to it.
        `embeddings`, (batch, time, width), stand in place of ids. `head_mask` is (heads,) or (layers, heads);
        `trace` is filled with what happens inside. Causal families have no `token_types`.
        """
        if token_types is not None:
            raise TypeError("a causal model takes no token_types")
        hidden = self.hidden(
            ids,
            attention_mask,
            embeddings=embeddings,
            positions=positions,
            cache=cache,
            head_mask=head_mask,
            trace=trace,
        )
        if self.classifier is not None:
            return linear(last_states(hidden, attention_mask), self.classifier)
        return F.linear(hidden, self.head_weight())

    def next_logits(self, ids: Tensor, cache: KVCache, counts: Tensor | None = None) -> Tensor:
        """Logits of what follows the last of `ids` alone, (batch, vocab), float32 at least; `cache` as in `forward`.

        With `counts`, (batch,), on the CPU, only so many ids of each row are text, and the rest is padding behind
        them, which nothing before it sees and the cache forgets.
        """
        hidden = self.hidden(ids, cache=cache)  # (batch, time, width)
        if counts is None:
            return widened(F.linear(hidden[:, -1], self.head_weight()))
        cache.lengths += counts - ids.shape[1]
        rows = torch.arange(len(ids), device=hidden.device)
        return widened(F.linear(hidden[rows, (counts - 1).to(hidden.device)], self.head_weight()))

    def hidden(
        self,
        ids: Tensor | None,
        attention_mask: Tensor | None = None,
        *,
        embeddings: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """What the stack gives, (batch, time, width); the rest as in `forward`."""
        start = cache.length if cache is not None else 0
        x = embedded(self.embedding, ids, embeddings)  # (batch, time, width)
        end = start + x.shape[1]
        if end > self.config.context_length:
            raise ValueError(f"{end} tokens exceed context_length {self.config.context_length}")
        if positions is None and attention_mask is not None and attention_mask.ndim == 2:
            positions = text_positions(attention_mask)[:, start:]
        if positions is None and cache is not None and cache.is_ragged:
            positions = cache.positions(x.shape[1]).to(x.device)  # (batch, time)
        if self.positions is not None:
            x = x + (self.positions.weight[start:end] if positions is None else self.positions(positions))
        x = F.dropout(x, self.config.embedding_dropout, self.training)
        return self.stack(x, attention_mask, positions, cache, head_mask, trace)  # type: ignore[no-any-return]

    def loss(self, ids: Tensor, targets: Tensor, separator_id: int | None = None) -> Tensor:
        """Sum of the cross-entropies, in nats: that of `scored`."""
        return self.scored(ids, targets, separator_id).loss

    def scored(self, ids: Tensor, targets: Tensor, separator_id: int | None = None) -> Scored:
        """Summed cross-entropy of `targets`, in nats, and hits among them; both (batch, time), −100 is not counted.

        With a `separator_id` every document is read by itself, as if it stood alone: it begins with its separator,
        looks at no other document, and its positions are counted from there.
        """
        if separator_id is None:
            hidden = self.hidden(ids)
        else:
            pattern, positions = packed_documents((ids == separator_id).cumsum(-1))
            hidden = self.hidden(ids, pattern, positions=positions)
        return cross_entropy_sum(hidden, self.head_weight(), targets, self.softmax_slope)

    def head_weight(self) -> Tensor:
        """The head's matrix, (vocab, width). Of a classification nothing scores ids."""
        return self.embedding.weight if self.head is None else self.head.weight

    def new_cache(self, batch: int, length: int) -> KVCache:
        """An empty key-value cache for `batch` rows of `length` positions, in the parameters' precision."""
        weight = self.embedding.weight
        dtype = weight.dtype
        if torch.is_autocast_enabled(weight.device.type):
            dtype = torch.get_autocast_dtype(weight.device.type)
        return KVCache.empty(self.config.stack, batch, length, weight.device, dtype)

    def compiled_parts(self) -> Iterator[nn.Module]:
        """The modules worth compiling one by one: every block (one compilation serves all) and the loss.

        The embedding's lookup stays outside: inside, its gradient made compiled training differ
        from run to run.
        """
        yield from self.stack.blocks
        yield self.softmax_slope


def last_states(hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The states of each row's last token, (batch, time, width) → (batch, width).

    That is the last one that is no padding where a mask, (batch, time), is given.

    >>> last_states(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[1, 1, 0]])).tolist()
    [[2.0]]
    """
    if attention_mask is None or attention_mask.ndim != 2:
        return hidden[:, -1]
    places = torch.arange(hidden.shape[1], device=hidden.device)
    return hidden[torch.arange(len(hidden), device=hidden.device), (places * attention_mask).argmax(-1)]


def embedded(table: nn.Embedding, ids: Tensor | None, embeddings: Tensor | None) -> Tensor:
    """The vectors of `ids`, (batch, time, width), or the `embeddings` given in their place, in float32 at least."""
    if (ids is None) == (embeddings is None):
        raise TypeError("give either ids or embeddings")
    return widened(table(ids) if embeddings is None else embeddings)
