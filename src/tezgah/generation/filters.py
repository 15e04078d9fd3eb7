"""Which tokens a draw may take: each filter sets the scores of the others to −∞.

Top-p is nucleus sampling, Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1; min-p
is Nguyen et al. 2024, "Turning Up the Heat", section 3; typical is Meister et al. 2023, "Locally Typical Sampling",
equation 9. Tokens that tie at an edge stay together: which of two equals goes on must not hang on its id.
"""

import math

from torch import Tensor


def keep_likely(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """`scores`, (rows, vocab_size), with -inf wherever top-k or top-p leaves a token out.

    >>> import torch
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


def keep_min_p(scores: Tensor, min_p: float) -> Tensor:
    """Only tokens at least `min_p` times as likely as the likeliest.

    >>> import torch
    >>> keep_min_p(torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log(), 0.4).exp().tolist()
    [[0.5, 0.25, 0.0, 0.0]]
    """
    chance = scores.softmax(-1)
    return scores.masked_fill(chance < min_p * chance.amax(-1, keepdim=True), -math.inf)


def keep_typical(scores: Tensor, typical_p: float) -> Tensor:
    """Only the tokens whose surprise, −log p, is nearest to the expected one, the fewest that hold `typical_p`.

    >>> import torch
    >>> keep_typical(torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log(), 0.2).exp().tolist()   # the entropy is 1.75 bits
    [[0.0, 0.25, 0.0, 0.0]]
    """
    surprise = -scores.log_softmax(-1)
    chance = (-surprise).exp()
    expected = (surprise * chance).nansum(-1, keepdim=True)  # 0 · ∞ of what is left out counts nothing
    order = (surprise - expected).abs().sort()
    distances, places = order.values, order.indices  # (rows, vocab_size)
    held = chance.gather(-1, places).cumsum(-1)
    last = (held < typical_p).sum(-1, keepdim=True).clamp_max(scores.shape[-1] - 1)
    edge = distances.gather(-1, last)  # (rows, 1)
    return scores.masked_fill((surprise - expected).abs() > edge, -math.inf)
