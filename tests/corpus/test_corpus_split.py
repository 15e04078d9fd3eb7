"""The split, against hashlib and Python's slicing."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import SEED, TEST, TRAIN, VALIDATION, plan_split, split_fractions
from tezgah.errors import InputError

HASH = CorpusSettings(split="hash", test_ratio=0.1)


def plan(settings: CorpusSettings, texts: list[str], stays: list[bool] | None = None):
    lengths = np.array([len(text) for text in texts])
    return plan_split(settings, split_fractions(pa.array(texts)), lengths, np.array(stays or [True] * len(texts)))


@given(st.lists(st.text(), max_size=20))
def test_fractions_are_the_head_of_a_salted_sha256(keys):
    expected = [int(hashlib.sha256(SEED + key.encode()).hexdigest()[:16], 16) / 2**64 for key in keys]
    found = split_fractions(pa.array(keys, pa.string()))
    np.testing.assert_allclose(found, expected, atol=2**-52)
    assert ((found >= 0) & (found < 1)).all()


def test_the_seed_never_changes():
    """A golden number: another seed would train on what earlier corpora held out."""
    assert split_fractions(pa.array(["tezgah"])).tolist() == [0.1748267365481968]


def test_a_document_stays_in_its_split_when_others_are_added():
    texts = [f"document {number}" for number in range(2000)]
    few, many = plan(HASH, texts[:500]).codes, plan(HASH, texts).codes
    assert (few == many[:500]).all()


def test_changing_one_ratio_moves_nothing_between_the_held_out_splits():
    texts = [f"document {number}" for number in range(2000)]
    before = plan(HASH, texts).codes
    after = plan(CorpusSettings(split="hash", validation_ratio=0.3, test_ratio=0.2), texts).codes
    assert (after[before == VALIDATION] == VALIDATION).all()
    assert (after[before == TEST] == TEST).all()


def test_shares_are_what_the_recipe_says():
    codes = plan(HASH, [str(number) for number in range(20_000)]).codes
    shares = np.bincount(codes) / len(codes)
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.01)


@given(st.lists(st.text(max_size=8), min_size=1, max_size=12), st.floats(0, 1), st.data())
def test_position_is_python_slicing_of_all_characters(texts, ratio, data):
    stays = data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    joined = "".join(text for text, is_kept in zip(texts, stays, strict=True) if is_kept)
    place = int(ratio * len(joined))
    settings = CorpusSettings(split="position", train_ratio=ratio)
    if place == 0:
        with pytest.raises(InputError, match="to train on"):
            plan(settings, texts, stays)
        return
    found = plan(settings, texts, stays)
    halves: dict[int, str] = {TRAIN: "", VALIDATION: "", -1: ""}
    for row, text in enumerate(texts):
        if found.divided and found.divided[0] == row:
            assert 0 < found.divided[1] < len(text)
            halves[TRAIN] += text[: found.divided[1]]
            halves[VALIDATION] += text[found.divided[1] :]
        else:
            halves[int(found.codes[row])] += text
    assert (halves[TRAIN], halves[VALIDATION]) == (joined[:place], joined[place:])


def test_few_documents_are_split_by_position_and_it_says_why():
    found = plan(CorpusSettings(), [f"document {number}" for number in range(49)])
    assert found.rule == "position"
    assert "49 documents are too few" in found.reason
    assert plan(CorpusSettings(), [f"document {number}" for number in range(60)]).rule == "hash"
    found = plan(CorpusSettings(validation_ratio=1e-9), [f"document {number}" for number in range(60)])
    assert (found.rule, found.reason) == ("position", "by hash no document of 60 would be left for validation")


def test_a_test_split_is_refused_where_the_split_is_by_position():
    with pytest.raises(InputError, match=r"corpus.test_ratio = 0.1 needs a split by hash"):
        plan(CorpusSettings(test_ratio=0.1), ["a single text"])


def test_a_split_that_stays_empty_is_refused():
    with pytest.raises(InputError, match=r'"hash" leaves no document of 1 for (validation|train)'):
        plan(CorpusSettings(split="hash"), ["a single text"])
