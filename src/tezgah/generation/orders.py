"""In which order masks are filled, and with what.

- "left": from left to right.
- "certain": each time the place where the model is most certain.
- "all": all at once, then those it was least certain of again, fewer each time (Ghazvininejad et al. 2019,
  "Mask-Predict", section 3.2).
- "gibbs": from left to right, then each place anew, given all others, sweep after sweep (Wang & Cho 2019,
  "BERT has a Mouth, and It Must Speak", section 3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from tezgah.generation.masked_scores import log_probabilities
from tezgah.generation.sampling import GREEDY, Sampling, sample

if TYPE_CHECKING:
    from tezgah.models.encoder import Encoder

Order = Literal["left", "certain", "all", "gibbs"]
PLACES = 1 << 20  # more than any context: draws of one step never meet those of the next


@dataclass
class Row:
    """A text that is being filled: its ids, where its masks are, and the log-probabilities of what was chosen."""

    ids: list[int]
    places: list[int]
    name: int = 0  # of its random stream
    scores: list[float] = field(default_factory=list)  # at each place, −inf while nothing is chosen

    def __post_init__(self) -> None:
        self.scores = self.scores or [-math.inf] * len(self.places)

    @property
    def score(self) -> float:
        """The mean log-probability of a chosen token, in nats, each when it was chosen."""
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Filler:
    """How masks are filled: `banned`, (vocab,), are the ids that never are; `sweeps` are those of "all" and "gibbs"."""

    model: "Encoder"
    mask_id: int
    pad_id: int
    banned: Tensor
    order: Order = "certain"
    sweeps: int = 10
    sampling: Sampling = GREEDY

    def fill(self, rows: Sequence[Row], n: int) -> list[list[Row]]:
        """`n` candidates for each row, of greedy ones as many as there are ids; what a row gets hangs on no other.

        They part at the first choice: greedy ones take the likeliest id, the second, … and go on with the likeliest,
        sampled ones draw from a stream of their own.
        """
        if self.sampling.temperature == 0:
            n = min(n, int((~self.banned).sum()))
        candidates = self._first(rows, n)
        active = [row for group in candidates for row in group]
        step = 1
        while active := [row for row in active if step < self._steps(row)]:
            asked = [self._asked(row, step) for row in active]
            self._decide(active, asked, self._looked(active, asked), step)
            step += 1
        return candidates

    def _first(self, rows: Sequence[Row], n: int) -> list[list[Row]]:
        """The candidates after their first choice, for which a row is read once."""
        asked = [self._asked(row, 0) for row in rows]
        looked = self._looked(rows, asked)
        candidates = [
            [replace(row, ids=list(row.ids), scores=list(row.scores), name=name) for name in range(n)] for row in rows
        ]
        flat = [row for group in candidates for row in group]
        again = [number for number in range(len(rows)) for _ in range(n)]
        ranks = [row.name if self.sampling.temperature == 0 else 0 for row in flat]
        self._decide(flat, [asked[k] for k in again], [looked[k] for k in again], 0, ranks)
        return candidates

    def _steps(self, row: Row) -> int:
        count = len(row.places)
        return {"left": count, "certain": count, "all": min(count, self.sweeps), "gibbs": count * self.sweeps}[
            self.order
        ]

    def _asked(self, row: Row, step: int) -> list[int]:
        """Which of a row's places are masked and looked at in a step, by their number."""
        count = len(row.places)
        if self.order == "left":
            return [step]
        if self.order == "certain":
            return [number for number, score in enumerate(row.scores) if score == -math.inf]
        if self.order == "gibbs":
            return [step % count]
        left = count * (self._steps(row) - step) // self._steps(row)
        return sorted(sorted(range(count), key=row.scores.__getitem__)[:left])

    def _looked(self, rows: Sequence[Row], asked: Sequence[list[int]]) -> list[Tensor]:
        """Log-probabilities at the asked places, which are masked for it, (asked, vocab) for each row."""
        for row, numbers in zip(rows, asked, strict=True):
            for number in numbers:
                row.ids[row.places[number]] = self.mask_id
        places = [[row.places[number] for number in numbers] for row, numbers in zip(rows, asked, strict=True)]
        return log_probabilities(self.model, [row.ids for row in rows], places, self.pad_id)

    def _decide(
        self,
        rows: Sequence[Row],
        asked: Sequence[list[int]],
        looked: Sequence[Tensor],
        step: int,
        ranks: Sequence[int] | None = None,
    ) -> None:
        """Choose at the asked places, or at the most certain of them; there the id of a row's rank in `ranks`."""
        by_number: dict[int, list[tuple[Row, Tensor, int]]] = {}
        for index, (row, numbers, scores) in enumerate(zip(rows, asked, looked, strict=True)):
            surest = int(scores.masked_fill(self.banned, -math.inf).amax(-1).argmax())
            for place, number in enumerate(numbers):
                if place == surest or self.order != "certain":
                    rank = ranks[index] if ranks and place == surest else 0
                    by_number.setdefault(number, []).append((row, scores[place], rank))
        for number, decisions in by_number.items():
            scores = torch.stack([each for _, each, _ in decisions])  # (decisions, vocab)
            chosen = self._choose(scores, [row.name for row, _, _ in decisions], step * PLACES + number)
            for (row, own, rank), new_id in zip(decisions, chosen, strict=True):
                if rank:
                    new_id = int(own.masked_fill(self.banned, -math.inf).topk(rank + 1).indices[-1])
                row.ids[row.places[number]] = new_id
                row.scores[number] = float(own[new_id])

    def _choose(self, scores: Tensor, names: Sequence[int], position: int) -> list[int]:
        found: list[int] = sample(scores.masked_fill(self.banned, -math.inf), self.sampling, names, position).tolist()
        return found
