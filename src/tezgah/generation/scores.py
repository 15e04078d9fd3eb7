"""Log-probabilities of tokens: of those that were chosen, of the likeliest beside them, and of given texts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tezgah.errors import InputError
from tezgah.generation.kinds import check_causal
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer

AT_ONCE = 128  # places whose scores of the whole vocabulary are held at a time


class Logprobs(NamedTuple):
    """Natural log-probabilities that the model gives, before penalties, temperature and filters, at one place."""

    chosen: float
    top: list[tuple[int, float]]  # (id, log-probability), the likeliest first


class ScoredText(NamedTuple):
    """A text, its ids, and how likely each of them is after those before it."""

    text: str
    ids: list[int]
    logprobs: list[Logprobs]


def score_texts(model: "CausalLM", tokenizer: "Tokenizer", texts: Sequence[str], top: int = 0) -> list[ScoredText]:
    """Per-token log-probabilities of texts, and of the `top` likeliest tokens at each place.

    The first token is predicted from the separator. Of a text longer than the context each token is predicted from
    what generation would see there: when the context is full, its later half is read on from. Raises InputError for an
    empty text, and for a model that does not go on from a text.
    """
    check_causal(model, "tezgah.score_texts")
    found = []
    with evaluating(model):
        for text in texts:
            ids = tokenizer.encode(text).tolist()
            if not ids:
                raise InputError("a text is empty: it has no tokens to score. Give a text with a character or more.")
            logprobs = score_ids(model, [tokenizer.separator_id, *ids], tokenizer.vocab_size, top)
            found.append(ScoredText(text, ids, logprobs))
    return found


def score_ids(model: "CausalLM", ids: Sequence[int], vocab_size: int, top: int = 0) -> list[Logprobs]:
    """The same for every id but the first; the likeliest are sought among ids below `vocab_size`."""
    device = next(model.parameters()).device
    found = []
    for begin, first, last in _windows(len(ids) - 1, model.config.context_length):
        hidden = model.hidden(torch.tensor([ids[begin:last]], device=device))[0, first - begin :]  # (places, width)
        for start in range(0, len(hidden), AT_ONCE):
            logits = F.linear(hidden[start : start + AT_ONCE], model.head_weight())  # (places, vocab)
            following = ids[first + start + 1 : first + start + 1 + len(logits)]
            found += logprobs_of(logits, following, vocab_size, top)
    return found


def logprobs_of(logits: Tensor, ids: Sequence[int], vocab_size: int, top: int) -> list[Logprobs]:
    """Of `logits`, (rows, vocab), those of `ids`, one a row, and of the `top` likeliest below `vocab_size`."""
    rates = logits.cpu().double().log_softmax(-1)  # (rows, vocab)
    chosen = rates.gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
    likeliest = rates[:, :vocab_size].topk(min(top, vocab_size))
    rows = zip(chosen, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    return [Logprobs(value, list(zip(places, values, strict=True))) for value, places, values in rows]


def _windows(length: int, context_length: int) -> Iterator[tuple[int, int, int]]:
    """Where each reading of so many tokens begins, and which places it scores: from its second number to its third.

    >>> list(_windows(9, 4))
    [(0, 0, 4), (3, 4, 7), (6, 7, 9)]
    """
    begin, first = 0, 0
    while first < length:
        last = min(begin + context_length, length)
        yield begin, first, last
        begin, first = last + 1 - max(1, context_length // 2), last
