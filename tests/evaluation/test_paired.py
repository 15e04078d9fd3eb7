import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.evaluation.paired import mcnemar, paired_difference


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_sign_test_of_scipy(pairs):
    first, second = zip(*pairs, strict=True)
    found = mcnemar(first, second)
    assert found.only_first == sum(a > b for a, b in pairs)
    assert found.only_second == sum(a < b for a, b in pairs)
    total = found.only_first + found.only_second
    assert found.exact == pytest.approx(scipy.stats.binomtest(found.only_first, total).pvalue if total else 1.0)
    if total:
        fewer, drawn = min(found.only_first, found.only_second), scipy.stats.binom(total, 0.5)
        mid = 2 * (drawn.cdf(fewer) - drawn.pmf(fewer) / 2)
        assert found.mid_p == pytest.approx(min(mid, 1 - drawn.pmf(fewer) / 2) if 2 * fewer == total else mid)
        assert found.mid_p <= found.exact


def test_mcnemar_gives_the_published_figures():
    """Fagerland, Lydersen and Laake 2013, table 2: airway hyper-responsiveness, 1 and 7 discordant pairs of 21."""
    first = [True] * 1 + [True] * 1 + [False] * 7 + [False] * 12
    second = [True] * 1 + [False] * 1 + [True] * 7 + [False] * 12
    found = mcnemar(first, second)
    assert (round(found.exact, 3), round(found.mid_p, 3)) == (0.070, 0.039)


def test_the_paired_bootstrap_equals_that_of_scipy():
    chance = np.random.default_rng(5)
    first = chance.random(120)
    second = np.clip(first + chance.normal(0.02, 0.1, 120), 0, 1)
    theirs = scipy.stats.bootstrap(
        (first, second),
        lambda a, b, axis: (b - a).mean(axis),
        paired=True,
        vectorized=True,
        n_resamples=40_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    ours = paired_difference(first, second, "test", resamples=40_000)
    bounds = theirs.confidence_interval
    assert (ours.difference.low, ours.difference.high) == pytest.approx((bounds.low, bounds.high), abs=5e-4)


@pytest.mark.parametrize("differing", [2, 6, 13, 40])
def test_the_p_value_is_that_of_the_sign_flips_of_scipy(differing):
    chance = np.random.default_rng(differing)
    first = chance.integers(0, 11, 60) / 20
    second = first.copy()
    second[:differing] += chance.choice([-0.1, 0.1, 0.2, 0.3], differing)
    theirs = scipy.stats.permutation_test(
        (second[:differing] - first[:differing],),
        lambda gains, axis: gains.sum(axis).round(9),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**13 if differing <= 13 else 40_000,
        rng=np.random.default_rng(1),
    )
    ours = paired_difference(first, second, "test", resamples=40_000)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-9 if differing <= 13 else 5e-3)


def test_one_task_alone_tells_nothing():
    found = paired_difference([0.0], [1.0], "test")
    assert found.p_value == 1.0
    bound = scipy.stats.binomtest(0, 1).proportion_ci(0.95, "exact").high
    assert (found.difference.low, found.difference.high) == pytest.approx((1 - 2 * bound, 1.0))


def test_pairing_sees_what_a_test_of_two_scores_does_not():
    first = np.tile([0.0, 1.0], 50)
    second = np.clip(first + 0.05, 0, 1)
    assert paired_difference(first, second, "test").p_value < 0.001
    assert scipy.stats.ttest_ind(first, second).pvalue > 0.5


def test_two_that_are_the_same_do_not_differ():
    found = paired_difference([0.0, 0.5, 1.0], [0.0, 0.5, 1.0], "test")
    bound = scipy.stats.binomtest(0, 3).proportion_ci(0.95, "exact").high
    assert (found.p_value, found.difference.value) == (1.0, 0)
    assert (found.difference.low, found.difference.high) == pytest.approx((-bound, bound))
    assert (mcnemar([True, False], [True, False]).exact, mcnemar([True, False], [True, False]).mid_p) == (1.0, 1.0)


def test_scores_of_other_tasks_are_refused():
    with pytest.raises(InputError, match="the same tasks; there are 2 and 1"):
        paired_difference([1, 2], [1], "test")
    with pytest.raises(InputError, match="there are 0 and 0"):
        mcnemar([], [])
