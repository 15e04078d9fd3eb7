"""What was said changes what comes next: penalties on the scores of one row.

The repetition penalty is Keskar et al. 2019, "CTRL", section 4.1, over prompt and completion; the presence penalty
is that of OpenAI's completions, over the completion alone; banned n-grams are Paulus et al. 2018, section 2.5.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tezgah.errors import InputError


def penalized(
    scores: Tensor, prompt: Sequence[int], new: Sequence[int], repetition: float, presence: float, ngram: int
) -> Tensor:
    """`scores`, (vocab_size,), of what follows the ids of `prompt` and `new`; a new tensor of the same shape.

    >>> penalized(torch.tensor([2.0, -2.0, 1.0]), [0, 1], [2], 2.0, 0.25, 0).tolist()
    [1.0, -4.0, 0.25]
    """
    scores, ids = scores.clone(), [*prompt, *new]
    if repetition != 1:
        seen = _places(ids, scores)
        scores[seen] = torch.where(scores[seen] < 0, scores[seen] * repetition, scores[seen] / repetition)
    if presence:
        scores[_places(new, scores)] -= presence
    if ngram:
        scores[_places(completing(ids, ngram), scores)] = -math.inf
        if scores.isneginf().all():
            raise InputError(f"no_repeat_ngram is {ngram}, and every token would repeat something. Give a larger one.")
    return scores


def completing(ids: Sequence[int], ngram: int) -> list[int]:
    """The ids that would complete a sequence of `ngram` ids which is in `ids` already.

    >>> completing([1, 2, 3, 1, 2], 3)
    [3]
    """
    size = ngram - 1
    last = list(ids[len(ids) - size :]) if size else []
    return [ids[start + size] for start in range(len(ids) - size) if list(ids[start : start + size]) == last]


def _places(ids: Sequence[int], scores: Tensor) -> Tensor:
    """The ids that `scores` has, each once."""
    wanted = sorted({each for each in ids if each < len(scores)})
    return torch.tensor(wanted, dtype=torch.long, device=scores.device)
