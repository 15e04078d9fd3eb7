"""A model small enough to decode by hand, and a tokenizer of bytes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tezgah.tokenizer.stream import StreamOfBytes


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
        self.tokens = 0  # that were read
        self.most_rows = 0  # of one call

    def new_cache(self, batch: int, length: int) -> "HistoryCache":
        return HistoryCache([[] for _ in range(batch)], length)

    def next_logits(self, ids: Tensor, cache: "HistoryCache", counts: Tensor | None = None) -> Tensor:
        assert not torch.is_grad_enabled()
        assert cache.capacity <= self.config.context_length
        real = [ids.shape[1]] * len(ids) if counts is None else counts.tolist()
        assert len(cache.lengths) == len(ids)
        for row, (new, count) in enumerate(zip(ids.tolist(), real, strict=True)):
            begin = int(cache.lengths[row])
            cache.held[cache.first + row][begin:] = new[:count]
            cache.lengths[row] += count
            assert cache.lengths[row] <= cache.capacity
        self.row_steps += len(ids)
        self.tokens += sum(real)
        self.most_rows = max(self.most_rows, len(ids))
        rows = cache.held[cache.first :][: len(ids)]
        scores: Tensor = self.dropout(torch.cat([self.scores(torch.tensor([row])) for row in rows]))
        return scores

    def scores(self, ids: Tensor) -> Tensor:
        """Of the token after `ids`, (batch, time): (batch, vocab)."""
        age = torch.arange(ids.shape[1] - 1, -1, -1, dtype=torch.float64)  # (time,)
        return (self.table[ids] * (0.9**age)[:, None]).sum(1)


class HistoryCache:
    """Keeps the ids themselves."""

    def __init__(self, held: list[list[int]], capacity: int, first: int = 0, lengths: Tensor | None = None) -> None:
        self.held, self.capacity, self.first = held, capacity, first
        self.lengths = torch.zeros(len(held), dtype=torch.long) if lengths is None else lengths

    def part(self, first: int, last: int) -> "HistoryCache":
        return HistoryCache(self.held, self.capacity, first, self.lengths[first:last])

    def copy_start(self, row: int, other: int, length: int) -> None:
        assert length <= self.lengths[other]
        self.held[row] = self.held[other][:length]
        self.lengths[row] = length

    def keep_rows(self, rows) -> None:
        assert len(rows) <= len(self.held)
        self.held[: len(rows)] = [list(self.held[row]) for row in rows]
        self.lengths = self.lengths[list(rows)]


class ByteTokenizer:
    """Id 0 is the separator; id b + 1 is the byte b."""

    separator_id = 0
    vocab_size = 257

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64) + 1

    def decode(self, ids) -> str:
        return bytes(int(i) - 1 for i in ids).decode(errors="replace")

    def text_stream(self) -> StreamOfBytes:
        return StreamOfBytes(lambda token_id: bytes([token_id - 1]))


@pytest.fixture
def history():
    return History


@pytest.fixture
def byte_tokenizer():
    return ByteTokenizer()
