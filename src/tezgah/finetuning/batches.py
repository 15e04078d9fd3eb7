"""Batches of texts of about one length, so that little is padding; their order follows from (seed, epoch)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tezgah.seeds import named_seed
from tezgah.tokenizer.framed import Framed
from tezgah.tokens.order import sequence_indices

POOL = 32  # batches among which texts are sorted by length: more would pad less and shuffle less

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Ids, the mask that is 0 at padding, and token types, each (batch, time), padded on the right."""

    ids: Tensor
    mask: Tensor
    types: Tensor


def batch_of(rows: Framed, chosen: Rows) -> Batch:
    """The chosen rows side by side; padding has the id 0, which the mask hides."""
    longest = int(rows.lengths[chosen].max())
    ids, mask, types = (np.zeros((len(chosen), longest), np.int64) for _ in range(3))
    for place, row in enumerate(chosen.tolist()):
        length = len(rows.ids[row])
        ids[place, :length], types[place, :length], mask[place, :length] = rows.ids[row], rows.types[row], 1
    return Batch(*map(torch.from_numpy, (ids, mask, types)))


def epoch_batches(lengths: Rows, batch_size: int, seed: int, epoch: int) -> list[Rows]:
    """The rows of every batch of an epoch, counted from 0; each row is in one of them.

    Rows are shuffled, sorted by length in pools of some batches, cut, and the batches shuffled.
    """
    count = len(lengths)
    shuffled = sequence_indices(named_seed(seed, "texts"), count, epoch * count, count)
    size = POOL * batch_size
    pools = (shuffled[start : start + size] for start in range(0, count, size))
    rows = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    batches = [rows[start : start + batch_size] for start in range(0, count, batch_size)]
    order = sequence_indices(named_seed(seed, "batches"), len(batches), epoch * len(batches), len(batches))
    return [batches[place] for place in order]


def sorted_batches(lengths: Rows, batch_size: int) -> list[Rows]:
    """The rows of every batch, the shortest first: for reading them once."""
    rows = np.argsort(lengths, kind="stable")
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
