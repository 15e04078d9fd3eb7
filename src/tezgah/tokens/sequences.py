"""Sequences of a fixed length over a token stream, each with a number, so that any can be read at any time."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokens.index import TokensIndex
from tezgah.tokens.order import sequence_indices

NO_TARGET = -100  # torch's cross_entropy leaves it out

SPLIT_NAMES = {"train": "training"}

Batch = tuple[NDArray[np.int64], NDArray[np.int64]]  # ids and targets, each (batch, time)


class Stream(Protocol):
    """Tokens in order, read by slices: a split's (shards.py), or what one source has of it (sources.py)."""

    @property
    def folder(self) -> Path:
        """Where they lie."""

    @property
    def split(self) -> str:
        """Which split they are of, as an error names it."""

    @property
    def index(self) -> TokensIndex:
        """What the shards hold, and what they were made with."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each document's separator stands, and the last one's, (documents + 1,)."""

    def __len__(self) -> int:
        """Tokens, separators included."""

    def __getitem__(self, tokens: slice) -> NDArray[np.integer]:
        """The tokens of a slice, (tokens,)."""


class TrainingSequences(Protocol):
    """What training reads: sequences in the order in which it sees them, epoch after epoch."""

    @property
    def sample(self) -> "Sequences":
        """Sequences to read the loss on, any of them at any time."""

    predicts_all: bool  # whether every place of every sequence has a target; otherwise some have NO_TARGET

    @property
    def in_epoch(self) -> int | None:
        """How many sequences an epoch has; None where that is not known yet."""

    def epochs(self, count: int) -> float:
        """How many epochs `count` sequences are, those that were seen so far."""

    def take(self, seed: int, first: int, count: int) -> Batch:
        """The first-th to (first + count - 1)-th sequence seen, a function of (seed, first, count) alone."""


class Sequences:
    """Sequence i reads the tokens from i × stride on, and predicts each one's successor.

    Documents follow one another with a separator between them, so a sequence may hold many. A
    stride of 0 is context_length: every token is read once. A smaller one repeats tokens in
    their new places, and every prediction counts (the sliding window of textbooks). What is left
    at the end, shorter than context_length, is dropped, or kept as one more sequence.

    Raises InputError where the stream makes no sequence.
    """

    predicts_all = True

    def __init__(self, stream: Stream, context_length: int, stride: int = 0, keep_short: bool = False) -> None:
        self.stream = stream
        self.context_length = context_length
        self.stride = stride or context_length
        predictable = len(stream) - 1  # a token has a successor
        full = max(0, (predictable - context_length) // self.stride + 1)
        reached = (full - 1) * self.stride + context_length if full else 0
        has_rest = keep_short and max(reached, full * self.stride) < predictable
        self._length = full + has_rest
        if not self._length:
            raise InputError(self._too_short())

    def __len__(self) -> int:
        return self._length

    @property
    def sample(self) -> "Sequences":
        """These sequences themselves."""
        return self

    @property
    def in_epoch(self) -> int:
        """How many there are."""
        return self._length

    def epochs(self, count: int) -> float:
        """How many epochs `count` sequences are."""
        return count / self._length

    def take(self, seed: int, first: int, count: int) -> Batch:
        """The first-th to (first + count - 1)-th sequence seen, over all epochs: each is shuffled anew (order.py)."""
        return self.batch(sequence_indices(seed, self._length, first, count))

    def batch(self, indices: NDArray[np.integer]) -> Batch:
        """The sequences of these numbers: ids and targets, each (batch, time).

        A target is the next id; the end of a short sequence is separators without a target (-100).
        """
        shape = (len(indices), self.context_length)
        ids = np.full(shape, self.stream.index.separator_id, np.int64)  # (batch, time)
        targets = np.full(shape, NO_TARGET, np.int64)  # (batch, time)
        for row, index in enumerate(indices.tolist()):
            if not 0 <= index < self._length:
                raise IndexError(f"sequence {index} of {self._length}")
            start = index * self.stride
            window = self.stream[start : start + self.context_length + 1]  # (time + 1,), or fewer at the end
            ids[row, : len(window) - 1] = window[:-1]
            targets[row, : len(window) - 1] = window[1:]
        return ids, targets

    def _too_short(self) -> str:
        stream, tokens = self.stream, len(self.stream)
        name = SPLIT_NAMES.get(stream.split, stream.split)
        lead = f"{stream.folder}: {tokens:,} {name} tokens make no sequence of context_length {self.context_length:,}."
        more = "Hold more out (corpus.validation_ratio or train_ratio)" if name == "validation" else "Add text"
        return f"{lead} {more}" + (f", or set model.context_length to {tokens - 1:,} or less." if tokens > 1 else ".")
