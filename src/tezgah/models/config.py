"""What a model is, in one frozen record: a causal one, or an encoder that sees both sides."""

from dataclasses import dataclass
from typing import Literal

from tezgah.nn.config import StackConfig

CausalFamily = Literal["openai-gpt", "gpt2", "llama", "qwen3"]
EncoderFamily = Literal["bert", "modernbert"]
Head = Literal["none", "pooler", "masked_lm", "classification"]
Pooling = Literal["tanh", "first", "mean"]


@dataclass(frozen=True)
class _AroundStack:
    """What every model has: ids up to `vocab_size`, positions up to `context_length`, a stack."""

    family: str
    vocab_size: int
    context_length: int
    stack: StackConfig

    @property
    def width(self) -> int:
        """Features of the residual stream."""
        return self.stack.width

    @property
    def n_layers(self) -> int:
        """Blocks in the stack."""
        return self.stack.n_layers


@dataclass(frozen=True)
class CausalConfig(_AroundStack):
    """A stack between an embedding of `vocab_size` ids and a head over them.

    `learned_positions` adds an embedding of the position; otherwise positions are the stack's
    affair. `tied` makes the head's matrix the embedding's. With `labels` the head scores them for a whole text
    instead, from the state of its last token; with `multi_label` each by itself. `embedding_dropout` is a probability.
    """

    family: CausalFamily
    tied: bool
    learned_positions: bool
    embedding_dropout: float = 0.0
    labels: tuple[str, ...] = ()
    multi_label: bool = False


@dataclass(frozen=True)
class EncoderConfig(_AroundStack):
    """Embeddings of ids, `learned_positions` and `n_token_types` parts of a text where there are any, a stack, a head.

    Heads: "none" gives the hidden states; "pooler" gives them too, and a vector for the whole text beside; "masked_lm"
    scores every id at every position, by the embedding's matrix where `tied`; "classification" scores
    `labels` for the text, with `multi_label` each by itself. `pooling` tells the text's vector: "tanh" is a layer and
    tanh of the first token's state, "first" and "mean" take the first state or the mean of all through the layer and
    the norm that a masked-LM head has. `head_bias` is that layer's bias, `scores_bias` that of the ids' scores.
    `embedding_dropout` and `head_dropout` are probabilities.
    """

    family: EncoderFamily
    n_token_types: int
    head: Head
    tied: bool = True
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    embedding_dropout: float = 0.0
    head_dropout: float = 0.0
    learned_positions: bool = True
    pooling: Pooling = "tanh"
    head_bias: bool = True
    scores_bias: bool = True
    multi_label: bool = False


ModelConfig = CausalConfig | EncoderConfig


def classes_of(config: ModelConfig) -> tuple[str, ...]:
    """The labels that a model scores for a text; none where it has no classification head."""
    if isinstance(config, EncoderConfig) and config.head != "classification":
        return ()
    return config.labels
