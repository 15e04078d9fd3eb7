"""Normalization here and in Hugging Face `tokenizers` is one: what the file says."""

import itertools
import json
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.engine_texts import buffers, texts
from tezgah.tokenizer.engine import Encoder
from tezgah.tokenizer.normalize import BEYOND_PLAIN, NORMALIZERS, Normalizer
from tezgah.tokenizer.settings import Normalization
from tezgah.tokenizer.tokenizer import Tokenizer

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)
CAPITALS = st.text(st.sampled_from("İIıiŞşÇçĞğÜüAÂâ’“ΣςÅ\u0307\u0301\u0327\u0130Ǆǅ\u2126\ufb01 .\n"))


def library(name: Normalization):
    file = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    whole = tokenizers.Tokenizer.from_str(json.dumps(file | {"normalizer": NORMALIZERS[name]}))
    return whole.normalizer.normalize_str if whole.normalizer else str


@pytest.mark.parametrize("name", NORMALIZATIONS)
@settings(max_examples=300)
@given(text=st.one_of(texts, CAPITALS))
def test_a_text_becomes_what_the_library_makes_of_it(name: Normalization, text: str):
    assert Normalizer(NORMALIZERS[name])(text) == library(name)(text)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_every_plain_character_becomes_what_the_library_makes_of_it_alone_and_between_others(name: Normalization):
    plain = [chr(point) for point in range(0x3000) if not BEYOND_PLAIN.search(chr(point))]
    assert len(plain) > 0x300
    ours, theirs = Normalizer(NORMALIZERS[name]), library(name)
    for character in plain:
        assert ours(character) == theirs(character), hex(ord(character))
    everything = "".join(first + second for first in plain[0x40::7] for second in plain[0x40:])
    assert ours(everything) == theirs(everything)


def test_turkish_capitals_become_their_own_small_letters_and_keep_their_accents():
    turkish = Normalizer(NORMALIZERS["lowercase-turkish"])
    assert turkish("İSTANBUL IŞIK ÇAĞ") == library("lowercase-turkish")("İSTANBUL IŞIK ÇAĞ") == "istanbul ışık çağ"
    assert turkish("I\u0307stanbul KÂĞIT ÖĞÜN") == "istanbul kâğıt öğün"  # a capital I and a dot above compose first


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")
def test_real_turkish_text_becomes_what_the_library_makes_of_it():
    lines = (DATA / "tr" / "tutanak.txt").read_text("utf-8").split("\n")[:2_000]
    ours, theirs = Normalizer(NORMALIZERS["lowercase-turkish"]), library("lowercase-turkish")
    assert [ours(line) for line in lines] == [theirs(line) for line in lines]


ROWS = ["İSTANBUL'DA IŞIK", "", "Çag\u0306 ÇAĞ'dan ÇAĞA IŞIKLI", "istanbul'un ışığı, ÇAĞIN IŞIĞI"] * 5


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_vocabulary_is_learned_from_normalized_text(name: Normalization):
    normal = [library(name)(row) for row in ROWS]
    found = json.loads(Tokenizer.train(ROWS, vocab_size=275, normalize=name).json)
    expected = json.loads(Tokenizer.train(normal, vocab_size=275).json)
    assert found["model"] == expected["model"]
    assert found["normalizer"] == NORMALIZERS[name]


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_vocabulary_goes_on_learning_from_normalized_text(name: Normalization):
    longer = Tokenizer.train(ROWS, vocab_size=265, normalize=name).extend(ROWS, add=10)
    assert longer.hash == Tokenizer.train(ROWS, vocab_size=275, normalize=name).hash


@cache
def trained(name: Normalization) -> Tokenizer:
    return Tokenizer.train(ROWS, vocab_size=275, split="turkish-safe", normalize=name)


@pytest.mark.parametrize("name", NORMALIZATIONS)
@settings(max_examples=100)
@given(rows=st.lists(st.one_of(texts, CAPITALS, st.sampled_from(ROWS)), max_size=5))
def test_ids_of_normalized_text_are_those_of_the_library(name: Normalization, rows: list[str]):
    tokenizer = trained(name)
    theirs = tokenizers.Tokenizer.from_str(tokenizer.json)
    theirs.encode_special_tokens = True
    assert tokenizer._encoder._ours is not None
    ids, ends = tokenizer.encode_batch(rows)
    found = [ids[begin:end].tolist() for begin, end in itertools.pairwise(ends)]
    assert found == [theirs.encode(row).ids for row in rows]


def test_a_normalizer_of_another_maker_is_followed_too():
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": True}
    file = json.loads(trained("none").json) | {"normalizer": bert | {"lowercase": True}}
    encoder = Encoder(json.dumps(file), threads=1)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(file))
    rows = ["ÇAĞ\x00 中文 naïve", "", "IŞIK"]
    ids, _ = encoder.encode(*buffers(rows))
    assert encoder._ours is not None
    assert ids.tolist() == [each for row in rows for each in theirs.encode(row).ids]
