"""How likely a model holds a text: log-likelihoods, of masked language models the pseudo ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.generation.kinds import check_masked, fills_masks
from tezgah.generation.masked_scores import SCORES_AT_ONCE, log_probabilities
from tezgah.generation.sampling import check_scores
from tezgah.generation.too_long import told_share
from tezgah.nn.modes import evaluating
from tezgah.nn.precision import widened
from tezgah.tokenizer.mask import frame, mask_token
from tezgah.tokenizer.word_starts import word_starts

if TYPE_CHECKING:
    from tezgah.models.encoder import Encoder
    from tezgah.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Likelihood:
    """Of a text, in nats: of all of it, and of each of its words."""

    text: str
    log_likelihood: float
    tokens: int
    words: tuple[tuple[str, float], ...]
    is_pseudo: bool

    @property
    def perplexity(self) -> float:
        """exp(−log-likelihood / tokens)."""
        return math.exp(min(-self.log_likelihood / self.tokens, 700.0))


def likelihoods(model: Any, tokenizer: "Tokenizer", texts: Sequence[str]) -> list[Likelihood]:
    """The log-likelihood of each text, read by itself.

    A causal model predicts each token from those before it, the first from the separator. Of a masked language model
    it is the pseudo-log-likelihood: each token is masked by itself and predicted from all others (Salazar et al. 2020,
    "Masked Language Model Scoring", equation 2). Raises InputError for a text that is empty or longer than the
    context, and for a model that is neither.
    """
    is_pseudo = fills_masks(model)
    if not hasattr(model, "next_logits"):
        check_masked(model, "tezgah.likelihood")
    rows = [tokenizer.encode(text).astype(np.int64) for text in texts]
    before, after = frame(tokenizer) if is_pseudo else ([tokenizer.separator_id], [])
    longest = model.config.context_length - len(before) - len(after) + (not is_pseudo)  # the last one is not read
    for row in rows:
        if not len(row):
            raise InputError("a text is empty: it has no likelihood. Give a text with a character or more.")
    if long := [len(row) for row in rows if len(row) > longest]:
        raise InputError(
            f"{told_share(len(long), len(rows))} {long[0]:,} tokens, the model sees {longest:,} at once, and none is "
            "cut. Give a shorter one."
        )
    with evaluating(model):
        if is_pseudo:
            mask_id = mask_token(tokenizer).id
            found = [_pseudo(model, row.tolist(), before, after, mask_id) for row in rows]
        else:
            found = [_ordinary(model, [*before, *row.tolist()]) for row in rows]
    starts = word_starts(tokenizer)
    return [
        Likelihood(text, sum(scores), len(row), _words(tokenizer, row, scores, starts.of(row)), is_pseudo)
        for text, row, scores in zip(texts, rows, found, strict=True)
    ]


def _pseudo(model: "Encoder", ids: list[int], before: list[int], after: list[int], mask_id: int) -> list[float]:
    """The log-probability of each token, the others given, in nats."""
    size, found = max(1, SCORES_AT_ONCE // model.config.vocab_size), list[float]()
    for start in range(0, len(ids), size):
        masked = range(start, min(start + size, len(ids)))
        rows = [[*before, *ids[:place], mask_id, *ids[place + 1 :], *after] for place in masked]
        scores = log_probabilities(model, rows, [[len(before) + place] for place in masked], mask_id)
        found += [float(each[0, ids[place]]) for each, place in zip(scores, masked, strict=True)]
    return found


def _ordinary(model: Any, ids: list[int]) -> list[float]:
    """The log-probability of each token but the first, those before it given, in nats."""
    row = torch.tensor([ids], device=model.embedding.weight.device)
    logits = widened(model(row[:, :-1])[0])  # (time, vocab)
    check_scores(logits)
    scores = logits.log_softmax(-1)
    found: list[float] = scores.gather(1, row[0, 1:, None])[:, 0].tolist()
    return found


def _words(
    tokenizer: "Tokenizer", ids: NDArray[np.int64], scores: Sequence[float], begins: NDArray[np.bool_]
) -> tuple[tuple[str, float], ...]:
    """Each word with the sum of its tokens' scores; white space by itself belongs to the word before it."""
    words = list[tuple[str, float]]()
    for part in np.split(np.arange(len(ids)), np.flatnonzero(begins)[1:]):
        name, score = tokenizer.decode(ids[part]).strip(), sum(scores[place] for place in part)
        if words and not name:
            name, before = words.pop()
            score += before
        words.append((name, score))
    return tuple(words)
