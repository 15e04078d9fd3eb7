from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tezgah.evaluation.texts import TextDocuments


class Letters:
    """One id a character; no text makes the separator's id 0."""

    separator_id = 0

    def encode_batch(self, texts):
        flat = np.array([ord(letter) for text in texts for letter in text], np.uint32)
        return flat, np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int64)


@given(st.lists(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"])), max_size=6))
def test_texts_lie_between_separators(texts):
    letters: Any = Letters()
    stream = TextDocuments(letters, texts)
    assert stream[:].tolist() == [0, *(i for text in texts for i in [*map(ord, text), 0])]
    for text, start, end in zip(texts, stream.offsets, stream.offsets[1:], strict=False):
        assert stream[start : end + 1].tolist() == [0, *map(ord, text), 0]
    assert stream.bytes.tolist() == [len(text.encode()) for text in texts]
