"""Sequences of a stream that is made while it is read: those of `Sequences`, from a bounded buffer.

A buffer is a stretch of the stream with some whole number of sequences: about BUFFER_TOKENS
tokens. Sequences come buffer after buffer, in source order; within a buffer in a keyed order of (seed,
epoch, buffer). So what is the k-th sequence that training sees follows from k, as in stored mode,
and going on from it is reading the documents before its buffer (progress.py).

Three buffers are held: one in use, one waiting, one in the making by a thread of its own.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from threading import Event

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.seeds import named_seed
from tezgah.tokens.ahead import Ahead
from tezgah.tokens.order import sequence_indices
from tezgah.tokens.progress import Mark, StreamProgress
from tezgah.tokens.sequences import Batch, Sequences
from tezgah.tokens.stream import Piece

BUFFER_TOKENS = 1 << 22
FAR = 16  # buffers ahead from which on a place is sought by its mark, not by reading up to it


@dataclass(frozen=True)
class Buffer:
    """Some sequences of one epoch, and where in it they stand."""

    first: int  # number of the first one among all that are seen, over all epochs
    count: int
    epoch: int
    place: int  # number of the first one in its epoch
    share: float  # of the files' bytes that were read when it was full
    tokens: NDArray[np.integer]  # from the first one's first token to the last one's last target

    @property
    def end(self) -> int:
        """Number of the first sequence behind it."""
        return self.first + self.count


class StreamedSequences:
    """The training split as sequences in the order in which training sees them.

    `read` gives the stream's pieces from a document on. `sample` are sequences that are stored,
    for readings. What is left at the stream's end, shorter than a sequence, is dropped, and the next
    epoch begins with the stream's first token.
    """

    predicts_all = True

    def __init__(
        self,
        read: Callable[[int], Generator[Piece, None, None]],
        progress: StreamProgress,
        sample: Sequences,
        buffer_tokens: int = BUFFER_TOKENS,
    ) -> None:
        self.sample = sample
        self._read, self._progress = read, progress
        self._context_length, self._stride = sample.context_length, sample.stride
        self._dtype = np.dtype(sample.stream.index.dtype)
        self._size = max(1, buffer_tokens // self._stride)  # sequences in a buffer
        self._ahead: Ahead[Buffer] | None = None
        self._current: Buffer | None = None
        self._shares: deque[tuple[int, float]] = deque(maxlen=FAR)  # ends and shares of the first epoch's last buffers

    @property
    def in_epoch(self) -> int | None:
        """Sequences in an epoch; None until the first has been read."""
        return self._progress.sequences

    @property
    def reached(self) -> Mark:
        """How far the sources have been read at most."""
        return self._progress.state.reached

    def epochs(self, count: int) -> float:
        """How many epochs the `count` sequences that were seen make; in the first, by the files' bytes."""
        for end, share in tuple(self._shares):  # another thread may take the next ones
            if count <= end:
                return share
        return count / self.in_epoch if self.in_epoch else 0.0

    def take(self, seed: int | None, first: int, count: int) -> Batch:
        """The first-th to (first + count - 1)-th sequence seen: ids and targets, each (count, time).

        In source order where `seed` is None. Asking for what lies before the buffer in use begins the
        reading anew. Raises InputError for what is wrong with the sources.
        """
        ids, targets = (np.empty((count, self._context_length), np.int64) for _ in range(2))
        row = 0
        while row < count:
            buffer = self._buffer(first + row)
            places = _order(buffer, seed, first + row - buffer.first, count - row)
            for place in places.tolist():
                start = place * self._stride
                window = buffer.tokens[start : start + self._context_length + 1]
                ids[row], targets[row] = window[:-1], window[1:]
                row += 1
        return ids, targets

    def close(self) -> None:
        """End the thread that reads ahead, and write down how far the stream was read."""
        if self._ahead is not None:
            self._ahead.close()
            self._progress.write()
        self._ahead = self._current = None
        self._shares.clear()

    def _buffer(self, number: int) -> Buffer:
        """The buffer that holds this sequence."""
        current = self._current
        if current is None or not current.first <= number < current.end + FAR * self._size:
            self.close()
            unwanted = Event()
            self._ahead = Ahead(self._buffers(number, unwanted), unwanted)
        assert self._ahead is not None
        while self._current is None or number >= self._current.end:
            self._current = next(self._ahead)
            if not self._current.epoch:
                self._shares.append((self._current.end, self._current.share))
        return self._current

    def _buffers(self, number: int, unwanted: Event) -> Generator[Buffer, None, None]:
        """All buffers from the one on that holds this sequence, without an end."""
        while not unwanted.is_set():
            length = self.in_epoch
            epoch, place = divmod(number, length) if length else (0, number)
            yield from self._pass(epoch, number - place, place, unwanted)
            number = max(number, number - place + (self.in_epoch or 0))

    def _pass(self, epoch: int, begun: int, place: int, unwanted: Event) -> Generator[Buffer, None, None]:
        """One reading of the sources: the buffers from the one with the epoch's sequence `place` on.

        `begun` is the number of the epoch's first sequence among all.
        """
        size, stride = self._size, self._stride
        needed = (size - 1) * stride + self._context_length + 1  # tokens of a whole buffer
        place = place // size * size
        mark = self._progress.before(place * stride)
        held = _Held(place * stride - mark.tokens, self._dtype)
        for piece in self._read(mark.documents):
            if unwanted.is_set():
                return
            mark = _after(mark, piece)
            if not epoch and piece.documents:  # the stream cannot be begun behind its last separator
                self._progress.reach(mark)
            held.add(piece.ids)
            while held.length >= needed:
                yield Buffer(begun + place, size, epoch, place, piece.share, held.first(needed))
                held.drop(size * stride)
                place += size
        length = max(0, (mark.tokens - 1 - self._context_length) // stride + 1)
        if not length:
            raise InputError(
                f"corpus.source: {mark.tokens:,} training tokens make no sequence of context_length "
                f"{self._context_length:,}. Add text, or set model.context_length lower."
            )
        self._progress.finish(length)
        if (count := length - place) > 0:
            tokens = held.first((count - 1) * stride + self._context_length + 1)
            yield Buffer(begun + place, count, epoch, place, 1.0, tokens)


class _Held:
    """Tokens that wait to become a buffer; the first `passed_over` that come are dropped."""

    def __init__(self, passed_over: int, dtype: np.dtype[np.generic]) -> None:
        self._passed_over = passed_over
        self._pieces: list[NDArray[np.integer]] = []
        self._dtype = dtype
        self.length = 0

    def add(self, ids: NDArray[np.integer]) -> None:
        rest = ids[self._passed_over :].astype(self._dtype)  # a copy, in the type that shards have
        self._passed_over -= ids.size - rest.size
        self._pieces.append(rest)
        self.length += rest.size

    def first(self, count: int) -> NDArray[np.integer]:
        """The first `count` tokens, which stay."""
        self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0][:count]

    def drop(self, count: int) -> None:
        """Drop the first `count` tokens, those to come included."""
        rest = self.first(self.length)[count:].copy()  # a view would keep what was dropped
        self._passed_over += max(0, count - self.length)
        self._pieces, self.length = [rest], rest.size


def _after(mark: Mark, piece: Piece) -> Mark:
    return Mark(
        mark.documents + piece.documents,
        mark.tokens + piece.ids.size,
        mark.bytes + piece.bytes,
        mark.characters + piece.characters,
    )


def _order(buffer: Buffer, seed: int | None, first: int, count: int) -> NDArray[np.int64]:
    """Which of the buffer's sequences are its first-th to (first + count - 1)-th, as far as it has them."""
    count = min(count, buffer.count - first)
    if seed is None:
        return np.arange(first, first + count)
    key = named_seed(seed, f"buffer of epoch {buffer.epoch}", buffer.place)
    return sequence_indices(key, buffer.count, first, count)
