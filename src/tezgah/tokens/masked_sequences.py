"""Sequences for a masked language model: those of any training, masked anew each time, and held-out ones."""

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.mask import mask_token, special_ids
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokenizer.word_starts import word_starts
from tezgah.tokens.masking import Masker
from tezgah.tokens.sequences import Batch, Sequences, Stream, TrainingSequences
from tezgah.tokens.settings import MaskingSettings

FIXED = MaskingSettings(rate=0.15, mask_share=1.0, random_share=0.0)
FIXED_SEED = 0  # never another: readings of one run are compared with another's


class MaskedSequences:
    """The windows of `sequences` in their order, masked anew whenever one is seen.

    The k-th sequence that training sees is masked by (seed, k), so by other masks in every epoch. `sample` are
    sequences with fixed masks.
    """

    predicts_all = False

    def __init__(self, sequences: TrainingSequences, masker: Masker) -> None:
        whole = sequences.sample
        self.sample = FixedMasks(whole.stream, whole.context_length, masker, whole.stride)
        self._sequences, self._masker = sequences, masker

    @property
    def mask_id(self) -> int:
        """The id of [MASK]."""
        return self._masker.mask_id

    @property
    def in_epoch(self) -> int | None:
        """How many sequences an epoch has; None where that is not known yet."""
        return self._sequences.in_epoch

    def epochs(self, count: int) -> float:
        """How many epochs `count` sequences are."""
        return self._sequences.epochs(count)

    def take(self, seed: int, first: int, count: int) -> Batch:
        """The first-th to (first + count - 1)-th sequence seen: masked ids and targets, each (count, time)."""
        ids, _ = self._sequences.take(seed, first, count)
        return self._masker.mask(ids, seed, np.arange(first, first + count))


class FixedMasks(Sequences):
    """Sequences whose masks hang on nothing but their number and the place, so that readings compare across runs.

    15 % of the tokens are asked for, each by itself, and [MASK] stands for all of these. Of `masker` the [MASK] and
    the special tokens count alone.
    """

    def __init__(
        self, stream: Stream, context_length: int, masker: Masker, stride: int = 0, keep_short: bool = False
    ) -> None:
        super().__init__(stream, context_length, stride, keep_short)
        self._masker = Masker(FIXED, masker.mask_id, masker.special)

    def batch(self, indices: NDArray[np.integer]) -> Batch:
        """The sequences of these numbers: masked ids and targets, each (batch, time)."""
        ids, _ = super().batch(indices)
        return self._masker.mask(ids, FIXED_SEED, indices)


def masker_of(settings: MaskingSettings, tokenizer: Tokenizer) -> Masker:
    """What masks the ids of a tokenizer. Raises InputError where it has no [MASK]."""
    mask_id, special = mask_token(tokenizer).id, special_ids(tokenizer)
    if settings.unit != "word":
        return Masker(settings, mask_id, special)
    return Masker(settings, mask_id, special, *word_starts(tokenizer))
