"""The schedule of the sources: never a whole turn from what each is due, wherever one looks."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.tokens.quota import MOST_UNITS, Quota, tempered, units_of

UNITS = st.lists(st.integers(1, 200), min_size=1, max_size=12)


@given(UNITS)
def test_every_prefix_is_within_one_turn_of_what_each_source_is_due(units: list[int]):
    quota = Quota(units)
    length = 2 * quota.period
    turns = quota.turns(0, length)
    for source, own in enumerate(units):
        had = np.cumsum(turns == source)  # (turns,)
        due = np.arange(1, length + 1) * own  # in periods' parts, so that nothing is rounded
        assert (np.abs(had * quota.period - due) < quota.period).all()
    assert [int((turns[: quota.period] == source).sum()) for source in range(len(units))] == units


@given(UNITS, st.integers(0, 2**60), st.integers(0, 300), st.integers(0, 300))
def test_whose_turn_it_is_depends_on_the_turn_alone(units: list[int], first: int, count: int, later: int):
    quota = Quota(units)
    whole = quota.turns(first, count + later)
    assert np.array_equal(whole[:count], quota.turns(first, count))
    assert np.array_equal(whole[count:], Quota(units).turns(first + count, later))
    before, after = quota.counts(first), quota.counts(first + count)
    found = [int((whole[:count] == source).sum()) for source in range(len(units))]
    assert found == [end - begin for begin, end in zip(before, after, strict=True)]
    assert sum(before) == first


WEIGHTS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20)


@given(WEIGHTS)
@settings(deadline=None)
def test_weights_become_whole_numbers_in_their_proportion(weights: list[float]):
    units, total = units_of(weights), sum(map(Fraction, map(str, weights)))
    assert min(units) >= 1
    assert sum(units) <= MOST_UNITS
    for weight, own in zip(weights, units, strict=True):
        ideal = MOST_UNITS * Fraction(str(weight)) / total
        given = Fraction(MOST_UNITS * own, sum(units))
        assert abs(given - ideal) < 1 or ideal < 1 or own >= max(units) - 1  # who pay for those below one


def test_weights_that_whole_numbers_can_tell_are_exact():
    assert units_of([0.7, 0.3]) == [7, 3]
    assert units_of([1e-3, 999e-3]) == [1, 999]
    assert units_of([12, 4, 8]) == [3, 1, 2]
    assert units_of([5]) == [1]
    assert units_of([1, 1e9]) == [1, MOST_UNITS - 1]


def test_a_thousand_sources_take_no_time_and_each_has_its_turn():
    units = units_of([1 / (number + 1) ** 2 for number in range(1_000)])
    assert sum(units) == MOST_UNITS
    assert sorted(set(Quota(units).turns(0, MOST_UNITS).tolist())) == list(range(1_000))


SIZES = st.lists(st.integers(1, 10**12), min_size=1, max_size=10)


@given(SIZES, st.floats(1, 1e9))
def test_temperature_lies_between_the_sizes_and_equal_shares(sizes: list[int], temperature: float):
    weights = tempered(sizes, temperature)
    shares = [each / sum(weights) for each in weights]
    for size, share in zip(sizes, shares, strict=True):
        low, high = sorted((size / sum(sizes), 1 / len(sizes)))
        if len(sizes) == 2:  # of more, one in the middle may rise above both and fall again
            assert low - 1e-9 <= share <= high + 1e-9
    order = np.argsort(sizes, kind="stable")
    assert (np.diff(np.array(shares)[order]) >= -1e-12).all()


def test_temperature_at_its_ends_and_at_the_papers_exponent():
    sizes = [1_000, 100, 1]
    assert units_of(tempered(sizes, 1)) == sizes
    assert Quota(units_of(tempered(sizes, 1e9))).shares == pytest.approx([1 / 3] * 3, abs=1e-4)
    powers = np.array(sizes) ** 0.3  # XLM-R's α
    assert Quota(units_of(tempered(sizes, 1 / 0.3))).shares == pytest.approx(powers / powers.sum(), abs=1e-4)


def test_the_schedule_is_pinned_for_ever():
    """A run resumed with a later version must read the same sequences: never change these numbers."""
    assert Quota([5, 2, 1]).turns(0, 16).tolist() == [0, 0, 1, 0, 0, 1, 0, 2] * 2
