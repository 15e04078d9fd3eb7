"""Bits per byte of whole documents: the one measure that does not depend on the tokenizer.

Every document is predicted whole and by itself. Its first token is predicted from the separator
before it; the separator after it is predicted too, for a model must also say where a document
ends. A document longer than the context is read in windows that do not overlap: a window's first
input is the token that the window before it predicted last, so that every token is predicted once.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from tezgah import console
from tezgah.errors import InputError
from tezgah.nn.cross_entropy import IGNORED
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM

Indices = NDArray[np.int64]

SHORTEST_ROW = 16  # tokens; windows shorter than this are all padded to it


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a model makes of some documents.

    `loss` is nats per predicted token, `perplexity` its exponential; `tokens` counts what was
    predicted: the documents' tokens and one separator each. `bytes` are the text's, in UTF-8.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int
    bytes: int
    documents: int


class Documents(Protocol):
    """A stream of ids: each document after a separator, one more separator at the end."""

    @property
    def offsets(self) -> NDArray[Any]:
        """Where each document's separator stands, and the last one's, (documents + 1,)."""

    @property
    def bytes(self) -> NDArray[Any]:
        """Bytes of each document's text, (documents,)."""

    def __getitem__(self, place: slice) -> NDArray[Any]:
        """A stretch of ids."""


def evaluate_documents(
    model: "CausalLM",
    stream: Documents,
    batch_size: int = 16,
    documents: Sequence[int] | Indices | None = None,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
) -> Evaluation:
    """Predict `documents` of `stream` (all where None), `batch_size` windows at a time.

    `autocast` is the precision of matrix products, None leaves the parameters' own.
    """
    chosen = np.arange(len(stream.bytes)) if documents is None else np.asarray(documents, np.int64)
    size_bytes = int(stream.bytes[chosen].sum())
    if size_bytes == 0:
        raise InputError(f"the {len(chosen):,} documents to evaluate hold no text. Give some that do.")
    starts, lengths = _windows(stream.offsets, chosen, model.config.context_length)
    device = next(model.parameters()).device
    precision = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
    tokens, nats = int(lengths.sum()), 0.0
    bar = console.progress("evaluate", tokens, "tokens") if show_progress else nullcontext()
    with evaluating(model), precision, bar as progress:
        for rows, shape in _batches(lengths, batch_size, model.config.context_length):
            ids, targets = _fill(stream, starts[rows], lengths[rows], shape)  # (batch, time)
            nats += model.loss(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device)).item()
            if progress is not None:
                progress.advance(int(lengths[rows].sum()))
    loss = nats / tokens
    if not loss < math.log(1e300):
        raise InputError(f"a loss of {loss} nats per token: the model's weights are damaged, or its training diverged.")
    return Evaluation(
        loss=loss,
        perplexity=math.exp(loss),
        bits_per_byte=nats / math.log(2) / size_bytes,
        tokens=tokens,
        bytes=size_bytes,
        documents=len(chosen),
    )


def _windows(offsets: NDArray[Any], documents: Indices, context_length: int) -> tuple[Indices, Indices]:
    """First input and number of predictions of every window of `documents`, in order.

    >>> _windows(np.array([0, 3, 13]), np.array([0, 1]), context_length=4)   # 2 and 9 tokens, 2 separators
    (array([ 0,  3,  7, 11]), array([3, 4, 4, 2]))
    """
    first, last = offsets[documents].astype(np.int64), offsets[documents + 1].astype(np.int64)
    counts = -(-(last - first) // context_length)  # (documents,) windows
    place = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)  # (windows,) in its document
    starts = np.repeat(first, counts) + place * context_length
    return starts, np.minimum(context_length, np.repeat(last, counts) - starts)


def _batches(lengths: Indices, batch_size: int, context_length: int) -> Iterator[tuple[Indices, tuple[int, int]]]:
    """Windows of like length together, with the (rows, row_length) to pad them to.

    Row lengths are powers of two, and what does not fill a batch moves up to the next, so that
    shapes are few and at most one batch has empty rows.

    >>> list(_batches(np.array([3, 60, 64, 5, 9]), batch_size=2, context_length=64))
    [(array([0, 3]), (2, 16)), (array([4, 1]), (2, 64)), (array([2]), (2, 64))]
    """
    powers = 2 ** np.ceil(np.log2(np.maximum(lengths, SHORTEST_ROW))).astype(np.int64)
    row_lengths = np.minimum(powers, context_length)  # (windows,)
    waiting, row_length = np.empty(0, np.int64), 0
    for row_length in np.unique(row_lengths).tolist():
        waiting = np.concatenate((waiting, np.flatnonzero(row_lengths == row_length)))
        full = len(waiting) // batch_size * batch_size
        for rows in waiting[:full].reshape(-1, batch_size):
            yield rows, (batch_size, row_length)
        waiting = waiting[full:]
    if len(waiting):
        yield waiting, (min(batch_size, len(lengths)), row_length)


def _fill(stream: Documents, starts: Indices, lengths: Indices, shape: tuple[int, int]) -> tuple[Indices, Indices]:
    """Inputs and targets of the windows, each of `shape`, (rows, row_length)."""
    ids, targets = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
        piece = stream[start : start + length + 1]
        ids[row, :length], targets[row, :length] = piece[:-1], piece[1:]
    return ids, targets
