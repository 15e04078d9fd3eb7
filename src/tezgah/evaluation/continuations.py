"""How likely a model holds what goes on from a prompt: of any text, also one that another model wrote."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    stream = _Rows([np.concatenate(row) for row in zip(before, texts, strict=True)])
    firsts = stream.offsets[:-1] + [len(each) for each in before]  # of each text, (rows,)
    nats = np.zeros(len(pairs))
    stride = max(1, model.config.context_length // 2)
    rows = np.array([row for row, text in enumerate(texts) if len(text)], np.int64)
    if len(rows):
        for part in score_tokens(model, stream, rows, batch_size, stride, autocast):
            own = rows[part.documents]
            is_text = (part.places >= firsts[own]) & (part.places < stream.offsets[own + 1])
            nats += np.bincount(own[is_text], part.nats[is_text], minlength=len(pairs))
    return [
        Continuation(nats=float(each), tokens=len(ids), bytes=len(text.encode()))
        for each, ids, (_, text) in zip(nats, texts, pairs, strict=True)
    ]


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
