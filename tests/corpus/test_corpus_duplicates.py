"""Exact duplicates, judged by Python's own dictionary."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tezgah.corpus.columns import BEGINS
from tezgah.corpus.cut import cut_long
from tezgah.corpus.duplicates import TextHashes, first_equal

TEXTS = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab", "ç"]) | st.text(max_size=3), max_size=40)


@given(TEXTS, st.integers(1, 5), st.integers(4, 6))
def test_each_text_finds_the_first_equal_one(texts, batches, limit):
    """However the texts are batched, and also where they are cut."""
    hashes = TextHashes()
    for start in range(batches):
        size = len(texts) // batches + 1
        rows = texts[start * size : (start + 1) * size]
        batch = pa.record_batch({"text": pa.array(rows, pa.string()), BEGINS: pa.array([True] * len(rows), pa.bool_())})
        hashes.add(cut_long(batch, limit))
    seen: dict[str, int] = {}
    expected = [seen.setdefault(text, place) for place, text in enumerate(texts)]
    assert first_equal(hashes.finish()).tolist() == expected


def test_a_text_may_go_on_in_the_next_batch():
    hashes = TextHashes()
    for text, begins in [("ab", True), ("c", False), ("a", True), ("bc", False), ("abc", True), ("ab", True)]:
        hashes.add(pa.record_batch({"text": [text], BEGINS: [begins]}))
    assert first_equal(hashes.finish()).tolist() == [0, 0, 0, 3]
