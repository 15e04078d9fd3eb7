"""Counts of neighbouring tokens, against a count by hand."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tezgah.tokens.pairs as pairs
from tezgah.tokens.pairs import count_pairs


def counted(ids: list[int], most: int = 1 << 20) -> dict[tuple[int, int], int]:
    found = count_pairs(np.array(ids, dtype=np.uint16), 70, most)
    assert found.totals.sum() == found.counts.sum()
    return dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.counts.tolist(), strict=True))


@given(st.lists(st.integers(0, 69), min_size=2, max_size=80), st.integers(1, 30))
def test_every_pair_is_counted_once_however_the_stream_is_sliced(ids: list[int], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "SLICE", size)
        assert counted(ids) == Counter(pairwise(ids))


def test_a_long_stream_is_read_in_part_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "SLICE", 5)
    found = counted(list(range(60)), most=12)
    assert sum(found.values()) == 12 and {(0, 1), (55, 56)} <= found.keys()
