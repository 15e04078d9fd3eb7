"""What a masked language model makes of held-out text whose masks never change: readings compare across runs."""

import math
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from tezgah import console
from tezgah.errors import InputError
from tezgah.evaluation.texts import TextDocuments
from tezgah.nn.modes import evaluating
from tezgah.tokenizer.measure import measure
from tezgah.tokenizer.texts import strings
from tezgah.tokens.index import FORMAT, TokensIndex, dtype_of
from tezgah.tokens.masked_sequences import FixedMasks, masker_of
from tezgah.tokens.settings import MaskingSettings

if TYPE_CHECKING:
    from tezgah.models.encoder import Encoder
    from tezgah.tokenizer.tokenizer import Tokenizer


class MaskedText(Protocol):
    """Sequences with masks: `tokens/masked_sequences.py`."""

    def __len__(self) -> int:
        """Sequences."""

    def batch(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Masked ids and targets, each (batch, time); a negative target is none."""


class MaskedEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """`loss` is nats per masked token, `perplexity` its exponential, `masked_accuracy` the share of right first ids.

    `word_perplexity` is e to the loss × tokens per word of the text; None where these are not known.
    """

    loss: float
    perplexity: float
    masked_accuracy: float
    masked: int  # tokens that were asked for
    word_perplexity: float | None = None


def evaluate_masked(
    model: "Encoder",
    text: MaskedText,
    batch_size: int = 16,
    indices: NDArray[np.int64] | None = None,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
    tokens_per_word: float | None = None,
) -> MaskedEvaluation:
    """Fill the masks of the sequences `indices` of `text` (all where None), `batch_size` at a time, each by itself.

    Every mask is filled from what stands around it, other masks included, as in training. `autocast` is the precision
    of matrix products, None leaves the parameters' own. `tokens_per_word` are the text's.
    """
    chosen = np.arange(len(text)) if indices is None else indices
    device = next(model.parameters()).device
    precision = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
    bar = console.progress("evaluate", len(chosen), "sequences") if show_progress else nullcontext()
    totals = np.zeros(3)  # nats, hits, masked
    with evaluating(model), precision, bar as progress:
        for start in range(0, len(chosen), batch_size):
            ids, targets = text.batch(chosen[start : start + batch_size])
            scored = model.scored(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device))
            totals += [scored.loss.item(), scored.hits.item(), (targets >= 0).sum()]
            if progress is not None:
                progress.advance(len(ids))
    nats, hits, masked = totals.tolist()
    loss = nats / max(1, masked)
    return MaskedEvaluation(
        loss=loss,
        perplexity=math.exp(min(loss, 700.0)),
        masked_accuracy=hits / max(1, masked),
        masked=int(masked),
        word_perplexity=None if tokens_per_word is None else math.exp(min(loss * tokens_per_word, 700.0)),
    )


def evaluate_masked_texts(
    model: "Encoder",
    tokenizer: "Tokenizer",
    texts: Iterable[str],
    batch_size: int = 16,
    autocast: torch.dtype | None = None,
    show_progress: bool = False,
) -> MaskedEvaluation:
    """The same of texts, one after the other with separators between them, cut to the context; masks are fixed.

    Raises InputError for texts that are too short for a mask, and for a tokenizer without [MASK].
    """
    listed = list(strings(texts))
    masker = masker_of(MaskingSettings(), tokenizer)
    stream = _TextStream(tokenizer, listed)
    if not stream.bytes.sum():
        raise InputError(f"the {len(listed):,} documents to evaluate hold no text. Give some that do.")
    masked = FixedMasks(stream, model.config.context_length, masker, keep_short=True)
    per_word = measure(tokenizer, listed).tokens_per_word
    found = evaluate_masked(model, masked, batch_size, None, autocast, show_progress, per_word)
    if not found.masked:
        raise InputError(f"the {len(stream):,} tokens to evaluate are too few: none of them is masked. Give more text.")
    return found


class _TextStream(TextDocuments):
    """Texts as a stream that sequences are cut from."""

    folder, split = Path("texts"), "given"

    def __init__(self, tokenizer: "Tokenizer", texts: list[str]) -> None:
        super().__init__(tokenizer, texts)
        vocab_size = tokenizer.vocab_size
        self.index = TokensIndex(
            format=FORMAT,
            dtype=dtype_of(vocab_size),
            vocab_size=vocab_size,
            separator_id=tokenizer.separator_id,
            tokenizer=tokenizer.hash,
            splits={},
        )

    def __len__(self) -> int:
        return len(self.ids)


def neighbours_accuracy(text: MaskedText, guess: Any, batch_size: int = 256) -> float:
    """The share of masks whose token `guess(left, right)` names, given the ids beside them, each (masks,).

    An id beside a mask that is none or masked itself is −1.
    """
    right, masked = 0, 0
    for start in range(0, len(text), batch_size):
        ids, targets = text.batch(np.arange(start, min(start + batch_size, len(text))))
        seen = np.pad(np.where(targets >= 0, -1, ids), ((0, 0), (1, 1)), constant_values=-1)
        rows, places = np.nonzero(targets >= 0)
        right += int((guess(seen[rows, places], seen[rows, places + 2]) == targets[rows, places]).sum())
        masked += len(rows)
    return right / max(1, masked)
