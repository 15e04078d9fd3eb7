"""What a masked language model makes of held-out text whose masks never change: readings compare across runs."""

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from tezgah import console
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.encoder import Encoder


class MaskedText(Protocol):
    """Sequences with masks: `tokens/masked_sequences.py`."""

    def __len__(self) -> int:
        """Sequences."""

    def batch(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Masked ids and targets, each (batch, time); a negative target is none."""


class MaskedEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """`loss` is nats per masked token, `perplexity` its exponential, `masked_accuracy` the share of right first ids."""

    loss: float
    perplexity: float
    masked_accuracy: float
    masked: int  # tokens that were asked for


def evaluate_masked(
    model: "Encoder",
    text: MaskedText,
    batch_size: int = 16,
    indices: NDArray[np.int64] | None = None,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
) -> MaskedEvaluation:
    """Fill the masks of the sequences `indices` of `text` (all where None), `batch_size` at a time, each by itself.

    Every mask is filled from what stands around it, other masks included, as in training. `autocast` is the precision
    of matrix products, None leaves the parameters' own.
    """
    chosen = np.arange(len(text)) if indices is None else indices
    device = next(model.parameters()).device
    precision = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
    bar = console.progress("evaluate", len(chosen), "sequences") if show_progress else nullcontext()
    totals = np.zeros(3)  # nats, hits, masked
    with evaluating(model), precision, bar as progress:
        for start in range(0, len(chosen), batch_size):
            ids, targets = text.batch(chosen[start : start + batch_size])
            scored = model.scored(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device))
            totals += [scored.loss.item(), scored.hits.item(), (targets >= 0).sum()]
            if progress is not None:
                progress.advance(len(ids))
    nats, hits, masked = totals.tolist()
    loss = nats / max(1, masked)
    return MaskedEvaluation(
        loss=loss,
        perplexity=math.exp(min(loss, 700.0)),
        masked_accuracy=hits / max(1, masked),
        masked=int(masked),
    )


def neighbours_accuracy(text: MaskedText, guess: Any, batch_size: int = 256) -> float:
    """The share of masks whose token `guess(left, right)` names, given the ids beside them, each (masks,).

    An id beside a mask that is none or masked itself is −1.
    """
    right, masked = 0, 0
    for start in range(0, len(text), batch_size):
        ids, targets = text.batch(np.arange(start, min(start + batch_size, len(text))))
        seen = np.pad(np.where(targets >= 0, -1, ids), ((0, 0), (1, 1)), constant_values=-1)
        rows, places = np.nonzero(targets >= 0)
        right += int((guess(seen[rows, places], seen[rows, places + 2]) == targets[rows, places]).sum())
        masked += len(rows)
    return right / max(1, masked)
