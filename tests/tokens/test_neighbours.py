"""The filler by pairs, against sums written out."""

import numpy as np

from tezgah.tokens.neighbours import PRIOR, Neighbours
from tezgah.tokens.pairs import count_pairs

TEXT = np.random.default_rng(1).zipf(1.5, 4_000) % 12  # ids below 12


def test_the_likeliest_id_between_two_others_is_named():
    pairs = count_pairs(TEXT, 12)
    table = np.zeros((12, 12))
    np.add.at(table, (TEXT[:-1], TEXT[1:]), 1)
    totals = table.sum(1)
    shares = totals / totals.sum()
    neighbours = Neighbours(pairs)
    places = np.random.default_rng(2).integers(-1, 12, (200, 2))
    for left, right in places.tolist():
        scores = PRIOR * shares + (table[left] if left >= 0 else 0)
        if right >= 0:
            scores = scores * (table[:, right] + PRIOR * shares[right]) / (totals + PRIOR)
        assert neighbours.guess(np.array([left]), np.array([right])) == [scores.argmax()]


def test_neighbours_know_more_than_either_of_them():
    text = np.tile([1, 2, 3, 1, 4, 5, 6, 2, 5], 50)
    neighbours = Neighbours(count_pairs(text, 7))
    assert neighbours.guess(np.array([1, 1]), np.array([3, 5])).tolist() == [2, 4]
    assert neighbours.guess(np.array([1]), np.array([-1])) in ([2], [4])
