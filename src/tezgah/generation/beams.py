"""Beam search: the likeliest completions as a whole, the best few kept at every token.

As `transformers` does it, so that the same tokens come out: twice as many candidates as beams are taken, so that
enough go on when some end; sums are float32, as there; and `early_stopping` has its three meanings.

Groups are those of Vijayakumar et al. 2018, "Diverse Beam Search", algorithm 1 with Hamming diversity: each is a search
of its own, kept off the tokens that the groups before it chose in the same step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tezgah.errors import InputError
from tezgah.generation.cached_rows import CachedRows
from tezgah.generation.rows import Wanted, checked
from tezgah.generation.sampling import Said, Sampling, check_scores, penalize
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM

# The longest completion to the power of `length_penalty`, at most: float32 ends at 3e38, and sums reach beyond −1e9.
LARGEST_POWER = 1e25
NEVER = -1e9  # the score of what is no candidate


@dataclass(frozen=True)
class Beams:
    """How many completions are followed (`count`), how many come back, and when the search ends.

    A completion's score is the sum of its log-probabilities divided by its length to the power `length_penalty`.
    The search ends when `count` have ended ("true"); when the best that goes on, at its present length, is no better
    than the worst that ended ("false"); or when it could not become so at any length ("never").

    Of several `groups` each has its share of the count and ends by itself; the best come from all. A step's scores
    are lowered by `diversity_penalty` for every time that a group before chose the token in it.
    """

    count: int
    best: int = 1
    length_penalty: float = 1.0
    early_stopping: Literal["false", "true", "never"] = "false"
    groups: int = 1
    diversity_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.best > self.count:
            raise InputError(f"n is {self.best}, and {self.count} beams have no more to give. Raise num_beams.")
        if self.count % self.groups:
            raise InputError(
                f"{self.count} beams make no {self.groups} groups of one size. Give a num_beams that beam_groups "
                "divides."
            )
        if not 0 <= self.diversity_penalty < math.inf:
            raise InputError(f"diversity_penalty is {self.diversity_penalty}; give 0 or a positive number.")
        if (self.groups > 1) != (self.diversity_penalty > 0):
            raise InputError(
                f"beam_groups is {self.groups} and diversity_penalty {self.diversity_penalty}: groups differ by the "
                "penalty alone. Give 2 or more of the one and above 0 of the other, or leave both out."
            )

    @property
    def group_size(self) -> int:
        """How many completions a group follows."""
        return self.count // self.groups


class Hypothesis(NamedTuple):
    """A completion, its score, and whether end-of-text ended it."""

    ids: list[int]
    score: float
    is_ended: bool


class _Candidate(NamedTuple):
    beam: int  # that it goes on from
    ids: list[int]
    score: float  # the sum of its log-probabilities
    is_over: bool = False
    is_ended: bool = False


def search(
    model: "CausalLM",
    prompt: Sequence[int],
    max_new_tokens: int,
    beams: Beams,
    sampling: Sampling,
    separator_id: int | None = None,
    vocab_size: int | None = None,
    is_finished: Callable[[list[int]], bool] | None = None,
) -> list[Hypothesis]:
    """The `beams.best` completions of a prompt, the best first; the rest as in `generate_ids`.

    Penalties of `sampling` act on log-probabilities. Raises InputError for a temperature, which beams have not, and for
    a penalty of length too strong for scores to be numbers.
    """
    if sampling.temperature != 0:
        raise InputError(f"temperature is {sampling.temperature}; beam search takes 0 only. Or give num_beams = 1.")
    _check_length_penalty(beams.length_penalty, max_new_tokens)
    (wanted,) = checked(model, [Wanted(tuple(prompt), max_new_tokens)])
    going = [_Group.begun(beams.group_size) for _ in range(beams.groups)]
    groups = list(going)
    with evaluating(model):
        batch = CachedRows(model, beams.count, len(wanted.prompt) + max_new_tokens - 1)
        logits = batch.fill([wanted.prompt] * beams.count)[:, :vocab_size]  # (count, vocab_size)
        for length in range(1, max_new_tokens + 1):
            chosen: list[int] = []  # by the groups before, in this step
            for group, scores in zip(going, torch.split(logits, beams.group_size), strict=True):
                found = []
                for beam, new_id, score in _likeliest(scores, group.running, wanted.prompt, sampling, chosen, beams):
                    ids = [*group.running[beam].ids, new_id]
                    is_ended = new_id == separator_id
                    is_over = is_ended or (is_finished is not None and is_finished(ids))
                    found.append(_Candidate(beam, ids, score, is_over, is_ended))
                group.take(found, length, max_new_tokens, beams)
                chosen += [each.ids[-1] for each in group.running]
            rows = [
                place * beams.group_size + each.beam
                for place, group in enumerate(going)
                if not group.is_settled
                for each in group.running
            ]
            going = [group for group in going if not group.is_settled]
            if not going:
                break
            batch.keep(rows)
            logits = batch.step([each.ids[-1] for group in going for each in group.running])[:, :vocab_size]
    over = sorted((each for group in groups for each in group.over), key=lambda each: -each.score)
    return [each._replace(ids=each.ids[: len(each.ids) - each.is_ended]) for each in over[: beams.best]]


def _check_length_penalty(penalty: float, longest: int) -> None:
    strongest = math.floor(math.log(LARGEST_POWER, max(longest, 2)))
    if not abs(penalty) <= strongest:
        raise InputError(
            f"length_penalty is {penalty}; give a number from −{strongest} to {strongest} for completions of up to "
            f"{longest:,} tokens."
        )


@dataclass
class _Group:
    """A search of its own: what it follows, the best that are over, and whether it has ended."""

    running: list[_Candidate]
    over: list[Hypothesis]
    is_settled: bool = False

    @classmethod
    def begun(cls, size: int) -> "_Group":
        """One whose beams are the same, of which the first alone counts."""
        return cls([_Candidate(0, [], 0.0 if beam == 0 else NEVER) for beam in range(size)], [])

    def take(self, found: Sequence[_Candidate], length: int, longest: int, beams: Beams) -> None:
        """Go on with the best of the candidates that were `found`, the best first."""
        is_last = length == longest
        over = [each for each in found[: beams.group_size] if each.is_over or is_last]
        self.over = _best_over(self.over, over, length, beams)
        # Where too few go on, some that are over do so too, as what can no longer win.
        lowered = [each._replace(score=each.score + NEVER) if each.is_over else each for each in found]
        self.running = sorted(lowered, key=lambda each: -each.score)[: beams.group_size]
        is_settled = _is_settled(self.over, self.running[0].score, length, longest, beams)
        self.is_settled = is_last or is_settled or all(each.is_over for each in found)


def _likeliest(
    logits: Tensor,
    running: Sequence[_Candidate],
    prompt: Sequence[int],
    sampling: Sampling,
    chosen: Sequence[int],
    beams: Beams,
) -> list[tuple[int, int, float]]:
    """The likeliest continuations, twice as many as beams, the best first: beam, new id, score.

    Groups before have `chosen` ids in this step.
    """
    check_scores(logits)
    rates = logits.float().log_softmax(-1)  # (beams, vocab_size)
    if chosen:
        ids = torch.tensor(chosen, device=rates.device)
        rates = rates - beams.diversity_penalty * torch.bincount(ids, minlength=rates.shape[1])
    if sampling.has_penalties:
        rates = penalize(rates, sampling, [Said(prompt, each.ids) for each in running])
    sums = rates + torch.tensor([each.score for each in running], device=rates.device)[:, None]
    top = sums.flatten().topk(min(2 * len(running), sums.numel()))
    vocab_size = rates.shape[1]
    places = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [(place // vocab_size, place % vocab_size, score) for place, score in places]


def _best_over(over: Sequence[Hypothesis], found: Sequence[_Candidate], length: int, beams: Beams) -> list[Hypothesis]:
    """The best completions that are over, with the candidates that are now."""
    new = [Hypothesis(each.ids, _per_length(each.score, length, beams), each.is_ended) for each in found]
    return sorted([*over, *new], key=lambda each: -each.score)[: beams.group_size]


def _is_settled(over: Sequence[Hypothesis], best: float, length: int, longest: int, beams: Beams) -> bool:
    """Whether the search ends, `best` being the highest sum of those that go on."""
    if len(over) < beams.group_size:
        return False
    if beams.early_stopping == "true":
        return True
    reached = longest if beams.early_stopping == "never" and beams.length_penalty > 0 else length
    return _per_length(best, reached, beams) <= over[-1].score


def _per_length(score: float, length: int, beams: Beams) -> float:
    return float(np.float32(score) / np.float32(length**beams.length_penalty))
