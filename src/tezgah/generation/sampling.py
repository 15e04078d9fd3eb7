"""The choice of the next token: greedy, temperature, top-k, top-p.

Top-p is nucleus sampling, Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration",
section 3.1. Temperature acts first, then top-k, then top-p, the order of `transformers`.

A draw is a pure function of (seed, row, position). No generator carries state from one token to
the next, so row 3 of eight candidates is the row 3 of three.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tezgah.errors import InputError
from tezgah.seeds import named_seed


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy: the most likely token, exactly.

    `top_k` keeps the k most likely tokens (0 keeps all); `top_p` keeps the fewest most likely
    tokens that hold that much probability together (1.0 keeps all).
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}; give 0 (greedy) or a positive number.")
        if self.top_k < 0:
            raise InputError(f"top_k is {self.top_k}; give 0 (off) or a positive number of tokens.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; give a probability above 0, at most 1 (off).")


GREEDY = Sampling()


def sample(logits: Tensor, sampling: Sampling, rows: Sequence[int], position: int) -> Tensor:
    """One id for each row of `logits`, (rows, vocab_size); int64, (rows,), on the same device.

    `rows` names the random stream of each row, `position` the draw in it.
    """
    if logits.isnan().any():
        raise InputError("the model's scores are not numbers (NaN): its weights are damaged, or its training diverged.")
    if sampling.temperature == 0:
        return logits.argmax(-1)
    scores = logits.cpu() if logits.device.type == "mps" else logits  # mps has no float64
    scores = keep_likely(scores.double() / sampling.temperature, sampling.top_k, sampling.top_p)
    draws = torch.tensor([uniform(sampling.seed, row, position) for row in rows], dtype=torch.float64)
    # The inverse of the distribution function, in the order of ids: a rounding difference in the
    # logits moves the bounds by as little, where sorted tokens could change places.
    bounds = scores.softmax(-1).cumsum(-1)  # (rows, vocab_size)
    draws = draws.to(bounds.device)[:, None] * bounds[:, -1:]  # (rows, 1), below the last bound
    ids = torch.searchsorted(bounds, draws, right=True)  # (rows, 1), the first bound above the draw
    return ids.squeeze(-1).to(logits.device)


def keep_likely(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """`scores`, (rows, vocab_size), with -inf wherever top-k or top-p leaves a token out.

    Tokens that tie at the edge stay together: which of two equals goes on must not hang on its id.

    >>> scores = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    >>> keep_likely(scores, top_k=2, top_p=1.0).exp().tolist()
    [[0.5, 0.25, 0.0, 0.0]]
    >>> keep_likely(scores, top_k=0, top_p=0.6).exp().tolist()      # 0.5 alone falls short of 0.6
    [[0.5, 0.25, 0.0, 0.0]]
    """
    if 0 < top_k < scores.shape[-1]:
        edge = scores.topk(top_k).values[:, -1:]  # (rows, 1)
        scores = scores.masked_fill(scores < edge, -math.inf)
    if top_p < 1:
        ordered = scores.sort(descending=True).values  # (rows, vocab_size)
        chance = ordered.softmax(-1)
        before = chance.cumsum(-1) - chance  # probability of all that is likelier
        edge = ordered.masked_fill(before >= top_p, math.inf).amin(-1, keepdim=True)  # (rows, 1)
        scores = scores.masked_fill(scores < edge, -math.inf)
    return scores


def uniform(seed: int, row: int, position: int) -> float:
    """The draw at `position` of the random stream named (seed, row), in [0, 1).

    52 of the name's 63 bits: the largest draw times a float64 then stays below that float64.

    >>> uniform(seed=1, row=0, position=0)
    0.5990746223778265
    """
    return (named_seed(seed, f"sampled row {row}", position) >> 11) * 2.0**-52
