"""Documents in memory, for texts that no run folder holds."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tezgah.evaluation.bits_per_byte import Evaluation, evaluate_documents
from tezgah.evaluation.windows import Indices
from tezgah.tokenizer.texts import strings

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer


def evaluate_texts(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    texts: Iterable[str],
    batch_size: int = 16,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
) -> Evaluation:
    """Predict each of `texts` as a document; the rest as in `evaluate_documents`."""
    stream = TextDocuments(tokenizer, list(strings(texts)))
    return evaluate_documents(model, stream, batch_size, autocast=autocast, show_progress=show_progress)


class TextDocuments:
    """Texts as a stream of ids: each after a separator, one more separator at the end."""

    def __init__(self, tokenizer: "Tokenizer", texts: list[str]) -> None:
        ids, bounds = tokenizer.encode_batch(texts)  # (tokens,), (texts + 1,)
        self.bytes: Indices = np.array([len(text.encode()) for text in texts], np.int64)
        self.offsets: Indices = bounds.astype(np.int64) + np.arange(len(texts) + 1)
        separator_id = tokenizer.separator_id
        self.ids = np.append(np.insert(ids, bounds[:-1], separator_id), separator_id)

    def __getitem__(self, place: slice) -> NDArray[Any]:
        return self.ids[place]
