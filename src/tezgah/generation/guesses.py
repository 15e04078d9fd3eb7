"""Guesses of what comes next, and what becomes of them: a model reads several in one pass and judges each.

Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding", algorithm 1, and Chen et al. 2023,
"Accelerating Large Language Model Decoding with Speculative Sampling": a guess that was drawn with the chance q is
taken with probability min(1, p/q), p being the model's own, and at the first refusal an id is drawn from
norm(max(p − q, 0)). What comes out is distributed as the model's own draws (appendix A.1 of the first).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tezgah.generation.sampling import Said


class Guess(NamedTuple):
    """An id that may come next, and the `chances` that it was drawn from, (vocab_size,), float64.

    None where it was not drawn: then it stands if the model's own choice, made without it, is the same.
    """

    id: int
    chances: Tensor | None = None


class Guesser(Protocol):
    """What guesses for the rows that are decoded at once, and follows them as they change places."""

    def guess(self, said: Sequence["Said"], streams: Sequence[int], most: Sequence[int]) -> list[list[Guess | None]]:
        """What may come next in each row, of which `said` are the texts and `streams` the random streams.

        No more ids than `most` of a row; where that is 0 the row's guesses are empty. None among them is a place that
        the model decides without a guess.
        """

    def keep(self, rows: Sequence[int]) -> None:
        """Let these rows be all, in this order."""

    def replace(self, row: int, prompt: Sequence[int]) -> None:
        """Begin anew in a row, with another prompt."""


def judged(chances: Tensor, guesses: Sequence[Guess | None], draws: Sequence[float]) -> Tensor:
    """What to draw each row's id from, (rows, vocab_size), after a draw in [0, 1) has judged its guess.

    `chances` are the model's own. A guess that is taken has all of them; one that is not leaves what the model gives
    each id more than the guess's chances did.

    >>> model, draft = torch.tensor([[0.5, 0.5, 0.0]] * 2), torch.tensor([0.25, 0.0, 0.75])
    >>> judged(model, [Guess(0, draft), Guess(2, draft)], [0.99, 0.0]).tolist()    # p/q is 2, and 0
    [[1.0, 0.0, 0.0], [0.3333333432674408, 0.6666666865348816, 0.0]]
    """
    rows = [row for row, guess in enumerate(guesses) if guess is not None and guess.chances is not None]
    if not rows:
        return chances
    known = [(guess.id, guess.chances) for guess in guesses if guess is not None and guess.chances is not None]
    ids = torch.tensor([each for each, _ in known], device=chances.device)[:, None]  # (guessed, 1)
    q = torch.stack([each for _, each in known]).to(chances.device)  # (guessed, vocab_size)
    p = chances[rows]
    draw = torch.tensor([draws[row] for row in rows], dtype=p.dtype, device=p.device)[:, None]
    is_taken = draw * q.gather(1, ids) < p.gather(1, ids)  # (guessed, 1)
    left = (p - q).clamp_min(0)
    left = torch.where(left.sum(-1, keepdim=True) > 0, left / left.sum(-1, keepdim=True), p)  # p = q but for rounding
    chosen = torch.where(is_taken, torch.zeros_like(p).scatter_(1, ids, 1.0), left)
    return chances.index_put((torch.tensor(rows, device=p.device),), chosen)
