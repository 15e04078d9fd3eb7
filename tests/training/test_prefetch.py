"""Batches made ahead: the same ones, with their errors, and no thread that stays."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

from tezgah.training.prefetch import Prefetch


class Counted:
    """Sequences whose ids are their numbers; it knows what was asked, and where."""

    def __init__(self, broken: int = -1) -> None:
        self.asked: list[tuple[int, int]] = []
        self.threads: set[int] = set()
        self.broken = broken

    def take(self, seed: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((first, count))
        self.threads.add(threading.get_ident())
        if first <= self.broken < first + count:
            raise OSError(f"sequence {self.broken} is gone")
        ids = np.repeat(np.arange(first, first + count)[:, None], 3, axis=1)
        return ids, ids + seed


def prefetch(sequences: Any, step: int = 4) -> Prefetch:
    return Prefetch(sequences, 7, step, torch.device("cpu"))


def test_the_next_batch_is_made_in_another_thread_and_each_of_them_once():
    sequences = Counted()
    batches = prefetch(sequences)
    for first in (0, 4, 8):
        ids, targets = batches.take(first, 2)
        assert ids[:, 0].tolist() == [first, first + 1]
        assert targets.tolist() == (ids + 7).tolist()
    batches.close()
    assert sequences.asked[:3] == [(0, 2), (4, 2), (8, 2)]
    assert set(sequences.asked[3:]) <= {(12, 2)}
    assert threading.get_ident() not in sequences.threads


def test_what_was_not_foreseen_is_made_and_the_same_again_is_at_hand():
    sequences = Counted()
    batches = prefetch(sequences)
    for first, count in [(40, 2), (40, 2), (0, 2), (0, 2), (4, 1), (40, 2)]:
        assert batches.take(first, count)[0][:, 0].tolist() == list(range(first, first + count))
    batches.close()
    assert sequences.asked.count((0, 2)) == 1


def test_an_error_is_raised_where_its_batch_is_taken():
    batches = prefetch(Counted(broken=5))
    batches.take(0, 4)
    for _ in range(2):
        with pytest.raises(OSError, match="sequence 5 is gone"):
            batches.take(4, 4)
    assert batches.take(8, 4)[0][0, 0] == 8
    batches.close()


def test_an_error_of_a_batch_that_nobody_takes_is_none():
    batches = prefetch(Counted(broken=5))
    batches.take(0, 4)
    batches.close()


def test_closing_ends_the_thread():
    batches = prefetch(Counted())
    batches.take(0, 4)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tezgah-batches")]
