"""Tokens that were added to a vocabulary, found in raw text as the library finds them."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tezgah.tokenizer.settings import Algorithm, Normalization
from tezgah.tokenizer.tokenizer import Tokenizer

TEXT = "".join(
    f"def f{n % 7}(x):\n        return {chr(97 + n % 23) * 2}tu{n % 11}rn  # köy{n % 13} İstanbul'da güzel e\n"
    for n in range(300)
)
KINDS: dict[str, tuple[Algorithm, Normalization]] = {
    "bytes": ("bpe", "none"),
    "nfc": ("bpe", "nfc"),
    "wordpiece": ("wordpiece", "none"),
}
ADDED = ["  ", "   ", "    ", "\n", "turn"]
pieces = st.sampled_from([*ADDED, " ", "re", "return", "x", "kö", "<|en", "[SEP]", "<|endoftext|>", "e\u0301", "🙂"])


def with_added(kind: str, folder: Path, **rules: Any) -> Tokenizer:
    """A tokenizer to which tokens were added that are not special."""
    algorithm, normalize = KINDS[kind]
    size = 120 if algorithm == "wordpiece" else 290
    made = Tokenizer.train([TEXT], vocab_size=size, split="gpt2", algorithm=algorithm, normalize=normalize)
    file = json.loads(made.json)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False} | rules
    for place, content in enumerate(ADDED):
        file["added_tokens"].append({"id": size + place, "content": content, **flags})
    (folder / "tokenizer.json").write_text(json.dumps(file))
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def tokenizers_by_kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    return {kind: with_added(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.lists(st.lists(pieces, max_size=8).map("".join), max_size=3))
def test_added_tokens_are_found_in_any_text(tokenizers_by_kind: dict[str, Tokenizer], kind: str, rows: list[str]):
    ours = tokenizers_by_kind[kind]
    assert ours._encoder._ours is not None
    theirs = tokenizers.Tokenizer.from_str(ours.json)
    for allow_special in (False, True):
        theirs.encode_special_tokens = not allow_special
        ids, offsets = ours.encode_batch(rows, allow_special=allow_special)
        found = [ids[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]
        assert found == [theirs.encode(row, add_special_tokens=False).ids for row in rows]


@pytest.mark.parametrize("rules", [{"lstrip": True}, {"single_word": True}, {"normalized": False}])
def test_rules_that_are_not_ours_are_left_to_the_library(rules: dict[str, bool], tmp_path: Path):
    assert with_added("bytes", tmp_path, **rules)._encoder._ours is None


def test_special_tokens_of_a_file_that_lower_cases_are_found_in_lower_cased_text(tmp_path: Path):
    made = json.loads(Tokenizer.train([TEXT], vocab_size=290, normalize="lowercase").json)
    made["added_tokens"] = [token | {"normalized": True} for token in made["added_tokens"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    ours = Tokenizer.load(tmp_path)
    theirs = tokenizers.Tokenizer.from_str(ours.json)
    row = "x<|ENDOFTEXT|>X"
    assert ours.encode(row, allow_special=True).tolist() == theirs.encode(row, add_special_tokens=False).ids


def test_a_tokenizer_without_a_separator_encodes_and_says_what_it_lacks(tmp_path: Path):
    made = json.loads(Tokenizer.train([TEXT], vocab_size=290, split="gpt2").json)
    made["added_tokens"], made["model"]["vocab"]["<eos>"] = [], made["model"]["vocab"].pop("<|endoftext|>")
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    ours = Tokenizer.load(tmp_path)
    assert ours.decode(ours.encode("return")) == "return"
    with pytest.raises(Exception, match='Name one of its tokens as "eos_token"'):
        _ = ours.separator_id
    ours.save(tmp_path / "again")
    assert "eos_token" not in json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<eos>"}')
    assert Tokenizer.load(tmp_path).separator_id == made["model"]["vocab"]["<eos>"]


def test_a_file_without_a_rule_for_words_is_left_to_the_library(tmp_path: Path):
    made = json.loads(Tokenizer.train([TEXT], vocab_size=290).json)
    del made["pre_tokenizer"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    ours = Tokenizer.load(tmp_path)
    assert ours.encode("return x").tolist() == tokenizers.Tokenizer.from_str(ours.json).encode("return x").ids


@pytest.mark.parametrize("token_id", [4_000_000_000, -1])
def test_an_id_far_beyond_the_vocabulary_is_refused(token_id: int, tmp_path: Path):
    made = json.loads(Tokenizer.train([TEXT], vocab_size=290).json)
    made["model"]["vocab"]["return"] = token_id
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    with pytest.raises(Exception, match=r"'return' has the id"):
        Tokenizer.load(tmp_path)
