"""Where words begin, against the words that a regular expression finds in the text."""

import numpy as np
import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.tokenizer.settings import Algorithm, Split
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokenizer.word_starts import word_starts

WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]")
TEXT = (
    "Ali'den gelen ışıklı tren; geldi, gelmiş, gelecek! (Türkçe sözcükler: İstanbul'un çarşıları, 1923'te.)\n\n"
    "Çocukların 'güzel' oyuncakları - 12,5 lira... Öğretmenlerimizden biri,kitapları  getirdi.\nŞöyle dedi:'evet'."
)
TURKISH = st.text(st.sampled_from("aeıioöuüçğşIİABCdlrmn0123.,;'()-  \n"), max_size=60)


def check(tokenizer: Tokenizer, text: str) -> int:
    """Compare token by token; returns how many tokens were compared."""
    ids = tokenizer.encode(text)
    found, position, compared = word_starts(tokenizer).of(ids), 0, 0
    raw = text.encode()
    starts = {len(text[: match.start()].encode()) for match in WORD.finditer(text)}
    for place, token in enumerate(ids.tolist()):
        piece = tokenizer.decode_bytes([token])
        first = position + len(piece) - len(piece.lstrip())
        assert raw[position : position + len(piece)] == piece
        if piece.strip():
            assert found[place] == (first in starts), (text, piece, place)
            compared += 1
        position += len(piece)
    return compared


@pytest.mark.parametrize("split", ["turkish-safe", "gpt2", "o200k", "whitespace"])
def test_words_of_turkish_text_begin_where_a_regular_expression_says(split: Split):
    assert check(Tokenizer.train([TEXT] * 3, vocab_size=340, split=split), TEXT) > 60


@pytest.mark.parametrize("algorithm", ["bytes", "characters"])
def test_alphabets_too(algorithm: Algorithm):
    assert check(Tokenizer.train([TEXT], vocab_size=300, algorithm=algorithm), TEXT) > 100


@settings(max_examples=30)
@given(TURKISH)
def test_any_text(text: str):
    check(TRAINED, text)


TRAINED = Tokenizer.train([TEXT] * 3, vocab_size=320)


def test_a_word_of_a_wordpiece_begins_without_its_mark():
    tokenizer = Tokenizer.train(["trenler trende, ışıkta"] * 4, vocab_size=36, algorithm="wordpiece")
    ids = tokenizer.encode("trende,ışıklar trenler")
    names = [tokenizer.decode([each]) for each in ids]
    assert word_starts(tokenizer).of(ids).tolist() == [not name.startswith("##") for name in names]
    assert any(name.startswith("##") for name in names)


def test_a_special_token_is_a_word():
    starts = word_starts(TRAINED)
    assert starts.begins[TRAINED.separator_id] and starts.ends[TRAINED.separator_id]
    inside = int(TRAINED.encode("ken")[-1])
    assert starts.of(np.array([inside, inside, TRAINED.separator_id, inside])).tolist() == [True, False, True, True]
