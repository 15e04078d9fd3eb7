"""How likely a model holds what goes on from a prompt: of any text, also one that another model wrote."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from tezgah.evaluation.token_scores import score_tokens
from tezgah.evaluation.windows import Indices

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """−log probability of a text after its prompt, and how long the text is."""

    nats: float
    tokens: int
    bytes: int


class RowScore(NamedTuple):
    """−log probability of a row's ids from one on, and whether each of them is the likeliest there."""

    nats: float
    is_likeliest: bool


def score_continuations(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    pairs: Sequence[tuple[str, str]],
    batch_size: int = 16,
    autocast: torch.dtype | None = None,
) -> list[Continuation]:
    """Score the second of each pair, which goes on from the first.

    The two are encoded by themselves, as they are where the first is a prompt to go on from; an empty prompt is the
    separator. What is longer than the context is read in windows that begin half a context after one another.
    """
    prompts = [tokenizer.encode(prompt) for prompt, _ in pairs]
    texts = [tokenizer.encode(text) for _, text in pairs]
    before = [each if len(each) else np.array([tokenizer.separator_id], np.int32) for each in prompts]
    rows = [np.concatenate(row) for row in zip(before, texts, strict=True)]
    scores = score_rows(model, rows, [len(each) for each in before], batch_size, autocast)
    return [
        Continuation(nats=each.nats, tokens=len(ids), bytes=len(text.encode()))
        for each, ids, (_, text) in zip(scores, texts, pairs, strict=True)
    ]


def score_rows(
    model: "CausalLM",
    rows: Sequence[NDArray[Any]],
    firsts: Sequence[int],
    batch_size: int = 16,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
) -> list[RowScore]:
    """Score each row's ids from place `firsts` on, 1 or more, given those before.

    What is longer than the context is read in windows as above.
    """
    stream = _Rows(rows)
    begins = stream.offsets[:-1] + np.asarray(firsts, np.int64)  # (rows,)
    nats, misses = np.zeros((2, len(rows)))
    stride = max(1, model.config.context_length // 2)
    asked = np.flatnonzero(begins < stream.offsets[1:])
    if len(asked):
        for part in score_tokens(model, stream, asked, batch_size, stride, autocast, show_progress):
            own = asked[part.documents]
            is_asked = (part.places >= begins[own]) & (part.places < stream.offsets[own + 1])
            nats += np.bincount(own[is_asked], part.nats[is_asked], minlength=len(rows))
            misses += np.bincount(own[is_asked], ~part.right[is_asked], minlength=len(rows))
    return [RowScore(float(each), not missed) for each, missed in zip(nats, misses, strict=True)]


class _Rows:
    """Rows of ids one after the other; the first id of each is where it begins, and is not predicted."""

    def __init__(self, rows: Sequence[NDArray[Any]]) -> None:
        self.offsets: Indices = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
        self.bytes: Indices = np.ones(len(rows), np.int64)
        self._ids = np.concatenate(
            [*rows, np.zeros(1, np.int32)]
        )  # what follows the last row is predicted, and dropped

    def __getitem__(self, place: slice) -> NDArray[Any]:
        return self._ids[place]
