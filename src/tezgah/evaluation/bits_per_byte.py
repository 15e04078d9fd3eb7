"""Bits per byte of whole documents: the one measure that does not depend on the tokenizer.

Every document is predicted whole and by itself. Its first token is predicted from the separator
before it; the separator after it is predicted too, for a model must also say where a document
ends. A document longer than the context is read in windows that do not overlap: a window's first
input is the token that the window before it predicted last, so that every token is predicted once.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from tezgah import console
from tezgah.errors import InputError
from tezgah.evaluation.windows import Documents, Indices, batches, filled, windows_of
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM


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
    windows = windows_of(stream.offsets, chosen, model.config.context_length)
    device = next(model.parameters()).device
    precision = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
    tokens, nats = int(windows.lengths.sum()), 0.0
    bar = console.progress("evaluate", tokens, "tokens") if show_progress else nullcontext()
    with evaluating(model), precision, bar as progress:
        for rows, shape in batches(windows.lengths, batch_size, model.config.context_length):
            ids, targets = filled(stream, windows, rows, shape)  # (batch, time)
            nats += model.loss(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device)).item()
            if progress is not None:
                progress.advance(int(windows.lengths[rows].sum()))
    loss = check_loss(nats / tokens)
    return Evaluation(
        loss=loss,
        perplexity=math.exp(loss),
        bits_per_byte=nats / math.log(2) / size_bytes,
        tokens=tokens,
        bytes=size_bytes,
        documents=len(chosen),
    )


def check_loss(loss: float) -> float:
    """`loss`, in nats per token, where it is a number whose exponential is one; else raises InputError."""
    if not loss < math.log(1e300):
        raise InputError(f"a loss of {loss} nats per token: the model's weights are damaged, or its training diverged.")
    return loss
