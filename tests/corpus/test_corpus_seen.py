"""Texts that came before, against a Python set of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.corpus.seen import SeenTexts


def hashes(numbers: list[int]) -> np.ndarray:
    """Different hashes for different numbers; many of them want the same slot."""
    pairs = [(number % 3, number + 1) for number in numbers]
    return np.array(pairs, np.uint64).reshape(-1, 2)


@given(st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=8))
def test_of_equal_texts_the_first_is_new(batches: list[list[int]]):
    seen, known = SeenTexts(remembered=200), set()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number not in known)
            known.add(number)
        assert seen.are_new(hashes(batch)).tolist() == expected


@given(st.lists(st.lists(st.integers(0, 100), max_size=30), max_size=30), st.integers(1, 20))
def test_what_is_forgotten_is_old_and_what_is_new_is_never_dropped(batches: list[list[int]], remembered: int):
    seen = SeenTexts(remembered)
    order: list[int] = []
    for batch in batches:
        for number, is_new in zip(batch, seen.are_new(hashes(batch)).tolist(), strict=True):
            if not is_new:
                assert number in order
            elif number in order:
                last = len(order) - 1 - order[::-1].index(number)
                assert len(set(order[last:])) >= remembered - max(map(len, batches)), "too few texts lie between"
            order.append(number)


def test_memory_does_not_grow_with_the_texts():
    seen = SeenTexts(remembered=100)
    sizes = [table.nbytes for table in (seen._current, seen._before)]
    for start in range(0, 5_000, 50):
        assert seen.are_new(hashes(list(range(start, start + 50)))).all()
    assert [table.nbytes for table in (seen._current, seen._before)] == sizes
    assert not seen.are_new(hashes(list(range(4_950, 5_000)))).any()
    assert seen.are_new(hashes([0])).all()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_more_texts_than_are_remembered_may_come_at_once(count: int):
    seen = SeenTexts(remembered=3)
    assert seen.are_new(hashes(list(range(count)))).all()
