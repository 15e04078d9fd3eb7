"""The choice of the next token: greedy, or drawn from what penalties, temperature and filters leave.

Penalties act first (penalties.py), then temperature, top-k, top-p, min-p and typical (filters.py), the order of
`transformers`.

A draw is a pure function of (seed, row, position). No generator carries state from one token to
the next, so row 3 of eight candidates is the row 3 of three.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tezgah.errors import InputError
from tezgah.generation.filters import keep_likely, keep_min_p, keep_typical
from tezgah.generation.guesses import Guess, judged
from tezgah.generation.penalties import penalized
from tezgah.nn.precision import widened
from tezgah.seeds import named_seed


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy: the most likely token, exactly.

    `top_k` keeps the k most likely tokens (0 keeps all); `top_p` keeps the fewest most likely
    tokens that hold that much probability together (1.0 keeps all); `min_p` keeps those at least so likely beside the
    likeliest (0.0 keeps all); `typical_p` keeps those whose surprise is nearest to the expected one, until they hold
    that much together (1.0 keeps all). A `repetition_penalty` above 1 makes the tokens of the text so far less
    likely, a `presence_penalty` is taken from the score of those generated so far, and no sequence of
    `no_repeat_ngram` tokens comes twice (0 is off).
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    no_repeat_ngram: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}; give 0 (greedy) or a positive number.")
        if self.top_k < 0:
            raise InputError(f"top_k is {self.top_k}; give 0 (off) or a positive number of tokens.")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; give a probability above 0, at most 1 (off).")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p is {self.min_p}; give a share from 0 (off) to 1.")
        if not 0 < self.typical_p <= 1:
            raise InputError(f"typical_p is {self.typical_p}; give a probability above 0, at most 1 (off).")
        if not 0 < self.repetition_penalty < math.inf:
            raise InputError(f"repetition_penalty is {self.repetition_penalty}; give a positive number, 1 is off.")
        if not -math.inf < self.presence_penalty < math.inf:
            raise InputError(f"presence_penalty is {self.presence_penalty}; give a number, 0 is off.")
        if self.no_repeat_ngram < 0:
            raise InputError(f"no_repeat_ngram is {self.no_repeat_ngram}; give 0 (off) or a number of tokens.")

    @property
    def has_penalties(self) -> bool:
        """Whether a choice depends on what was said before."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.no_repeat_ngram > 0


GREEDY = Sampling()


class Said(NamedTuple):
    """A row's ids so far: the prompt's as it was read, and those that were chosen."""

    prompt: Sequence[int]
    new: Sequence[int]


def sample(
    logits: Tensor,
    sampling: Sampling,
    rows: Sequence[int],
    position: int | Sequence[int],
    said: Sequence[Said] | None = None,
    guesses: Sequence[Guess | None] | None = None,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """One id for each row of `logits`, (rows, vocab_size); int64, (rows,), on the same device.

    `rows` names the random stream of each row, `position` the draw in it, one for all or one for each. Penalties need
    what each row has `said`. A row with a guess takes it or another id, with the same chances as without (guesses.py).
    `seeds` are those of the rows where they are not all the sampling's own.
    """
    if sampling.temperature == 0:
        return likeliest(logits, sampling, said)
    positions = [position] * len(rows) if isinstance(position, int) else position
    seeds = [sampling.seed] * len(rows) if seeds is None else seeds
    names = list(zip(seeds, rows, positions, strict=True))
    chances = chances_of(logits, sampling, said)
    if guesses is not None:
        chances = judged(chances, guesses, [uniform(*name, "judged") for name in names])
    return drawn(chances, [uniform(*name) for name in names]).to(logits.device)


def likeliest(logits: Tensor, sampling: Sampling, said: Sequence[Said] | None = None) -> Tensor:
    """The greedy choice in each row of `logits`, (rows, vocab_size); (rows,)."""
    scores = _penalized(logits, sampling, said)
    if scores.device.type != "cpu":
        return scores.argmax(-1)
    return torch.from_numpy(widened(scores).numpy().argmax(-1))  # the same ids in a tenth of torch's time


def chances_of(logits: Tensor, sampling: Sampling, said: Sequence[Said] | None = None) -> Tensor:
    """What an id is drawn from at a temperature above 0: float64, (rows, vocab_size), each row's sum is 1."""
    scores = _penalized(logits, sampling, said)
    scores = scores.cpu() if scores.device.type == "mps" else scores  # mps has no float64
    chances = filtered(scores.double() / sampling.temperature, sampling).softmax(-1)
    if not chances[:, -1].isfinite().all():  # then no sum of the row is
        raise InputError(f"temperature {sampling.temperature} makes scores of the model infinite. Give a higher one.")
    return chances


def drawn(chances: Tensor, draws: Sequence[float]) -> Tensor:
    """The id that each draw in [0, 1) takes of `chances`, (rows, vocab_size); int64, (rows,).

    >>> drawn(torch.tensor([[0.25, 0.0, 0.75]] * 2), [0.0, 0.25]).tolist()
    [0, 2]
    """
    # The inverse of the distribution function, in the order of ids: a rounding difference in the
    # logits moves the bounds by as little, where sorted tokens could change places.
    bounds = chances.cumsum(-1)  # (rows, vocab_size)
    places = torch.tensor(draws, dtype=bounds.dtype, device=bounds.device)[:, None] * bounds[:, -1:]
    return torch.searchsorted(bounds, places, right=True).squeeze(-1)  # the first bound above the draw


def _penalized(logits: Tensor, sampling: Sampling, said: Sequence[Said] | None) -> Tensor:
    check_scores(logits)
    return logits if said is None or not sampling.has_penalties else penalize(logits, sampling, said)


def penalize(scores: Tensor, sampling: Sampling, said: Sequence[Said]) -> Tensor:
    """`scores`, (rows, vocab_size), after the penalties for what each row has said."""
    return torch.stack(
        [
            penalized(
                row,
                each.prompt,
                each.new,
                sampling.repetition_penalty,
                sampling.presence_penalty,
                sampling.no_repeat_ngram,
            )
            for row, each in zip(scores, said, strict=True)
        ]
    )


def filtered(scores: Tensor, sampling: Sampling) -> Tensor:
    """`scores`, (rows, vocab_size), with -inf wherever a filter leaves a token out."""
    scores = keep_likely(scores, sampling.top_k, sampling.top_p)
    if sampling.min_p > 0:
        scores = keep_min_p(scores, sampling.min_p)
    return keep_typical(scores, sampling.typical_p) if sampling.typical_p < 1 else scores


def check_scores(logits: Tensor) -> None:
    """Raise InputError for scores of which one is no number."""
    if logits.amax(-1).isnan().any():  # a row's highest score is NaN where one of them is; faster than to ask each
        raise InputError("the model's scores are not numbers (NaN): its weights are damaged, or its training diverged.")


def uniform(seed: int, row: int, position: int, purpose: Literal["sampled", "guessed", "judged"] = "sampled") -> float:
    """The draw at `position` of the random stream named (seed, purpose, row), in [0, 1).

    52 of the name's 63 bits: the largest draw times a float64 then stays below that float64.

    >>> uniform(seed=1, row=0, position=0)
    0.5990746223778265
    """
    return (named_seed(seed, f"{purpose} row {row}", position) >> 11) * 2.0**-52
