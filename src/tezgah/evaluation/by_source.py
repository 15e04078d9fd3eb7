"""Bits per byte of the held-out documents, of each source by itself and of all together."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from tezgah.evaluation.bits_per_byte import Evaluation, evaluate_documents

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokens.shards import TokenStream

MOST_SOURCES = 20  # more would make batches of a few windows each


def evaluate_by_source(
    model: "CausalLM", stream: "TokenStream", batch_size: int, autocast: torch.dtype | None = None
) -> tuple[Evaluation, dict[str, Evaluation]]:
    """All documents of the stream, and those of each of its sources where they are of two or more.

    Each is read once: the whole is the sum of the parts.
    """
    documents = documents_of(stream)
    if not 2 <= len(documents) <= MOST_SOURCES:
        return evaluate_documents(model, stream, batch_size, autocast=autocast, show_progress=True), {}
    parts = {
        name: evaluate_documents(model, stream, batch_size, own, autocast, show_progress=True)
        for name, own in documents.items()
    }
    return _together(list(parts.values())), parts


def documents_of(stream: "TokenStream") -> dict[str, np.ndarray]:
    """The documents of each source that has text here; none where the tokens do not name their sources."""
    if not stream.index.sources:
        return {}
    numbers = stream.document_sources()
    found = {name: np.flatnonzero(numbers == number) for number, name in enumerate(stream.index.sources)}
    found = {name: documents for name, documents in found.items() if len(documents)}
    return found if all(stream.bytes[documents].any() for documents in found.values()) else {}


def _together(parts: list[Evaluation]) -> Evaluation:
    tokens, size_bytes = sum(each.tokens for each in parts), sum(each.bytes for each in parts)
    nats = sum(each.loss * each.tokens for each in parts)
    return Evaluation(
        loss=nats / tokens,
        perplexity=math.exp(nats / tokens),
        bits_per_byte=nats / math.log(2) / size_bytes,
        tokens=tokens,
        bytes=size_bytes,
        documents=sum(each.documents for each in parts),
    )
