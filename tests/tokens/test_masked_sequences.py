"""Masked sequences: the windows of the training, masks by when a window is seen; held-out ones masked for good."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokens.test_sequences import Stream
from tezgah.errors import InputError
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.masked_sequences import FixedMasks, MaskedSequences, masker_of
from tezgah.tokens.masking import Masker
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.settings import MaskingSettings

MASK = 900
SPECIAL = np.isin(np.arange(1_000), (0, MASK))
MASKER = Masker(MaskingSettings(rate=0.3), MASK, SPECIAL)
WHOLE = Sequences(Stream(400), 16)  # type: ignore[arg-type]
MASKED = MaskedSequences(WHOLE, MASKER)


@settings(max_examples=25)
@given(st.integers(0, 2**40), st.integers(0, 200), st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_what_is_seen_when_does_not_hang_on_the_batches(seed: int, first: int, counts: list[int]):
    ids, targets = MASKED.take(seed, first, sum(counts))
    assert np.array_equal(np.where(targets >= 0, targets, ids), WHOLE.take(seed, first, sum(counts))[0])
    place = 0
    for count in counts:  # so going on in the middle is the same too
        part = MASKED.take(seed, first + place, count)
        assert np.array_equal(part[0], ids[place : place + count])
        assert np.array_equal(part[1], targets[place : place + count])
        place += count


def test_an_epoch_has_masks_of_its_own():
    count = WHOLE.in_epoch
    shown = []
    for epoch in range(2):
        ids, targets = MASKED.take(1, epoch * count, count)
        order = np.argsort(np.where(targets >= 0, targets, ids)[:, 0])  # the same windows, in one order
        shown.append(targets[order] >= 0)
    assert 0.05 < (shown[0] & shown[1]).mean() < 0.13, "as often both as independent masks would have it: 0.3²"
    assert (MASKED.in_epoch, MASKED.epochs(2 * count)) == (count, 2.0)


def test_held_out_masks_never_change():
    held_out = FixedMasks(Stream(20_003), 16, Masker(MaskingSettings(), MASK, np.arange(30_000) == 0), keep_short=True)  # type: ignore[arg-type]
    numbers = np.array([4, 0, len(held_out) - 1])
    ids, targets = held_out.batch(numbers)
    for row, number in enumerate(numbers):
        alone = held_out.batch(np.array([number]))
        assert np.array_equal(alone[0][0], ids[row]) and np.array_equal(alone[1][0], targets[row])
    ids, targets = held_out.batch(np.arange(len(held_out)))
    asked = targets >= 0
    assert (ids[asked] == MASK).all() and abs(asked.mean() - 0.15) < 3 * np.sqrt(0.15 * 0.85 / asked.size)
    assert not asked[-1, 2:].any(), "the end of the short one is separators"
    assert isinstance(MASKED.sample, FixedMasks) and MASKED.sample.context_length == 16


def test_a_tokenizer_tells_what_to_mask():
    texts = ["trenler geldi, trenler gitti"] * 3
    tokenizer = Tokenizer.train(texts, vocab_size=270, mask=True)
    ids = tokenizer.encode_batch(texts * 200)[0].astype(np.int64)[None]
    masked, targets = masker_of(MaskingSettings(unit="word", mask_share=1.0, random_share=0.0), tokenizer).mask(
        ids, 1, np.zeros(1, np.int64)
    )
    assert tokenizer.decode(masked[targets >= 0][:2]) == "[MASK][MASK]"
    with pytest.raises(InputError, match=r"has no \[MASK\]. Train one with"):
        masker_of(MaskingSettings(), Tokenizer.train(texts, vocab_size=270))
