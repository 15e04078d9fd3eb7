"""Masked tokens for a masked language model: which are asked for, and what stands in their places.

All of it is arithmetic on (seed, number of the sequence, position), by the hash of `order.py`: the
number counts on through the epochs, so each epoch has masks of its own, and they are the same whatever
the batches, the workers or the processes. Every token that is not special is chosen with probability
`rate`, exactly, wherever it stands:

- "token": each by itself (Devlin et al. 2019, "BERT", section 3.1);
- "word": all tokens of a word, or none (the whole-word masking of BERT's later releases);
- "span": runs of tokens, whose lengths are geometric and at most 10 (Joshi et al. 2020, "SpanBERT",
  section 3.1). Spans and gaps, of at least one token, take turns, begun in their stationary state.

Of a chosen token [MASK] stands for `mask_share`, a random one for `random_share`, drawn for each token by
itself, in a span for all of it at once.
"""

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.seeds import named_seed
from tezgah.tokens.order import mix
from tezgah.tokens.sequences import NO_TARGET, Batch
from tezgah.tokens.settings import MaskingSettings

LONGEST_SPAN = 10  # tokens, as SpanBERT has it
UNIT = 2.0**-53  # 53 bits of a word are a float in [0, 1)
STEP = np.uint64(0x9E3779B97F4A7C15)  # from one word of a stream to the next, as in SplitMix64

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]
Chances = NDArray[np.float64]
Keys = NDArray[np.uint64]


