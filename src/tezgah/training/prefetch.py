"""The next step's batch, made by a thread of its own while this step computes."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from tezgah.tokens.sequences import TrainingSequences

Tensors = tuple[Tensor, Tensor]


class Prefetch:
    """Batches of `sequences`, one ahead: after that of `first`, the one `step` sequences on is made.

    They lie in memory that a GPU copies from by itself where `device` is one. What goes wrong in making
    a batch is raised where that batch is taken.
    """

    def __init__(self, sequences: TrainingSequences, seed: int, step: int, device: torch.device) -> None:
        self._sequences, self._seed, self._step, self._device = sequences, seed, step, device
        self._thread = ThreadPoolExecutor(1, "tezgah-batches")
        self._foreseen: tuple[tuple[int, int], Future[Tensors]] | None = None
        self._given: tuple[tuple[int, int], Tensors] | None = None

    def take(self, first: int, count: int) -> Tensors:
        """The first-th to (first + count - 1)-th sequence seen: ids and targets, each (count, time).

        One that was not foreseen is made now; the same again is at hand.
        """
        asked = (first, count)
        if self._given is None or self._given[0] != asked:
            if self._foreseen is None or self._foreseen[0] != asked:
                self._foresee(*asked)
            assert self._foreseen is not None
            self._given = asked, self._foreseen[1].result()
            self._foresee(first + self._step, count)
        return self._given[1]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _foresee(self, first: int, count: int) -> None:
        self._foreseen = (first, count), self._thread.submit(self._make, first, count)

    def _make(self, first: int, count: int) -> Tensors:
        ids, targets = map(torch.from_numpy, self._sequences.take(self._seed, first, count))
        if self._device.type != "cuda":
            return ids, targets
        with torch.cuda.device(self._device):  # a thread begins on the first one
            return ids.pin_memory(), targets.pin_memory()
