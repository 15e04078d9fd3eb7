"""The order of sequences: a permutation each epoch, and always the same one."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tezgah.tokens.order import mix, sequence_indices


@given(st.integers(0, 2**70), st.integers(1, 3_000), st.integers(0, 2**30))
def test_an_epoch_is_a_permutation_for_every_size(seed: int, size: int, epoch: int):
    found = sequence_indices(seed, size, epoch * size, size)
    assert np.array_equal(np.sort(found), np.arange(size))


@given(st.integers(0, 2**32), st.integers(1, 500), st.integers(0, 5_000), st.integers(0, 300), st.integers(0, 300))
def test_what_is_seen_when_depends_on_nothing_but_the_position(
    seed: int, size: int, first: int, count: int, later: int
):
    whole = sequence_indices(seed, size, first, count + later)
    assert np.array_equal(whole[:count], sequence_indices(seed, size, first, count))
    assert np.array_equal(whole[count:], sequence_indices(seed, size, first + count, later))


def test_the_order_is_pinned_for_ever():
    """A run resumed with a later version must read the same sequences: never change these numbers."""
    assert sequence_indices(1, 10, 0, 20).tolist() == [5, 3, 4, 2, 8, 6, 7, 0, 1, 9, 4, 8, 2, 0, 7, 3, 1, 6, 5, 9]
    assert sequence_indices(2**40 + 7, 1_000_003, 5_000_000_000, 8).tolist() == [
        41861,
        112875,
        571524,
        18272,
        567919,
        587432,
        792568,
        383139,
    ]


def test_the_mixer_is_splitmix64():
    """First outputs for state 0, from Vigna's splitmix64.c."""
    states = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(each) for each in mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_seeds_and_epochs_give_different_orders():
    epochs = sequence_indices(1, 1_000, 0, 5_000).reshape(5, 1_000)
    others = np.stack([sequence_indices(seed, 1_000, 0, 1_000) for seed in range(2, 7)])
    orders = np.concatenate([epochs, others])
    for row, order in enumerate(orders):
        for other in orders[:row]:
            assert (order == other).sum() < 10  # 1 is expected


def test_every_order_of_a_few_sequences_is_equally_likely():
    for size in (2, 3, 4, 5):
        epochs = 200 * math.factorial(size)
        orders = sequence_indices(11, size, 0, size * epochs).reshape(epochs, size)
        _, counts = np.unique(orders, axis=0, return_counts=True)
        assert counts.size == math.factorial(size)
        chi_square = ((counts - 200) ** 2 / 200).sum()
        freedom = counts.size - 1
        assert chi_square < freedom + 4 * math.sqrt(2 * freedom)


def test_an_order_looks_shuffled():
    size, epochs = 1_000, 200
    orders = sequence_indices(5, size, 0, size * epochs).reshape(epochs, size)
    places = np.arange(size)
    steps = np.diff(orders, axis=1)
    fixed, successors = (orders == places).sum() / epochs, (steps == 1).sum() / epochs
    assert abs(fixed - 1) < 4 / math.sqrt(epochs)  # both are about Poisson(1)
    assert abs(successors - 1) < 4 / math.sqrt(epochs)
    assert abs(np.abs(steps).mean() / size - 1 / 3) < 0.003
    correlations = [np.corrcoef(order, places)[0, 1] for order in orders]
    assert abs(np.mean(correlations)) < 4 / math.sqrt(size * epochs)
    tenths = np.zeros((10, 10))
    np.add.at(tenths, (np.broadcast_to(places * 10 // size, orders.shape), orders * 10 // size), 1)
    expected = size * epochs / 100
    assert ((tenths - expected) ** 2 / expected).sum() < 81 + 4 * math.sqrt(2 * 81)
