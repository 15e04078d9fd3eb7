"""Every algorithm's file: read by `tokenizers` and `transformers` with the same ids, decoded, and safe from text."""

import itertools
import json
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.engine_texts import texts
from tezgah.cli import main
from tezgah.errors import InputError
from tezgah.tokenizer.plain import CharacterEncoder
from tezgah.tokenizer.settings import Algorithm, Split
from tezgah.tokenizer.tokenizer import Tokenizer

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
SPLITS: tuple[Split, ...] = get_args(Split)
TURKISH = [
    "Ali'den gelen ışıklı treni; geldi, gelmiş, gelecek!",
    "Trenler trende, ışıkta; İstanbul'un 1980'deki ışıklarına.",
    "x = f(y)\n    return x\n",
] * 9
SIZES: dict[Algorithm, int] = {"bpe": 300, "wordpiece": 95, "unigram": 265, "characters": 60, "bytes": 257}
rows_of_text = st.lists(st.one_of(texts, st.text("geltrnışAi'(), \n"), st.sampled_from(TURKISH)), max_size=5)


@cache
def trained(algorithm: Algorithm) -> Tokenizer:
    return Tokenizer.train(TURKISH, SIZES[algorithm], "turkish-safe", algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(max_examples=100)
@given(rows=rows_of_text)
def test_ids_are_those_of_the_library(algorithm: Algorithm, rows: list[str]):
    library = tokenizers.Tokenizer.from_str(trained(algorithm).json)
    library.encode_special_tokens = True
    ids, ends = trained(algorithm).encode_batch(rows)
    found = [ids[begin:end].tolist() for begin, end in itertools.pairwise(ends)]
    assert found == [library.encode(row, add_special_tokens=False).ids for row in rows]


@pytest.mark.parametrize("algorithm", ["bpe", "unigram", "bytes"])
@settings(max_examples=100)
@given(rows=rows_of_text)
def test_any_text_comes_back_from_a_vocabulary_of_bytes(algorithm: Algorithm, rows: list[str]):
    tokenizer = trained(algorithm)
    assert [tokenizer.decode(tokenizer.encode(row)) for row in rows] == rows


def test_known_text_comes_back_from_characters_and_words_from_wordpiece():
    for text in TURKISH:
        assert trained("characters").decode(trained("characters").encode(text)) == text
    assert trained("characters").decode(trained("characters").encode("gel🙂")) == "gel<|unknown|>"
    assert trained("wordpiece").decode(trained("wordpiece").encode("gelen, treni!")) == "gelen, treni!"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_transformers_opens_what_was_saved_with_the_same_ids(algorithm: Algorithm, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    tokenizer = trained(algorithm)
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    rows = [*TURKISH[:3], "bilinmeyen 🙂 şeyler"]
    expected = theirs(rows, add_special_tokens=False)["input_ids"]
    assert [tokenizer.encode(row).tolist() for row in rows] == expected
    assert theirs.decode(expected[0]) == tokenizer.decode(expected[0])
    assert theirs.eos_token_id == tokenizer.separator_id
    assert len(theirs) == tokenizer.vocab_size
    if algorithm == "wordpiece":
        assert [theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id] == [0, 1, 2, 3]
        assert theirs.mask_token_id == 4
        assert theirs(rows[0])["input_ids"] == [2, *expected[0], 3]
    assert Tokenizer.load(tmp_path).hash == tokenizer.hash


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("split", ["gpt2", "whitespace"])
def test_text_that_spells_the_separator_never_becomes_it(algorithm: Algorithm, split: Split):
    texts = [*TURKISH, "a <|endoftext|> b", "<|endoftext|>", "[SEP] [CLS]", "<|unknown|>"]
    tokenizer = Tokenizer.train(texts, SIZES[algorithm], split, algorithm)
    assert tokenizer.separator_id == (3 if algorithm == "wordpiece" else 0)
    ids, _ = tokenizer.encode_batch(texts)
    assert tokenizer.separator_id not in ids
    assert tokenizer.decode([tokenizer.separator_id]) == tokenizer.separator


def test_characters_are_sorted_and_the_most_frequent_are_kept():
    tokenizer = Tokenizer.train(["çç bb a"], vocab_size=5, algorithm="characters")
    assert list(json.loads(tokenizer.json)["model"]["vocab"]) == ["<|endoftext|>", "<|unknown|>", " ", "b", "ç"]
    assert tokenizer.encode("aç").tolist() == [1, 4]
    assert Tokenizer.train(["çç bb a"], algorithm="characters").vocab_size == 6


@pytest.mark.parametrize("split", SPLITS)
def test_the_character_engine_reads_a_vocabulary_of_any_split(split: Split):
    tokenizer = Tokenizer.train(TURKISH, 60, split, "characters")
    library = tokenizers.Tokenizer.from_str(tokenizer.json)
    assert isinstance(tokenizer._encoder._ours, CharacterEncoder)
    for text in (*TURKISH[:3], "Ali'den 🙂 12  3\n"):
        assert tokenizer.encode(text).tolist() == library.encode(text).ids


@pytest.mark.parametrize("algorithm", ["characters", "bytes"])
def test_an_alphabet_can_be_extended_by_merges(algorithm: Algorithm):
    longer = trained(algorithm).extend(TURKISH, add=20)
    assert longer.vocab_size == trained(algorithm).vocab_size + 20
    assert longer.decode(longer.encode(TURKISH[0])) == TURKISH[0]
    assert len(longer.encode(TURKISH[0])) < len(trained(algorithm).encode(TURKISH[0]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_twice_gives_the_same_file(algorithm: Algorithm):
    again = Tokenizer.train(TURKISH[::-1], SIZES[algorithm], "turkish-safe", algorithm)
    assert again.hash == trained(algorithm).hash


@pytest.mark.parametrize("algorithm", ["wordpiece", "characters", "unigram"])
def test_texts_without_characters_are_refused(algorithm: Algorithm):
    for rows in ([], [""]):
        with pytest.raises(InputError, match=r"training texts are empty.*Add text\."):
            Tokenizer.train(rows, 300, algorithm=algorithm)


@pytest.mark.parametrize(
    ("algorithm", "vocab_size", "message"),
    [
        ("characters", 2, r"vocab_size: 2 leaves no room for characters.*Set it to 3 or more"),
        ("unigram", 256, r"vocab_size: 256 is too small.*Set it to 257 or more"),
        ("unigram", 5_000, r"vocab_size: 5,000 cannot be reached"),
        ("wordpiece", 12, r"vocab_size: 12 is too small"),
    ],
)
def test_a_vocabulary_of_an_impossible_size_is_refused(algorithm: Algorithm, vocab_size: int, message: str):
    with pytest.raises(InputError, match=message):
        Tokenizer.train(TURKISH, vocab_size, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_command_line_trains_each(algorithm: Algorithm, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "text.txt").write_text("\n".join(TURKISH))
    flags = ["--algorithm", algorithm, "--vocab_size", str(SIZES[algorithm]), "--normalize", "lowercase-turkish"]
    assert main(["tokenizer", "train", str(tmp_path / "text.txt"), *flags, "-o", str(tmp_path / "out")]) == 0
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert "ı" in tokenizer.decode(tokenizer.encode("I"))
    assert "tokenizer.json" in capsys.readouterr().out
