"""An extended tokenizer against one trained at once, and against Hugging Face `tokenizers`."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.engine_texts import SPLITS
from tezgah.errors import InputError
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS
from tezgah.tokenizer.measure import changed_words, measure
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.tokenizer import Tokenizer

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"
TEXTS = [
    "def alan(genişlik, yükseklik):\n    return genişlik * yükseklik\n" * 9,
    "Ankara'dan İstanbul'a giden trenin camından görünen kırlar, köyler; 1980'de 12 vagon  \n" * 9,
    "the cat sat on the mat, the rat ran; 🙂🙂 it's, we'll \x00\n" * 9,
]
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def library(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    opened = tokenizers.Tokenizer.from_str(tokenizer.json)
    opened.encode_special_tokens = True
    return opened


def assert_the_library_agrees(tokenizer: Tokenizer, texts: list[str], tokens: int | None = None) -> None:
    """Equal ids, and as many `tokens`, which are fewer than ids where the vocabulary has holes."""
    theirs = library(tokenizer)
    ids, offsets = tokenizer.encode_batch(texts)
    rows = [ids[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]
    assert rows == [theirs.encode(text, add_special_tokens=False).ids for text in texts]
    assert theirs.get_vocab_size() == (tokens or tokenizer.vocab_size)


def assert_it_is_kept(old: Tokenizer, new: Tokenizer) -> None:
    before, after = (json.loads(each.json)["model"] for each in (old, new))
    assert before["vocab"].items() <= after["vocab"].items()
    assert after["merges"][: len(before["merges"])] == before["merges"]
    assert json.loads(old.json)["added_tokens"] == json.loads(new.json)["added_tokens"]
    fresh = sorted(token_id for token_id in after["vocab"].values() if token_id >= old.vocab_size)
    assert fresh == list(range(old.vocab_size, new.vocab_size))


def opened(file: dict[str, Any], folder: Path) -> Tokenizer:
    (folder / "tokenizer.json").write_text(json.dumps(file))
    return Tokenizer.load(folder)


def character_bpe(texts: list[str], vocab_size: int, folder: Path) -> Tokenizer:
    """A base over characters, with an unknown token."""
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    theirs.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=["<unk>", "</s>"], show_progress=False, min_frequency=0
    )
    theirs.train_from_iterator(texts, trainer)
    folder.mkdir(exist_ok=True)
    theirs.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


@pytest.mark.parametrize("split", SPLITS)
def test_extending_a_smaller_one_gives_the_file_of_the_larger_one(split: Split):
    whole = Tokenizer.train(TEXTS, vocab_size=360, split=split)
    for first in (257, 258, 300, 359):
        assert Tokenizer.train(TEXTS, vocab_size=first, split=split).extend(TEXTS, add=360 - first).json == whole.json


def test_extending_in_steps_is_training_at_once_on_awkward_corpora():
    chance = random.Random(11)
    tried = 0
    for _ in range(40):
        letters = chance.choice(["ab", "abc ", "aab'sc 1", "ığü a"])
        texts = ["".join(chance.choices(letters, k=chance.randint(20, 200))) for _ in range(3)]
        try:
            whole = Tokenizer.train(texts, vocab_size=280)
        except InputError:  # too little text
            continue
        grown = Tokenizer.train(texts, vocab_size=262)
        for add in (1, 7, 10):
            grown = grown.extend(texts, add)
        assert grown.json == whole.json, texts
        tried += 1
    assert tried > 25


def test_every_id_and_merge_stays_and_the_library_reads_the_file():
    old = Tokenizer.train(TEXTS[:1], vocab_size=280, split="turkish-safe")
    new = old.extend(TEXTS[1:], add=60)
    assert new.vocab_size == 340
    assert_it_is_kept(old, new)
    assert_the_library_agrees(new, [*TEXTS, "<|endoftext|> 🙂 sığır", ""])
    assert new.separator_id == old.separator_id == 0
    for text in TEXTS:
        assert new.decode(new.encode(text)) == text


def test_a_foreign_base_keeps_its_special_and_added_tokens_and_learns_none_of_them(tmp_path: Path):
    file = json.loads(Tokenizer.train(TEXTS[:1], vocab_size=280).json)
    file["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[^ ]+| +"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        ],
    }
    file["normalizer"] = {"type": "NFC"}
    file["added_tokens"] += [
        {"id": 280, "content": "<tool>", "special": True, **FLAGS},
        {"id": 281, "content": "  ", "special": False, **FLAGS},
    ]
    old = opened(file, tmp_path)
    texts = ["görünen ge\u0306lir <tool> <tool> <tool>", *TEXTS[1:]]
    new = old.extend(texts, add=50)
    assert (old.vocab_size, new.vocab_size) == (282, 332)
    assert_it_is_kept(old, new)
    learnt = json.loads(new.json)["model"]["vocab"].keys() - json.loads(old.json)["model"]["vocab"].keys()
    assert not {"ĠĠ", "Ġ<tool>", "tool"} & learnt
    theirs = library(new)
    assert (theirs.token_to_id("<tool>"), theirs.token_to_id("  ")) == (280, 281)
    for text in texts:
        ids = new.encode(text)
        assert ids.tolist() == theirs.encode(text, add_special_tokens=False).ids
        assert ids.size < old.encode(text).size


@pytest.mark.parametrize("as_text", [True, False])
def test_merges_are_written_as_the_base_writes_them(as_text: bool, tmp_path: Path):
    file = json.loads(Tokenizer.train(TEXTS[:1], vocab_size=280).json)
    if as_text:
        file["model"]["merges"] = [" ".join(merge) for merge in file["model"]["merges"]]
    old = opened(file, tmp_path)
    new = old.extend(TEXTS, add=40)
    assert {type(merge) for merge in json.loads(new.json)["model"]["merges"]} == {str if as_text else list}
    assert_it_is_kept(old, new)
    assert_the_library_agrees(new, TEXTS)
    whole = Tokenizer.train(TEXTS[:1], vocab_size=280).extend(TEXTS, add=40)
    assert new.encode_batch(TEXTS)[0].tolist() == whole.encode_batch(TEXTS)[0].tolist()


def test_a_base_of_two_files_is_extended(tmp_path: Path):
    trained = Tokenizer.train(TEXTS[:1], vocab_size=280, split="gpt2")
    model = json.loads(trained.json)["model"]
    (tmp_path / "encoder.json").write_text(json.dumps(model["vocab"]))
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    (tmp_path / "vocab.bpe").write_text(f"#version: 0.2\n{merges}")
    assert Tokenizer.load(tmp_path).extend(TEXTS, add=40).json == trained.extend(TEXTS, add=40).json


def test_a_base_over_characters_learns_the_characters_it_lacks_first(tmp_path: Path):
    old = character_bpe(["abra kadabra, bar kadar"] * 3, 40, tmp_path)
    texts = ["şeker şeker kadar şair kadabra", "a 漢 b"]
    assert old.decode(old.encode("şeker")) != "şeker"
    new = old.extend(texts, add=12)
    assert_it_is_kept(old, new)
    assert_the_library_agrees(new, [*texts, "abra kadabra", "bilinmeyen × şey"])
    vocab = json.loads(new.json)["model"]["vocab"]
    fresh = sorted((token_id, token) for token, token_id in vocab.items() if token_id >= old.vocab_size)
    assert [token for _, token in fresh][:5] == ["e", "ş", "i", "漢", "▁ş"]  # by count, then code point; then merges
    for text in texts:
        assert new.decode(new.encode(text)) == text


@settings(max_examples=30)
@given(texts=st.lists(st.text("ab ğ<unk>▁", max_size=40), min_size=1, max_size=4))
def test_no_merge_of_a_base_over_characters_makes_its_unknown_token(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
):
    old = character_bpe(["ab ba<unk>"], 12, tmp_path_factory.getbasetemp() / "characters")
    new = old.extend([*texts, "<unk> " * 9], add=20)
    assert_it_is_kept(old, new)
    assert_the_library_agrees(new, texts)


def test_a_token_with_a_space_in_it_is_no_merge_of_one_string(tmp_path: Path):
    old = character_bpe(["ab"], 5, tmp_path)
    file = json.loads(old.json)
    file["pre_tokenizer"] = {"type": "Split", "pattern": {"String": "."}, "behavior": "Isolated", "invert": False}
    file["model"]["merges"] = [" ".join(merge) for merge in file["model"]["merges"]]
    new = opened(file, tmp_path).extend(["a b a b a b.a b"], add=5)
    assert "a b" in json.loads(new.json)["model"]["vocab"]
    assert_the_library_agrees(new, ["a b a b", "b a"])


def test_a_byte_level_base_without_every_byte_learns_those_it_needs(tmp_path: Path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    old = Tokenizer.load(tmp_path)
    new = old.extend(["ab ab ab c"], add=3)
    assert list(json.loads(new.json)["model"]["vocab"])[4:] == ["Ġ", "c", "Ġab"]
    assert new.decode(new.encode("ab ab c")) == "ab ab c"
    assert_the_library_agrees(new, ["ab ab c"])


def test_bytes_that_are_in_no_text_may_be_absent(tmp_path: Path):
    whole = Tokenizer.train(TEXTS[:1], vocab_size=280)
    file = json.loads(whole.json)
    absent = [BYTE_CHARACTERS[byte] for byte in (0xC0, 0xC1, *range(0xF5, 0x100))]
    for character in absent:
        del file["model"]["vocab"][character]
    old = opened(file, tmp_path)
    assert old._encoder._ours is not None
    assert_the_library_agrees(old, TEXTS, tokens=280 - len(absent))
    new = old.extend(TEXTS, add=40)
    assert json.loads(new.json)["model"]["merges"] == json.loads(whole.extend(TEXTS, add=40).json)["model"]["merges"]
    assert_the_library_agrees(new, TEXTS, tokens=320 - len(absent))


def test_words_that_no_merge_touched_keep_their_ids():
    old = Tokenizer.train(TEXTS[:1], vocab_size=280)
    new = old.extend(["yepyeni yepyeni yepyeni"], add=6)
    assert changed_words(old, new, ["return yepyeni alan"]) == pytest.approx(1 / 3)
    assert changed_words(old, old, TEXTS) == 0


def refusals() -> dict[str, tuple[dict[str, Any], str]]:
    """What of a base is changed, and what is said of it."""
    return {
        "ignore_merges": ({"model": {"ignore_merges": True}}, "sets ignore_merges"),
        "dropout": ({"model": {"continuing_subword_prefix": "##"}}, "sets continuing_subword_prefix"),
        "no words": ({"pre_tokenizer": None}, "does not cut text into words"),
    }


@pytest.mark.parametrize("case", refusals())
def test_a_base_whose_merges_cannot_go_on_is_refused(case: str, tmp_path: Path):
    changes, message = refusals()[case]
    file = json.loads(Tokenizer.train(TEXTS[:1], vocab_size=280).json)
    if "model" in changes:
        file["model"]["merges"] = [] if case == "dropout" else file["model"]["merges"]
        file["model"] |= changes["model"]
    else:
        file |= changes
    with pytest.raises(InputError, match=message):
        opened(file, tmp_path).extend(TEXTS, add=5)


def test_a_base_that_is_no_bpe_is_refused(tmp_path: Path):
    theirs = tokenizers.BertWordPieceTokenizer(vocab={"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "su": 3, "##lar": 4})
    theirs.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="the base is no BPE but WordPiece"):
        Tokenizer.load(tmp_path).extend(TEXTS, add=5)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")
def test_a_real_tokenizer_learns_turkish_and_forgets_no_english():
    prose = [path for path in sorted((DATA / "tr").iterdir()) if path.suffix in (".txt", ".md")]
    lines = [line for path in prose for line in path.read_text("utf-8").splitlines(keepends=True)]
    learnt = ["".join(line for k, line in enumerate(lines) if k % 10)]
    held_out = ["".join(lines[::10])]
    base = Tokenizer.load(DATA / "tokenizers" / "gpt-neox-20b.json")
    extended = base.extend(learnt, add=8_000)
    assert extended.vocab_size == base.vocab_size + 8_000
    assert_it_is_kept(base, extended)
    before, after = measure(base, held_out), measure(extended, held_out)
    assert after.bytes_per_token >= 1.6 * before.bytes_per_token
    assert after.tokens_per_word <= 0.6 * before.tokens_per_word
    english = [path.read_text("utf-8") for path in (DATA / "en").iterdir()]
    assert changed_words(base, extended, english) < 0.001
    assert_the_library_agrees(extended, lines[:2_000])
