"""What a model gives each token of documents, in one pass: its loss, and how sure the model was of its own guess."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tezgah import console
from tezgah.errors import InputError
from tezgah.evaluation.windows import Documents, Indices, batches, filled, windows_of
from tezgah.nn.cross_entropy import IGNORED, SLICE_LOGITS
from tezgah.nn.modes import evaluating
from tezgah.nn.precision import widened

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM


class TokenScores(NamedTuple):
    """Tokens that were predicted together; each array is (tokens,)."""

    documents: Indices  # whose they are: places in the list of documents that was given
    places: Indices  # in the stream
    positions: Indices  # how many tokens the model saw before each, the separator included
    ids: Indices
    nats: NDArray[np.float64]  # −log probability
    confidence: NDArray[np.float64]  # probability of the likeliest token there
    right: NDArray[np.bool_]  # whether that was the token


def score_tokens(
    model: "CausalLM",
    stream: Documents,
    documents: Sequence[int] | Indices,
    batch_size: int = 16,
    stride: int | None = None,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
) -> Iterator[TokenScores]:
    """Every token of `documents` once, in no order; windows as in `windows.py`, `batch_size` at a time.

    Raises InputError for a stride longer than the model's context.
    """
    context_length = model.config.context_length
    if stride is not None and not 0 < stride <= context_length:
        raise InputError(
            f"stride is {stride:,} and the model sees {context_length:,} tokens at once: what lies between two "
            f"windows would not be predicted. Give 1 to {context_length:,}."
        )
    windows = windows_of(stream.offsets, np.asarray(documents, np.int64), context_length, stride)
    device = next(model.parameters()).device
    precision = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
    predicted = windows.lengths - windows.context  # (windows,)
    bar = console.progress("evaluate", int(predicted.sum()), "tokens") if show_progress else nullcontext()
    with evaluating(model), precision, bar as progress:
        for rows, shape in batches(windows.lengths, batch_size, context_length):
            ids, targets = filled(stream, windows, rows, shape)  # (batch, time)
            row, column = np.nonzero(targets != IGNORED)  # (tokens,) each
            hidden = model.hidden(torch.from_numpy(ids).to(device))[row, column]  # (tokens, width)
            answers = targets[row, column]
            scores = _scores(hidden, model.head_weight(), torch.from_numpy(answers).to(device))
            places = windows.starts[rows][row] + column + 1
            yield TokenScores(windows.documents[rows][row], places, column + 1, answers, *scores)
            if progress is not None:
                progress.advance(len(answers))


def _scores(
    hidden: Tensor, weight: Tensor, answers: Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """−log probability of `answers`, the highest probability, and whether that is the answer's; each (tokens,)."""
    size = max(1, SLICE_LOGITS // len(weight))
    parts: list[tuple[Tensor, ...]] = []
    for rows, own in zip(torch.split(hidden, size), torch.split(answers, size), strict=True):
        logits = widened(F.linear(rows, weight))  # (slice, vocab)
        total = logits.logsumexp(-1)
        top, guess = logits.max(-1)
        nats = total - logits.gather(-1, own[:, None])[:, 0]
        parts.append((nats, (top - total).exp(), guess == own))
    nats, confidence, right = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
    return nats.double().numpy(), confidence.double().numpy(), right.numpy()