class Masker:
    """Masks sequences of ids by `[masking]`.

    `special`, (vocab,), are the ids that are never chosen, nor drawn at random: separators, padding, [MASK] itself.
    Where whole words are masked, `begins_word` and `ends_word`, (vocab,), tell at and after which ids one begins
    (`tokenizer/word_starts.py`).

    Raises InputError for shares above 1 together, spans that cannot reach the rate, and a vocabulary of special
    tokens alone.
    """

    def __init__(
        self,
        settings: MaskingSettings,
        mask_id: int,
        special: Flags,
        begins_word: Flags | None = None,
        ends_word: Flags | None = None,
    ) -> None:
        _check(settings, special)
        if settings.unit == "word" and (begins_word is None or ends_word is None):
            raise TypeError("whole words are masked only where begins_word and ends_word are given")
        self.settings, self.mask_id, self.special = settings, mask_id, special
        self._begins, self._ends = begins_word, ends_word
        self._ordinary = np.flatnonzero(~special)  # ids

    def mask(self, ids: Ids, seed: int, numbers: NDArray[np.integer]) -> Batch:
        """Masked ids and targets, −100 where none is asked for, each (batch, time) as `ids`.

        `numbers`, (batch,), name the sequences. 36 million tokens a second by tokens, 21 by words or by spans
        (64 × 512 at once, one core).
        """
        keys = mix(np.uint64(named_seed(seed, "masking")) + mix(numbers.astype(np.uint64)))  # (batch,)
        chosen, owner = self._chosen(ids, keys)  # (batch, time) each
        rows, places = np.nonzero(chosen)  # (chosen,) each
        targets = np.full(ids.shape, NO_TARGET, np.int64)
        targets[rows, places] = ids[rows, places]
        fate = _uniform(_stream(keys, "fate")[rows], owner[rows, places])
        drawn = _uniform(_stream(keys, "random token")[rows], places)
        as_mask = fate < self.settings.mask_share
        as_random = ~as_mask & (fate < self.settings.mask_share + self.settings.random_share)
        masked = ids.astype(np.int64, copy=True)
        masked[rows[as_mask], places[as_mask]] = self.mask_id
        random = self._ordinary[(drawn[as_random] * len(self._ordinary)).astype(np.int64)]
        masked[rows[as_random], places[as_random]] = random
        return masked, targets

    def _chosen(self, ids: Ids, keys: Keys) -> tuple[Flags, NDArray[np.int64]]:
        """Which tokens are asked for, and for each the number that its fate is drawn by, (batch, time) each."""
        time, rate = ids.shape[1], self.settings.rate
        positions = np.broadcast_to(np.arange(time), ids.shape)
        special = self.special[ids]
        if self.settings.unit == "span":
            inside, span = _spans(_stream(keys, "spans"), time, rate, self.settings.span_length)
            return inside & ~special, span
        draws = _uniform(_stream(keys, "chosen")[:, None], positions)  # (batch, time)
        if self.settings.unit == "word":
            draws = np.take_along_axis(draws, self._word_starts(ids, special, positions), axis=1)
        return (draws < rate) & ~special, positions

    def _word_starts(self, ids: Ids, special: Flags, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the word of each token begins, (batch, time)."""
        assert self._begins is not None and self._ends is not None
        begins = self._begins[ids] | special
        begins[:, 1:] |= (self._ends[ids] | special)[:, :-1]
        return np.maximum.accumulate(np.where(begins, positions, 0), axis=1)


def _stream(keys: Keys, purpose: str) -> Keys:
    """The keys of a random stream of each sequence, (batch,)."""
    return mix(keys ^ np.uint64(named_seed(0, purpose)))


def _uniform(keys: Keys, positions: NDArray[np.integer]) -> Chances:
    """The draws in [0, 1) at these positions of streams."""
    words = keys + positions.astype(np.uint64) * STEP
    return (mix(words) >> np.uint64(11)).astype(np.float64) * UNIT


def _spans(keys: Keys, time: int, rate: float, mean: float) -> tuple[Flags, NDArray[np.int64]]:
    """Whether a position lies in a span, and in which, counted from the left, (batch, time) each.

    Gap k is geometric with the mean that leaves `rate` to the spans. Position 0 is in a span with probability
    `rate`, which then has as much left as a span met at a random place has: P(r) = P(length ≥ r) / mean.
    """
    lengths = span_lengths(mean)
    gap_stop = rate / (mean * (1 - rate))  # the chance that a gap ends after a token of it
    longer = lengths[::-1].cumsum()[::-1]  # P(length ≥ 1), P(length ≥ 2), …
    n_spans = 8 + int(1.5 * time * rate / mean)
    while True:
        draws = _uniform(keys[:, None], np.broadcast_to(np.arange(2 * n_spans + 1), (len(keys), 2 * n_spans + 1)))
        sizes = np.empty((len(keys), 2 * n_spans), np.int64)  # gap, span, gap, span, …
        sizes[:, 0::2] = _geometric(draws[:, 1::2], gap_stop)
        sizes[:, 1::2] = 1 + np.searchsorted(lengths.cumsum()[:-1], draws[:, 2::2], side="right")
        inside = draws[:, 0] < rate  # at position 0
        left = 1 + np.searchsorted((longer / mean).cumsum()[:-1], draws[inside, 2], side="right")
        sizes[inside, 0], sizes[inside, 1] = 0, left
        ends = sizes.cumsum(axis=1)  # (batch, 2 × spans)
        if not len(ends) or ends[:, -1].min() >= time:
            break
        n_spans *= 2
    marks = np.zeros((len(keys), time + 1), np.int64)
    rows = np.broadcast_to(np.arange(len(keys))[:, None], ends.shape)
    np.add.at(marks, (rows, np.minimum(ends, time)), 1)
    turns = marks[:, :time].cumsum(axis=1)  # how many gaps and spans have ended
    return turns % 2 == 1, turns // 2


def span_lengths(mean: float) -> Chances:
    """P(1) … P(10) of a geometric distribution that is cut off at 10 and has this mean, between 1 and 5.5.

    SpanBERT's, of p = 0.2, has a mean of 3.8.

    >>> span_lengths(3.797).round(3)[:3]
    array([0.224, 0.179, 0.143])
    """
    low, high = 0.0, 1.0  # the ratio of each chance to the one before
    for _ in range(60):
        ratio = (low + high) / 2
        chances = ratio ** np.arange(LONGEST_SPAN)
        is_short = chances @ np.arange(1, LONGEST_SPAN + 1) < mean * chances.sum()
        low, high = (ratio, high) if is_short else (low, ratio)
    return np.asarray(chances / chances.sum())


def _geometric(draws: Chances, stop: float) -> NDArray[np.int64]:
    """How many trials until one succeeds that has the chance `stop`: 1, 2, …"""
    if stop >= 1:
        return np.ones(draws.shape, np.int64)
    trials: NDArray[np.int64] = 1 + np.floor(np.log1p(-draws) / np.log1p(-stop)).astype(np.int64)
    return trials


def _check(settings: MaskingSettings, special: Flags) -> None:
    shares = settings.mask_share + settings.random_share
    if shares > 1 + 1e-9:
        raise InputError(f"[masking] mask_share and random_share are {shares:g} together. Let them be 1 or less.")
    most = settings.span_length / (settings.span_length + 1)
    if settings.unit == "span" and settings.rate > most:
        raise InputError(
            f"[masking] rate is {settings.rate:g}, but spans of {settings.span_length:g} tokens with one between two "
            f"reach {most:.2g}. Lower rate, or raise span_length."
        )
    if special.all():
        raise InputError("[masking] the tokenizer has special tokens alone: there is nothing to mask. Train another.")
