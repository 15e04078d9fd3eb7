from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tezgah.evaluation.readings import reading_documents


def split_of(sizes) -> Any:
    return SimpleNamespace(bytes=np.array(sizes, np.int64))


@given(st.lists(st.integers(0, 500), max_size=60), st.integers(1, 4_000))
def test_a_reading_is_whole_documents_within_the_budget_and_at_least_one(sizes, max_bytes):
    documents = reading_documents(split_of(sizes), max_bytes)
    assert documents.tolist() == sorted(set(documents.tolist()))
    read = sum(sizes[document] for document in documents)
    assert read <= max_bytes or len(documents) == 1
    assert documents.size or not sizes
    if sum(sizes) <= max_bytes:
        assert len(documents) == len(sizes)


def test_a_larger_budget_reads_what_a_smaller_one_reads_and_more():
    split = split_of(np.random.default_rng(0).integers(1, 2_000, 500))
    small, large = (set(reading_documents(split, size).tolist()) for size in (50_000, 200_000))
    assert small < large


def test_documents_come_from_the_whole_split():
    documents = reading_documents(split_of([100] * 10_000), 100_000)
    assert len(documents) == 1_000
    places, _ = np.histogram(documents, bins=10, range=(0, 10_000))
    assert places.min() > 60  # 100 expected in each tenth, standard deviation 9
