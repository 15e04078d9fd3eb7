from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tezgah.training import crossings
from tezgah.training.crossings import told

numbers = st.integers(2, 40)
exponents = st.floats(0.02, 0.5)


def meet(first, second):
    met = crossings.encounter(first, second)
    assert met is not None
    return met


def spaced(low, high, count, chance):
    """Places from `low` to `high`, unevenly spaced over the logarithm."""
    middle = np.sort(np.random.default_rng(chance).uniform(np.log(low), np.log(high), count))
    return np.exp(np.concatenate([[np.log(low)], middle, [np.log(high)]]))


def said(x):
    return f"{x:.4g} tokens"


@given(
    falls=st.tuples(st.floats(0.05, 2), st.floats(0.05, 2)), at=st.floats(3.0, 15.0), counts=st.tuples(numbers, numbers)
)
def test_lines_over_the_logarithm_cross_where_their_equation_says(falls, at, counts):
    assume(abs(falls[0] - falls[1]) > 1e-3)
    curves = []
    for number, (fall, count) in enumerate(zip(falls, counts, strict=True)):
        x = spaced(np.exp(2.0), np.exp(16.0), count, number)
        curves.append((x, 5 - fall * (np.log(x) - at)))
    met = meet(*curves)
    (crossing,) = met.crossings
    assert np.log(crossing.x) == pytest.approx(at, abs=1e-6)
    assert crossing.y == pytest.approx(5, abs=1e-6)
    assert crossing.first_is_below == (falls[0] > falls[1]) == (not met.first_is_below)
    assert (met.start, met.end) == pytest.approx((np.exp(2.0), np.exp(16.0)))


@given(
    first=exponents,
    second=exponents,
    level=st.floats(0.5, 2),
    at=st.floats(5e3, 5e8),
    chance=st.integers(0, 2**32 - 1),
)
def test_power_laws_cross_where_their_equation_says(first, second, level, at, chance):
    """y = a x^-b and y = c x^-d cross at (a / c)^(1 / (b - d)); here c is such that this is `at`."""
    assume(abs(first - second) > 0.05)
    x, other_x = spaced(1e3, 1e9, 800, chance), spaced(1e3, 1e9, 800, chance + 1)
    a, c = level * at**first, level * at**second
    met = meet((x, a * x**-first), (other_x, c * other_x**-second))
    assert (a / c) ** (1 / (first - second)) == pytest.approx(at, rel=1e-6)
    (crossing,) = met.crossings
    assert crossing.x == pytest.approx(at, rel=0.02)
    assert crossing.y == pytest.approx(level, rel=0.02)
    assert crossing.first_is_below == (first > second)


@given(exponent=exponents, level=st.floats(0.5, 2), more=st.floats(1.01, 3), count=numbers)
def test_a_curve_that_is_everywhere_a_multiple_of_another_never_crosses_it(exponent, level, more, count):
    x = spaced(1e3, 1e9, 40 * count, 1)
    other = spaced(1e3, 1e9, 40 * count, 2)
    met = meet((x, level * x**-exponent), (x, more * level * x**-exponent))
    assert (met.crossings, met.first_is_below) == ((), True)
    met = meet((x, 9 * level + 1 - np.log(x) / 100), (other, level - np.log(other) / 100))
    assert (met.crossings, met.first_is_below) == ((), False)


curve = st.lists(st.tuples(st.floats(1, 1e6), st.integers(0, 4)), min_size=1, max_size=8).map(
    lambda pairs: tuple(np.array(each, dtype=np.float64) for each in zip(*sorted(pairs), strict=True))
)


@given(first=curve, second=curve, scale=st.sampled_from([2.0, 1024.0, 2.0**40]))
def test_whoever_is_named_first_and_whatever_the_unit_the_crossings_are_the_same(first, second, scale):
    met, turned = crossings.encounter(first, second), crossings.encounter(second, first)
    if met is None or turned is None:
        assert met is turned
        return
    assert [each.x for each in met.crossings] == pytest.approx([each.x for each in turned.crossings])
    assert [each.first_is_below for each in met.crossings] == [not each.first_is_below for each in turned.crossings]
    larger = meet((first[0] * scale, first[1]), (second[0] * scale, second[1]))
    assert [each.x for each in larger.crossings] == pytest.approx([scale * each.x for each in met.crossings])
    turns = [met.first_is_below, *(each.first_is_below for each in met.crossings)]
    assert all(before != after for before, after in pairwise(turns))
    assert all(met.start <= each.x <= met.end * (1 + 1e-9) for each in met.crossings)


def points(*pairs):
    return tuple(np.array(each, dtype=np.float64) for each in zip(*pairs, strict=True))


def test_curves_that_touch_and_part_again_have_not_crossed():
    high = points((1, 3), (10, 2), (100, 3))
    level = points((1, 2), (10, 2), (100, 2))
    assert meet(high, level).crossings == ()
    assert meet(high, level).first_is_below is False


def test_curves_that_lie_on_one_another_for_a_while_cross_where_they_part():
    falling = points((1, 4), (10, 2), (100, 2), (1000, 1))
    level = points((1, 2), (10, 2), (100, 2), (1000, 2))
    (crossing,) = meet(falling, level).crossings
    assert (crossing.x, crossing.y, crossing.first_is_below) == (100, 2, True)


def test_the_same_curve_twice_never_crosses():
    met = meet(points((1, 3), (10, 2)), points((1, 3), (10, 2)))
    assert (met.first_is_below, met.crossings) == (None, ())
    assert told(met, "a", "b", "nats", said) == ("never cross: they are the same, from 1 tokens to 10 tokens")


def test_curves_without_a_common_stretch_do_not_meet():
    assert crossings.encounter(points((1, 3), (10, 2)), points((11, 3), (20, 2))) is None
    assert crossings.encounter(points((1, 3)), (np.array([]), np.array([]))) is None
    assert meet(points((1, 3), (10, 2)), points((10, 3), (20, 2))).start == 10


def test_a_reading_that_steps_back_is_passed_over():
    stepping = points((0, 9), (1, 3), (10, 1), (5, 8), (10, 7), (100, 1))
    met = meet(stepping, points((1, 2), (100, 2)))
    (crossing,) = met.crossings
    assert (crossing.x, met.start, met.end) == (pytest.approx(10**0.5), 1, 100)


def test_an_encounter_is_told_in_words():
    level = points((1, 2), (1e4, 2))
    once = meet(points((1, 3), (100, 1)), level)
    assert told(once, "a", "b", "nats", said) == "a is below b from 10 tokens on (2.000 nats); before, b is below"
    twice = meet(points((1, 3), (100, 1), (1e4, 3)), level)
    assert told(twice, "a", "b", "nats", said) == (
        "b is below a from 1000 tokens on (2.000 nats), and before 10 tokens; between, a is below"
    )
    often = meet(points((1, 3), (100, 1), (1e3, 3), (1e4, 1)), level)
    assert told(often, "a", "b", "nats", said) == (
        "a is below b from 3162 tokens on (2.000 nats); before, they cross 2 times from 10 tokens on"
    )
    alone = meet(points((5, 3)), level)
    assert told(alone, "a", "b", "nats", said) == "never cross: b is below a at 5 tokens, all that both have"
    never = meet(points((1, 3), (1e4, 2.5)), level)
    assert told(never, "a", "b", "nats", said) == ("never cross: b is below a all along, from 1 tokens to 1e+04 tokens")
