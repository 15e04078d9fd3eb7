"""The loss of documents from several sides, in one pass: by word, by place in the context, by source, and calibration.

A token late in a window has more to go on than an early one: with a stride every token but a document's first ones
has at least (context − stride) tokens before it, at the price of context / stride times the work (the strided
perplexity of Hugging Face's documentation, "Perplexity of fixed-length models").
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from tezgah.errors import InputError
from tezgah.evaluation.bits_per_byte import Evaluation, check_loss
from tezgah.evaluation.calibration import Bin, Reliability, calibration_error
from tezgah.evaluation.token_scores import score_tokens
from tezgah.evaluation.windows import Documents, Indices

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer


class PlaceScore(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens before which the model saw `first` to `last` tokens.

    `bits_per_byte` is over the bytes of these tokens; None where single tokens do not spell the text's bytes.
    """

    first: int
    last: int
    tokens: int
    loss: float
    perplexity: float
    bits_per_byte: float | None


class DetailedEvaluation(Evaluation, frozen=True, kw_only=True):
    """An `Evaluation` and more of the same pass.

    `words` are stretches without white space, `word_perplexity` the exponential of the loss per word.
    `calibration_error` is the expected one of the likeliest next token, of the steps in `reliability`.
    """

    words: int
    word_perplexity: float
    calibration_error: float
    reliability: list[Bin]
    by_position: list[PlaceScore]
    by_source: dict[str, Evaluation]


def evaluate_detailed(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    stream: Documents,
    batch_size: int = 16,
    stride: int | None = None,
    autocast: torch.dtype | None = None,
    sources: Mapping[str, Indices] | None = None,
    show_progress: bool = False,
) -> DetailedEvaluation:
    """Predict all documents of `stream`, which `tokenizer` encoded; `sources` are the documents of each.

    Without a `stride` windows do not overlap, and loss and bits per byte are those of `evaluate_documents`.
    """
    count = len(stream.bytes)
    size_bytes = int(stream.bytes.sum())
    if size_bytes == 0:
        raise InputError(f"the {count:,} documents to evaluate hold no text. Give some that do.")
    counted = Reliability()
    spelled = _Spelled(tokenizer)
    nats, tokens = np.zeros(count), np.zeros(count, np.int64)  # of each document
    places = np.zeros((3, model.config.context_length + 1))  # nats, tokens, bytes
    for part in score_tokens(model, stream, range(count), batch_size, stride, autocast, show_progress):
        nats += np.bincount(part.documents, part.nats, minlength=count)
        tokens += np.bincount(part.documents, minlength=count)
        for row, weights in enumerate((part.nats, np.ones(len(part.ids)), spelled.lengths(part.ids))):
            places[row] += np.bincount(part.positions, weights, minlength=places.shape[1])
        counted.add(part.confidence, part.right)
    whole = _evaluation(nats, tokens, stream.bytes)
    bins = counted.bins()
    words = sum(_words(tokenizer, stream, document) for document in range(count))
    if not words:
        raise InputError(f"the {count:,} documents to evaluate hold white space alone. Give some text.")
    return DetailedEvaluation(
        **msgspec.structs.asdict(whole),
        words=words,
        word_perplexity=math.exp(min(whole.loss * whole.tokens / words, 700.0)),
        calibration_error=calibration_error(bins),
        reliability=bins,
        by_position=_by_position(places, is_spelled=places[2].sum() == size_bytes),
        by_source={
            name: _evaluation(nats[own], tokens[own], stream.bytes[own]) for name, own in (sources or {}).items()
        },
    )


class _Spelled:
    """How many bytes single tokens spell; a separator none."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._lengths = np.full(tokenizer.vocab_size, -1, np.int64)
        self._lengths[tokenizer.separator_id] = 0

    def lengths(self, ids: Indices) -> Indices:
        """Of each of `ids`, (tokens,)."""
        for new in np.unique(ids[self._lengths[ids] < 0]).tolist():
            self._lengths[new] = len(self._tokenizer.decode_bytes([new]))
        return self._lengths[ids]


def _evaluation(nats: np.ndarray, tokens: np.ndarray, sizes: np.ndarray) -> Evaluation:
    """Of some documents, from what each came to."""
    total, size_bytes = float(nats.sum()), int(sizes.sum())
    loss = check_loss(total / int(tokens.sum()))
    return Evaluation(
        loss=loss,
        perplexity=math.exp(loss),
        bits_per_byte=total / math.log(2) / size_bytes if size_bytes else math.inf,
        tokens=int(tokens.sum()),
        bytes=size_bytes,
        documents=len(sizes),
    )


def _by_position(places: np.ndarray, is_spelled: bool) -> list[PlaceScore]:
    """Places in steps that double: 1, 2 to 3, 4 to 7 …, those that hold tokens."""
    found = []
    first = 1
    while first < places.shape[1]:
        last = min(2 * first, places.shape[1]) - 1
        nats, tokens, size_bytes = places[:, first : last + 1].sum(1).tolist()
        if tokens:
            found.append(
                PlaceScore(
                    first=first,
                    last=last,
                    tokens=int(tokens),
                    loss=nats / tokens,
                    perplexity=math.exp(min(nats / tokens, 700.0)),
                    bits_per_byte=nats / math.log(2) / size_bytes if is_spelled and size_bytes else None,
                )
            )
        first *= 2
    return found


def _words(tokenizer: "Tokenizer", stream: Documents, document: int) -> int:
    """How many words a document has: stretches between white space."""
    first, last = (int(stream.offsets[place]) for place in (document, document + 1))
    return len(tokenizer.decode(stream[first + 1 : last]).split())
