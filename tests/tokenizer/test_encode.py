"""Ids against Hugging Face `tokenizers` and tiktoken, whatever the text and however it is cut."""

import itertools
import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.engine_texts import SPLITS, buffers, texts
from tezgah.tokenizer import encode as module
from tezgah.tokenizer.engine import Encoder
from tezgah.tokenizer.patterns import PATTERNS
from tezgah.tokenizer.rows import gathered, in_order
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.texts import utf8
from tezgah.tokenizer.tokenizer import Tokenizer

CORPUS = [
    "def area_of_rectangle(width, height):\n    return width * height\n\n\n" * 20,
    "Ali'den gelen ışıklı Ankara'nın 1980'de İSTANBUL'a giden treni; I'll, we've, ’dir  \n" * 20,
    "🙂🙂 aaaaaaaa bbbb 12345678 ½² \x00\t\r\n" * 10,
]
many = st.lists(st.one_of(texts, st.sampled_from(CORPUS), st.text("ab", max_size=300)), max_size=5)


@pytest.fixture(scope="module")
def trained() -> dict[Split, Tokenizer]:
    return {split: Tokenizer.train(CORPUS, vocab_size=340, split=split) for split in SPLITS}


def ids_of(encoder: Encoder, rows: list[str]) -> list[list[int]]:
    ids, ends = encoder.encode(*buffers(rows))
    return [ids[begin:end].tolist() for begin, end in zip([0, *ends.tolist()], ends.tolist(), strict=False)]


@pytest.mark.parametrize("split", SPLITS)
@settings(max_examples=150)
@given(rows=many)
def test_ids_are_those_of_the_library(trained: dict[Split, Tokenizer], split: Split, rows: list[str]):
    theirs = tokenizers.Tokenizer.from_str(trained[split].json)
    theirs.encode_special_tokens = True
    encoder = Encoder(trained[split].json, threads=2)
    assert encoder._ours is not None
    assert ids_of(encoder, rows) == [theirs.encode(row, add_special_tokens=False).ids for row in rows]


def test_ids_are_those_of_tiktoken(trained: dict[Split, Tokenizer]):
    tiktoken: Any = pytest.importorskip("tiktoken")
    tokenizer = trained["cl100k"]
    ranks = {tokenizer.decode_bytes([token]): token for token in range(1, tokenizer.vocab_size)}
    theirs = tiktoken.Encoding("ours", pat_str=PATTERNS["cl100k"], mergeable_ranks=ranks, special_tokens={})
    assert ids_of(Encoder(tokenizer.json, threads=1), CORPUS) == theirs.encode_ordinary_batch(CORPUS)


@given(rows=many)
def test_text_comes_back(trained: dict[Split, Tokenizer], rows: list[str]):
    tokenizer = trained["turkish-safe"]
    ids, offsets = tokenizer.encode_batch(rows)
    assert [tokenizer.decode(ids[begin:end]) for begin, end in itertools.pairwise(offsets)] == rows


def test_long_words_are_merged_as_short_ones_are(trained: dict[Split, Tokenizer]):
    chance = random.Random(5)
    theirs = tokenizers.Tokenizer.from_str(trained["gpt2"].json)
    rows = ["".join(chance.choices("abrethi", k=length)) for length in (1, 63, 64, 65, 66, 128, 129, 2_000, 50_000)]
    assert ids_of(Encoder(trained["gpt2"].json, threads=1), rows) == [theirs.encode(row).ids for row in rows]


def test_threads_and_what_is_remembered_change_no_id(trained: dict[Split, Tokenizer], monkeypatch: pytest.MonkeyPatch):
    chance = random.Random(6)
    rows = [" ".join("".join(chance.choices("abcdeğ", k=chance.randint(1, 9))) for _ in range(300)) for _ in range(400)]
    expected = Encoder(trained["gpt2"].json, threads=1).encode(*buffers(rows))
    monkeypatch.setattr(module, "SLOTS", 1 << 12)  # forgets again and again
    for threads, chunk_bytes in itertools.product((1, 2, 8), (1, 1 << 12, 1 << 30)):
        monkeypatch.setattr("tezgah.tokenizer.texts.CHUNK_BYTES", chunk_bytes)
        encoder = Encoder(trained["gpt2"].json, threads)
        for _ in range(2):
            ids, ends = gathered(in_order(encoder.encode, utf8(pa.array(rows)), threads))
            assert np.array_equal(ids, expected[0])
            assert np.array_equal(ends[1:], expected[1])


def test_rows_without_text_have_no_ids(trained: dict[Split, Tokenizer]):
    encoder = Encoder(trained["gpt2"].json, threads=2)
    assert ids_of(encoder, ["", "", "a", ""]) == [[], [], ids_of(encoder, ["a"])[0], []]
    assert ids_of(encoder, []) == []


def test_a_file_with_rules_that_are_not_ours_is_left_to_the_library(trained: dict[Split, Tokenizer]):
    def ours(**changes: Any) -> object:
        file = json.loads(trained["gpt2"].json)
        file["model"] |= {name: value for name, value in changes.items() if name in file["model"]}
        file |= {name: value for name, value in changes.items() if name not in file["model"]}
        return Encoder(json.dumps(file), threads=1)._ours

    assert ours() is not None
    assert ours(ignore_merges=True) is None
    assert ours(pre_tokenizer={"type": "Whitespace"}) is None
    found_in_text = {"id": 340, "content": "  ", "special": False, "single_word": False, "lstrip": False}
    assert ours(added_tokens=[found_in_text | {"rstrip": False, "normalized": False}]) is None
