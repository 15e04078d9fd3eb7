"""An encoder: embeddings, a stack that looks both ways, and a head (Devlin et al. 2019, "BERT")."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.models.causal import embedded
from tezgah.models.config import EncoderConfig
from tezgah.nn.cross_entropy import IGNORED, Scored, SoftmaxSlope, cross_entropy_sum
from tezgah.nn.linear import linear
from tezgah.nn.masks import text_positions
from tezgah.nn.mlp import ACTIVATIONS
from tezgah.nn.norms import build_norm
from tezgah.nn.stack import Stack
from tezgah.nn.trace import Trace


class Encoder(nn.Module):
    """Any encoder family; what differs between them is in `config`."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.context_length, config.width)
        self.token_types = nn.Embedding(config.n_token_types, config.width)
        self.embedding_norm = build_norm(config.stack)
        self.stack = Stack(config.stack, config.context_length)
        has_pooler = config.head in ("pooler", "classification")
        self.pooler = nn.Linear(config.width, config.width) if has_pooler else None
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
        `head_mask` and `trace` as in `CausalLM.forward`; `token_types`, (batch, time), are 0 where not given.
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
        x = x + (self.positions.weight[:time] if positions is None else self.positions(positions))
        x = x + (self.token_types.weight[0] if token_types is None else self.token_types(token_types))
        x = F.dropout(self.embedding_norm(x), self.config.embedding_dropout, self.training)
        return self.stack(x, attention_mask, positions, None, head_mask, trace)  # type: ignore[no-any-return]

    def pooled(self, hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """A vector for each text from the state of its first token, (batch, time, width) → (batch, width).

        That is the first one that is no padding where a mask, (batch, time), is given. Raises TypeError for a model
        without a pooler.
        """
        if self.pooler is None:
            raise TypeError("this model has no pooler")
        first = hidden[:, 0]
        if attention_mask is not None and attention_mask.ndim == 2:
            first = hidden[torch.arange(len(hidden), device=hidden.device), attention_mask.long().argmax(-1)]
        return torch.tanh(linear(first, self.pooler))

    def loss(self, ids: Tensor, targets: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Sum of the cross-entropies, in nats: that of `scored`."""
        return self.scored(ids, targets, attention_mask).loss

    def scored(self, ids: Tensor, targets: Tensor, attention_mask: Tensor | None = None) -> Scored:
        """Summed cross-entropy of `targets`, in nats, and hits among them; both (batch, time), −100 is not counted.

        Scores are computed where there is a target only: of the usual 15 positions in a hundred.
        """
        if self.masked_head is None:
            raise TypeError("this model has no masked-LM head")
        hidden = self.hidden(ids, attention_mask)
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


class MaskedHead(nn.Module):
    """BERT's masked-LM head up to its matrix: a layer, a norm; and the scores' bias (Devlin et al. 2019)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.stack.mlp]
        self.layer = nn.Linear(config.width, config.width)
        self.norm = build_norm(config.stack)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.scores = None if config.tied else nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `hidden`, (..., width), to what the matrix scores, the same shape."""
        return self.norm(self.activation(linear(hidden, self.layer)))  # type: ignore[no-any-return]
