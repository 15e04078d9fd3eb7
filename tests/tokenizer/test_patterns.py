"""Splits against the same rules as others state them, run by the `regex` module."""

import json
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenizer.test_pretokenize import expected
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS, token_bytes
from tezgah.tokenizer.patterns import PATTERNS, pre_tokenizer, split_of
from tezgah.tokenizer.settings import Split

regex: Any = pytest.importorskip("regex")

SPLITS: tuple[Split, ...] = ("gpt2", "cl100k", "o200k", "whitespace", "digits", "turkish-safe")
TRICKY = (
    "Ali'den  1980'de İSTANBUL'a gitti;\tI'LL we'Ve ’dir\n\n  f(x):\r\n  'naïve' 12345 ½²  🙂‍🚀\x00 \u00a0é\u0301  "
)

# Unassigned code points are left out: libraries know different versions of Unicode.
texts = st.text(
    st.one_of(
        st.sampled_from(list("'’ \n\r\tsStTdDlLeErRvVmMğİıaZ019/.,_$½²é\u0301🙂\u00a0")),
        st.characters(exclude_categories=("Cs", "Cn")),
    )
)


def pieces(split: Split, text: str) -> list[str]:
    file = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    cutter = tokenizers.Tokenizer.from_str(json.dumps(file | {"pre_tokenizer": pre_tokenizer(split)})).pre_tokenizer
    return [token_bytes(piece).decode() for piece, _ in cutter.pre_tokenize_str(text)]


@pytest.mark.parametrize("split", SPLITS)
@given(text=texts)
def test_pieces_are_those_of_the_regex_module_and_make_up_the_text(split: Split, text: str):
    found = pieces(split, text)
    assert "".join(found) == text
    assert found == expected(split, text)


def test_cl100k_and_o200k_are_the_rules_transformers_knows():
    theirs = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping").GGUF_PRE_TOKENIZER_SPLITS
    assert PATTERNS["cl100k"] == theirs["llama-bpe"]
    assert PATTERNS["o200k"] == theirs["gpt-4o"]


def test_a_turkish_suffix_stays_whole():
    assert pieces("gpt2", "Ali'den") == ["Ali", "'d", "en"]
    assert pieces("turkish-safe", "Ali'den Ayşe’ye 1980'de") == ["Ali", "'den", " Ayşe", "’ye", " 1980", "'de"]
    assert "".join(pieces("turkish-safe", TRICKY)) == TRICKY


def test_every_digit_stands_by_itself():
    assert pieces("digits", "yıl 2024!") == ["yıl", " ", "2", "0", "2", "4", "!"]


def test_whitespace_keeps_punctuation_with_its_word():
    assert pieces("whitespace", "f(x),  y\n") == ["f(x),", " ", " y", "\n"]


def test_byte_characters_are_those_of_the_library():
    assert sorted(BYTE_CHARACTERS) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    cutter = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for byte in range(256):
        text = bytes([byte]).decode("latin-1")
        spelled = "".join(piece for piece, _ in cutter.pre_tokenize_str(text))
        assert spelled == "".join(BYTE_CHARACTERS[each] for each in text.encode())


@pytest.mark.parametrize("split", SPLITS)
def test_a_rule_is_known_again_however_libraries_write_it(split: Split):
    written = json.loads(json.dumps(pre_tokenizer(split)))
    assert split_of(written) == split
    for part in [written, *written.get("pretokenizers", [])]:
        part.pop("trim_offsets", None)
        if part["type"] == "Split":
            part |= {"behavior": "Removed", "invert": True}
    assert split_of(written) == split


def test_a_rule_that_is_none_of_ours_is_not_taken_for_one():
    assert split_of({"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}) is None
    assert split_of({"type": "Whitespace"}) is None
    assert split_of(None) is None
