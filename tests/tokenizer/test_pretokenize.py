"""The state machines cut where the regular expressions of `patterns.py` match."""

import itertools
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings

from tests.tokenizer.engine_texts import SPLITS, buffers, texts
from tezgah.tokenizer.classes import PUNCTUATION, character_classes
from tezgah.tokenizer.patterns import PATTERNS
from tezgah.tokenizer.pretokenize import SPLITS as RULES
from tezgah.tokenizer.pretokenize import piece_ends
from tezgah.tokenizer.settings import Rule, Split

regex: Any = pytest.importorskip("regex")

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # Radford et al., encoder.py


def pieces(split: Rule, text: str) -> list[str]:
    data, _ = buffers([text])
    ends = np.zeros(len(data) + 1, np.int64)
    count = piece_ends(data, 0, len(data), character_classes(), RULES[split], ends[1:])
    return [data[begin:end].tobytes().decode() for begin, end in itertools.pairwise(ends[: count + 1])]


def expected(split: Split, text: str) -> list[str]:
    if split == "digits":
        return [piece for part in regex.split(r"(\p{N})", text) for piece in regex.findall(GPT2, part)]
    found: list[str] = regex.findall(GPT2 if split == "gpt2" else PATTERNS[split], text)
    return found


@pytest.mark.parametrize("split", SPLITS)
@settings(max_examples=400)
@given(text=texts)
def test_pieces_are_those_of_the_regex_module(split: Split, text: str):
    assert pieces(split, text) == expected(split, text)


@settings(max_examples=400)
@given(text=texts)
def test_bert_pieces_are_those_of_the_library_with_the_white_space_between_them(text: str):
    found = pieces("bert", text)
    assert "".join(found) == text
    expected = [piece for piece, _ in tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]
    assert [piece for piece in found if not regex.fullmatch(r"\s+", piece)] == expected


def test_every_code_point_is_punctuation_where_bert_cuts_at_it():
    cutter = tokenizers.pre_tokenizers.BertPreTokenizer()
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    found = cutter.pre_tokenize_str("a".join(map(chr, points)))
    cut = {piece for piece, _ in found if len(piece) == 1 and piece != "a"}
    table = character_classes()
    assert cut == {chr(point) for point in points if table[point] & PUNCTUATION}


def test_a_piece_is_looked_for_in_its_own_row_alone():
    data, offsets = buffers(["ab  ", "cd"])
    ends = np.zeros(8, np.int64)
    count = piece_ends(data, 0, offsets[1], character_classes(), RULES["gpt2"], ends)
    assert ends[:count].tolist() == [2, 4]  # the second row's letter does not claim the space


def test_every_code_point_has_the_class_that_the_regex_module_gives_it():
    from tezgah.tokenizer import classes

    table = character_classes()
    kinds = {
        r"\p{L}": classes.ANY_LETTER,
        r"\p{N}": classes.NUMBER,
        r"\s": classes.ANY_SPACE,
        r"\p{M}": classes.MARK,
        r"[\p{Lu}\p{Lt}]": classes.UPPER,
        r"\p{Ll}": classes.LOWER,
        r"[\r\n]": classes.LINE_END,
    }
    everything = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    for pattern, kind in kinds.items():
        held = np.zeros(0x110000, bool)
        held[[ord(character) for character in regex.findall(pattern, everything)]] = True
        assert np.array_equal(held, table & kind != 0), pattern
