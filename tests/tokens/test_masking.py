"""Masks are arithmetic: the same whatever the batches, at exactly the rates asked for, never on a special token."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.tokens.masking import Masker, span_lengths
from tezgah.tokens.settings import MaskingSettings

VOCAB, MASK, PAD, SEPARATOR = 300, 299, 298, 0
SPECIAL = np.isin(np.arange(VOCAB), (MASK, PAD, SEPARATOR))
BEGINS, ENDS = np.arange(VOCAB) % 5 < 3, np.arange(VOCAB) % 11 == 0
UNITS = ("token", "word", "span")


def masker(**stated: Any) -> Masker:
    return Masker(MaskingSettings(**stated), MASK, SPECIAL, BEGINS, ENDS)


def texts(rows: int, time: int, seed: int = 0) -> np.ndarray:
    """Rows of ids with separators here and there and padding at the end of some."""
    drawn = np.random.default_rng(seed)
    ids = drawn.integers(1, PAD, (rows, time))
    ids[drawn.random((rows, time)) < 0.02] = SEPARATOR
    ids[np.arange(time) >= drawn.integers(time // 2, 2 * time, (rows, 1))] = PAD
    return ids


def is_within(counts: np.ndarray, expected: np.ndarray) -> bool:
    """Whether counts, one a sequence, stay within three standard errors of what is expected of each."""
    off = (counts - expected).astype(float)
    return bool(abs(off.sum()) < 3 * np.sqrt((off**2).sum()))


@pytest.mark.parametrize("unit", UNITS)
def test_a_million_tokens_hold_the_rates(unit: str):
    rate, ids = 0.15, texts(8_192, 128, seed=7)
    masked, targets = masker(unit=unit, rate=rate, mask_share=0.7, random_share=0.2).mask(ids, 3, np.arange(8_192))
    asked, ordinary = targets >= 0, ~SPECIAL[ids]
    assert ids.size > 1e6 and not (asked & ~ordinary).any()
    assert is_within(asked.sum(1), rate * ordinary.sum(1))
    for place in (0, 1, 60, 127):  # at each place too: none is favoured
        assert is_within(asked[:, place], rate * ordinary[:, place])
    assert is_within((asked & (masked == MASK)).sum(1), 0.7 * asked.sum(1))
    same = 1 / (PAD - 1)  # a random token may be the one that was there
    changed = asked & (masked != MASK) & (masked != ids)
    assert is_within(changed.sum(1), 0.2 * (1 - same) * asked.sum(1))
    assert (masked[~asked] == ids[~asked]).all() and (targets[asked] == ids[asked]).all()
    assert not SPECIAL[masked[changed]].any()
    assert len(np.unique(masked[changed])) == PAD - 1, "every ordinary token is drawn"


@settings(max_examples=15)
@given(
    st.sampled_from(UNITS), st.integers(0, 2**70), st.integers(0, 2**40), st.integers(1, 30), st.data(), st.booleans()
)
def test_masks_hang_on_nothing_but_the_number_and_the_place(
    unit: str, seed: int, first: int, rows: int, data: st.DataObject, is_cut: bool
):
    ids, numbers, mine = texts(rows, 40), first + np.arange(rows), masker(unit=unit)
    masked, targets = mine.mask(ids, seed, numbers)
    order = np.array(data.draw(st.permutations(range(rows))))
    parts = np.split(order, data.draw(st.lists(st.integers(0, rows), max_size=4).map(sorted)))
    for part in parts:
        again = masker(unit=unit).mask(ids[part], seed, numbers[part])
        assert np.array_equal(again[0], masked[part]) and np.array_equal(again[1], targets[part])
    if is_cut:  # what comes later in a sequence changes nothing before it
        short = mine.mask(ids[:, :25], seed, numbers)
        assert np.array_equal(short[0], masked[:, :25]) and np.array_equal(short[1], targets[:, :25])


@settings(max_examples=15)
@given(
    st.sampled_from(UNITS),
    st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=12, max_size=12), min_size=1, max_size=9),
    st.floats(0.01, 0.7),
    st.integers(0, 2**32),
)
def test_no_special_token_is_ever_chosen_or_drawn(unit: str, rows: list[list[int]], rate: float, seed: int):
    ids = np.array(rows)
    masked, targets = masker(unit=unit, rate=rate, mask_share=0.0, random_share=1.0).mask(
        ids, seed, np.arange(len(ids))
    )
    special = SPECIAL[ids]
    assert (masked[special] == ids[special]).all() and (targets[special] == -100).all()
    assert not SPECIAL[masked[~special]].any()


@pytest.mark.parametrize("unit", UNITS)
def test_another_number_or_seed_has_other_masks(unit: str):
    ids = np.tile(texts(1, 400), (2, 1))
    same, other = (
        masker(unit=unit).mask(ids, 1, np.array([5, 6]))[1],
        masker(unit=unit).mask(ids, 2, np.array([5, 6]))[1],
    )
    assert (same[0] != same[1]).any() and (same != other).any(1).all()


def test_the_masks_are_pinned_for_ever():
    """A run resumed with a later version must see the same masks: never change these numbers."""
    ids = np.arange(1, 61)[None] * 4
    found = {unit: np.flatnonzero(masker(unit=unit).mask(ids, 1, np.array([2**33]))[1][0] >= 0) for unit in UNITS}
    assert {unit: places.tolist() for unit, places in found.items()} == PINNED


PINNED = {
    "token": [0, 15, 30, 40, 51, 57],
    "word": [0, 1, 57],
    "span": [0, 1, 16, 17, 45, 46, 47, 48, 49, 50],
}


def test_the_tokens_of_a_word_go_together():
    ids = texts(500, 64)
    asked = masker(unit="word", rate=0.3).mask(ids, 1, np.arange(500))[1] >= 0
    n_words = n_broken = 0
    for row, chosen in zip(ids.tolist(), asked.tolist(), strict=True):
        words: list[list[bool]] = []
        for place, token in enumerate(row):
            before = row[place - 1] if place else SEPARATOR
            if BEGINS[token] or ENDS[before] or SPECIAL[token] or SPECIAL[before]:
                words.append([])
            words[-1].append(chosen[place])
        n_words += sum(len(word) > 1 for word in words)
        n_broken += sum(len(set(word)) > 1 for word in words)
    assert n_words > 1_000 and n_broken == 0


@pytest.mark.parametrize("mean", [1.0, 3.8, 5.5])
def test_spans_have_the_lengths_asked_for(mean: float):
    ids = np.full((2_000, 256), 7)
    masked, targets = masker(unit="span", span_length=mean, mask_share=0.5, random_share=0.0).mask(
        ids, 1, np.arange(2_000)
    )
    edges = np.diff(np.pad(targets >= 0, ((0, 0), (1, 1))).astype(int), axis=1)
    (rows, starts), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    is_whole = (starts > 0) & (starts < 240)  # the others are cut by an edge, or it would choose the short ones
    lengths = (ends - starts)[is_whole]
    chances = span_lengths(mean)
    counts = np.bincount(lengths, minlength=11)
    assert len(counts) == 11 and counts[0] == 0
    expected = len(lengths) * chances
    assert abs(chances @ np.arange(1, 11) - mean) < 1e-6
    assert (((counts[1:] - expected) ** 2)[chances > 1e-9] / expected[chances > 1e-9]).sum() < 30  # χ² of 9: 1 in 2,000
    for row, start, end in zip(rows[:500], starts[:500], ends[:500], strict=True):
        assert len(set(masked[row, start:end].tolist())) == 1, "one fate for a span"


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"mask_share": 0.8, "random_share": 0.3}, "mask_share and random_share are 1.1 together"),
        ({"unit": "span", "span_length": 1.0, "rate": 0.6}, "reach 0.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(stated: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        masker(**stated)
    with pytest.raises(InputError, match="nothing to mask"):
        Masker(MaskingSettings(), 0, np.ones(3, bool))
