"""What happens inside a forward pass, for those who want to look."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Trace:
    """Filled by the forward pass it is given to; attention is then computed step by step, not by a fused kernel.

    `hidden_states` are n_layers + 1 tensors, (batch, time, width): the embeddings, then what each block
    gives, the last one after the stack's final norm. `attentions` are one a layer, (batch, heads, time, keys):
    the weights after the softmax, and after a head mask.
    """

    hidden_states: list[Tensor] = field(default_factory=list)
    attentions: list[Tensor] = field(default_factory=list)
