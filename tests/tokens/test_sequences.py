"""Sequences against the plainest sliding window one can write."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.tokens.sequences import Sequences


class Stream:
    """A token stream in memory: ids 1, 2, 3, …"""

    folder = Path("tokens")
    split = "train"

    class index:
        separator_id = 0

    def __init__(self, length: int) -> None:
        self.ids = np.arange(1, length + 1, dtype=np.uint16)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, tokens: slice):
        return self.ids[tokens]


def sequences(length: int, context_length: int, stride: int = 0, keep_short: bool = False) -> Sequences:
    return Sequences(Stream(length), context_length, stride, keep_short)  # type: ignore[arg-type]


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 25))
def test_full_sequences_are_the_sliding_window_of_the_textbook(length: int, context_length: int, stride: int):
    ids = list(range(1, length + 1))
    starts = range(0, length - context_length, stride or context_length)  # LLMs from scratch, GPTDatasetV1
    if not starts:
        with pytest.raises(InputError):
            sequences(length, context_length, stride)
        return
    found = sequences(length, context_length, stride)
    assert len(found) == len(starts)
    inputs, targets = found.batch(np.arange(len(found)))
    assert inputs.tolist() == [ids[start : start + context_length] for start in starts]
    assert targets.tolist() == [ids[start + 1 : start + context_length + 1] for start in starts]


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 20))
def test_with_the_short_one_kept_every_token_but_the_first_is_predicted(length: int, context_length: int, stride: int):
    stride = min(stride, context_length)
    found = sequences(length, context_length, stride, keep_short=True)
    inputs, targets = found.batch(np.arange(len(found)))
    counted = targets >= 0
    assert set(targets[counted].tolist()) == set(range(2, length + 1))
    assert (targets[counted] == inputs[counted] + 1).all()
    assert (inputs[~counted] == 0).all()
    assert counted[:-1].all(), "only the last sequence may be short"
    seen_before = set(targets[:-1][counted[:-1]].tolist())
    assert set(targets[-1][counted[-1]].tolist()) - seen_before, "every sequence predicts something new"
    if stride in (0, context_length):
        assert counted.sum() == length - 1, "each is predicted once"


def test_any_sequence_is_read_by_its_number_in_any_order():
    found = sequences(20, context_length=4, stride=2)
    inputs, targets = found.batch(np.array([3, 0, 3]))
    assert inputs.tolist() == [[7, 8, 9, 10], [1, 2, 3, 4], [7, 8, 9, 10]]
    assert targets.tolist() == [[8, 9, 10, 11], [2, 3, 4, 5], [8, 9, 10, 11]]
    assert (str(inputs.dtype), str(targets.dtype)) == ("int64", "int64")
    for outside in (-1, len(found)):
        with pytest.raises(IndexError):
            found.batch(np.array([outside]))


def test_too_few_tokens_name_the_largest_context_that_would_do():
    expected = (
        r"tokens: 257 training tokens make no sequence of context_length 1,024\. "
        r"Add text, or set model\.context_length to 256 or less\."
    )
    with pytest.raises(InputError, match=expected):
        sequences(257, context_length=1_024)
    assert len(sequences(257, context_length=256)) == 1


def test_a_split_without_text_makes_no_sequence_at_all():
    with pytest.raises(InputError, match=r"1 training tokens make no sequence of context_length 4\. Add text\.$"):
        sequences(1, context_length=4, keep_short=True)


def test_an_empty_validation_split_says_how_to_hold_something_out():
    stream = Stream(1)
    stream.split = "validation"
    with pytest.raises(
        InputError, match=r"1 validation tokens make no sequence .*\. Hold more out \(corpus\.validation"
    ):
        Sequences(stream, 4, keep_short=True)  # type: ignore[arg-type]
    stream = Stream(2)
    stream.split = "validation"
    assert len(Sequences(stream, 4, keep_short=True)) == 1  # type: ignore[arg-type]
