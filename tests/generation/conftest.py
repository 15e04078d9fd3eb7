"""A model small enough to decode by hand, and a tokenizer of bytes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn


class History(nn.Module):
    """Scores the next token by a float64 hash-like sum over all it sees: score = Σ decay^age · table[id].

    Whatever a decoder forgets, repeats or puts in the wrong order changes every score.
    """

    def __init__(self, vocab_size: int, context_length: int, seed: int = 0) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        table = torch.randn(vocab_size, vocab_size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        self.table = nn.Parameter(table)
        self.dropout = nn.Dropout(0.5)
        self.row_steps = 0  # rows × calls: what decoding costs

    def new_cache(self, batch: int, length: int) -> "HistoryCache":
        return HistoryCache(batch, length)

    def next_logits(self, ids: Tensor, cache: "HistoryCache") -> Tensor:
        assert not torch.is_grad_enabled()
        assert len(cache.ids) == len(ids)
        cache.ids = torch.cat((cache.ids, ids), 1)
        assert cache.length <= cache.capacity <= self.config.context_length
        self.row_steps += len(ids)
        scores: Tensor = self.dropout(self.scores(cache.ids))
        return scores

    def scores(self, ids: Tensor) -> Tensor:
        """Of the token after `ids`, (batch, time): (batch, vocab)."""
        age = torch.arange(ids.shape[1] - 1, -1, -1, dtype=torch.float64)  # (time,)
        return (self.table[ids] * (0.9**age)[:, None]).sum(1)


class HistoryCache:
    """Keeps the ids themselves."""

    def __init__(self, batch: int, capacity: int) -> None:
        self.ids = torch.empty(batch, 0, dtype=torch.long)
        self.capacity = capacity

    @property
    def length(self) -> int:
        return self.ids.shape[1]

    def keep_rows(self, rows: Tensor) -> None:
        self.ids = self.ids[rows]


class ByteTokenizer:
    """Id 0 is the separator; id b + 1 is the byte b."""

    separator_id = 0
    vocab_size = 257

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64) + 1

    def decode(self, ids) -> str:
        return bytes(int(i) - 1 for i in ids).decode(errors="replace")


@pytest.fixture
def history():
    return History


@pytest.fixture
def byte_tokenizer():
    return ByteTokenizer()
