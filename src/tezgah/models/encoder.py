"""An encoder: embeddings, a stack that looks both ways, and a head (Devlin et al. 2019, "BERT")."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.models.causal import embedded
from tezgah.models.config import EncoderConfig
from tezgah.nn.cross_entropy import IGNORED, Scored, SoftmaxSlope, cross_entropy_sum
from tezgah.nn.embedding import build_embedding
from tezgah.nn.linear import linear
from tezgah.nn.masks import packed_documents, text_positions
from tezgah.nn.mlp import ACTIVATIONS
from tezgah.nn.norms import build_norm
from tezgah.nn.precision import widened
from tezgah.nn.stack import Stack
from tezgah.nn.trace import Trace


class Encoder(nn.Module):
    """Any encoder family; what differs between them is in `config`."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = build_embedding(config.vocab_size, config.width)
        self.positions = build_embedding(config.context_length, config.width) if config.learned_positions else None
        self.token_types = build_embedding(config.n_token_types, config.width) if config.n_token_types else None
        self.embedding_norm = build_norm(config.stack)
        self.stack = Stack(config.stack, config.context_length)
        has_pooler = config.head in ("pooler", "classification")
        self.pooler = _build_pooler(config) if has_pooler else None
        self.classifier = nn.Linear(config.width, len(config.labels)) if config.head == "classification" else None
        self.masked_head = MaskedHead(config) if config.head == "masked_lm" else None
        self.softmax_slope = SoftmaxSlope()

    def forward(
        self,
        ids: Tensor | None,
        attention_mask: Tensor | None = None,
        token_types: Tensor | None = None,
        *,
        embeddings: Tensor | None = None,
        positions: Tensor | None = None,
        head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """What the head says of `ids`, (batch, time).

        Scores of every id, (batch, time, vocab), or of every label, (batch, labels), in the products' precision;
        without either head the hidden states, (batch, time, width). `attention_mask`, `embeddings`, `positions`,
        `head_mask` and `trace` as in `CausalLM.forward`; `token_types`, (batch, time), are 0 where not given. Raises
        TypeError where they are given to a model that has none.
        """
        hidden = self.hidden(
            ids,
            attention_mask,
            token_types,
            embeddings=embeddings,
            positions=positions,
            head_mask=head_mask,
            trace=trace,
        )
        if self.masked_head is not None:
            return F.linear(self.masked_head(hidden), self.head_weight(), self.masked_head.bias)
        if self.classifier is not None:
            pooled = F.dropout(self.pooled(hidden, attention_mask), self.config.head_dropout, self.training)
            return linear(pooled, self.classifier)
        return hidden

    def hidden(
        self,
        ids: Tensor | None,
        attention_mask: Tensor | None = None,
        token_types: Tensor | None = None,
        *,
        embeddings: Tensor | None = None,
        positions: Tensor | None = None,
        head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """What the stack gives, (batch, time, width)."""
        x = embedded(self.embedding, ids, embeddings)  # (batch, time, width)
        time = x.shape[1]
        if time > self.config.context_length:
            raise ValueError(f"{time} tokens exceed context_length {self.config.context_length}")
        if positions is None and attention_mask is not None and attention_mask.ndim == 2:
            positions = text_positions(attention_mask)
        if self.positions is not None:
            x = x + (self.positions.weight[:time] if positions is None else self.positions(positions))
        if self.token_types is not None:
            x = x + (self.token_types.weight[0] if token_types is None else self.token_types(token_types))
        elif token_types is not None:
            raise TypeError(f"a {self.config.family} takes no token_types")
        x = F.dropout(widened(self.embedding_norm(x)), self.config.embedding_dropout, self.training)
        return self.stack(x, attention_mask, positions, None, head_mask, trace)  # type: ignore[no-any-return]

    def pooled(self, hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """A vector for each text, (batch, time, width) → (batch, width), from its first state or the mean of all.

        What is padding by a mask, (batch, time), is neither. Raises TypeError for a model without a pooler.
        """
        if self.pooler is None:
            raise TypeError("this model has no pooler")
        seen = attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
        state = _mean(hidden, seen) if self.config.pooling == "mean" else _first(hidden, seen)
        if isinstance(self.pooler, Transform):
            return self.pooler(state)  # type: ignore[no-any-return]
        return torch.tanh(linear(state, self.pooler))

    def loss(
        self, ids: Tensor, targets: Tensor, separator_id: int | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Sum of the cross-entropies, in nats: that of `scored`."""
        return self.scored(ids, targets, separator_id, attention_mask).loss

    def scored(
        self, ids: Tensor, targets: Tensor, separator_id: int | None = None, attention_mask: Tensor | None = None
    ) -> Scored:
        """Summed cross-entropy of `targets`, in nats, and hits among them; both (batch, time), −100 is not counted.

        With a `separator_id` every document is read by itself, as in `CausalLM.loss`; without, all tokens of a row look
        at one another. `attention_mask`, (batch, time), is 0 at padding. Scores are computed where there is a target
        only: of the usual 15 positions in a hundred.
        """
        if self.masked_head is None:
            raise TypeError("this model has no masked-LM head")
        positions = None
        if separator_id is not None:
            pattern, positions = packed_documents((ids == separator_id).cumsum(-1))
            attention_mask = pattern if attention_mask is None else pattern & attention_mask.bool()[:, None, :]
        hidden = self.hidden(ids, attention_mask, positions=positions)
        places = self._places(targets)  # (predicted,)
        rows = self.masked_head(hidden.flatten(0, 1)[places])  # (predicted, width)
        answers = targets.flatten()[places]
        return cross_entropy_sum(
            rows[None], self.head_weight(), answers[None], self.softmax_slope, self.masked_head.bias
        )

    def _places(self, targets: Tensor) -> Tensor:
        """Where there are targets, and some more, so that compiled code sees few shapes."""
        flat = targets.flatten()
        step = max(1, len(flat) // 16)
        wanted = min(len(flat), -(-max(1, int((flat != IGNORED).sum())) // step) * step)
        return torch.argsort(flat == IGNORED, stable=True)[:wanted]

    def head_weight(self) -> Tensor:
        """The masked-LM head's matrix, (vocab, width)."""
        assert self.masked_head is not None
        return self.embedding.weight if self.masked_head.scores is None else self.masked_head.scores.weight

    def compiled_parts(self) -> Iterator[nn.Module]:
        """The modules worth compiling one by one, as `CausalLM.compiled_parts`."""
        yield from self.stack.blocks
        yield self.softmax_slope


class Transform(nn.Module):
    """What stands before the scores of ids, in BERT, and of labels too, in ModernBERT: a layer and a norm."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.stack.mlp]
        self.layer = nn.Linear(config.width, config.width, bias=config.head_bias)
        self.norm = build_norm(config.stack)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `hidden`, (..., width), to what is scored, the same shape."""
        return self.norm(self.activation(linear(hidden, self.layer)))  # type: ignore[no-any-return]


class MaskedHead(Transform):
    """BERT's masked-LM head (Devlin et al. 2019): what stands before the scores, their bias, and their matrix."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.scores_bias else None
        self.scores = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)


def _build_pooler(config: EncoderConfig) -> nn.Linear | Transform:
    return nn.Linear(config.width, config.width) if config.pooling == "tanh" else Transform(config)


def _first(hidden: Tensor, seen: Tensor | None) -> Tensor:
    """The state of each row's first token, (batch, width)."""
    if seen is None:
        return hidden[:, 0]
    return hidden[torch.arange(len(hidden), device=hidden.device), seen.long().argmax(-1)]


def _mean(hidden: Tensor, seen: Tensor | None) -> Tensor:
    """The mean of each row's states, (batch, width)."""
    states = widened(hidden)
    if seen is None:
        return states.mean(1).to(hidden.dtype)
    counted = seen.to(states.dtype)[..., None]  # (batch, time, 1)
    return ((states * counted).sum(1) / counted.sum(1).clamp_min(1)).to(hidden.dtype)
