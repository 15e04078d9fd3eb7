"""What a masked language model holds likely at some places of some rows: many rows at once, by their lengths."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from tezgah.errors import InputError
from tezgah.nn.precision import widened

if TYPE_CHECKING:
    from tezgah.models.encoder import Encoder

BATCH_TOKENS = 8_192  # padding counted
CPU_BATCH_TOKENS = 1_024  # what lies in a core's cache: half the time of the other
SCORES_AT_ONCE = 1 << 26  # numbers: 256 MB


def log_probabilities(
    model: "Encoder", rows: Sequence[Sequence[int]], places: Sequence[Sequence[int]], pad_id: int
) -> list[Tensor]:
    """Of every id at the places of each row, (places, vocab), in nats; a row hangs on no other one.

    Scores are made at these places alone. Raises InputError where they are no numbers.
    """
    assert model.masked_head is not None
    device = model.embedding.weight.device
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch in _batches([len(row) for row in rows], CPU_BATCH_TOKENS if device.type == "cpu" else BATCH_TOKENS):
        longest = max(len(rows[number]) for number in batch)
        ids = torch.full((len(batch), longest), pad_id)
        seen = torch.zeros(len(batch), longest, dtype=torch.bool)
        for place, number in enumerate(batch):
            ids[place, : len(rows[number])] = torch.tensor(rows[number])
            seen[place, : len(rows[number])] = True
        hidden = model.hidden(ids.to(device), None if seen.all() else seen.to(device))  # (rows, time, width)
        counts = [len(places[number]) for number in batch]
        index = torch.arange(len(batch)).repeat_interleave(torch.tensor(counts))
        asked = torch.tensor([place for number in batch for place in places[number]])
        states = model.masked_head(hidden[index.to(device), asked.to(device)])  # (asked, width)
        scores = widened(F.linear(states, model.head_weight(), model.masked_head.bias)).log_softmax(-1)
        if scores.isnan().any():
            raise InputError("the model's scores are not numbers (NaN): its weights are damaged.")
        for number, part in zip(batch, torch.split(scores.cpu(), counts), strict=True):
            found[number] = part
    return found


def _batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """The numbers of rows of like lengths, so many together that padded they are `most` tokens, or one row.

    >>> _batches([5_000, 10, 4_000], 8_192)
    [[1, 2], [0]]
    """
    batches: list[list[int]] = [[]]
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches[-1] and (len(batches[-1]) + 1) * lengths[number] > most:
            batches.append([])
        batches[-1].append(number)
    return batches
