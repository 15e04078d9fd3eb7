"""`tezgah tokenizer train` and `extend`: what they make, and what they say of input that cannot be used."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from tests.test_lock import held_by_another_process
from tezgah import cli
from tezgah.tokenizer.count import LONGEST_WORD
from tezgah.tokenizer.counts import read_words
from tezgah.tokenizer.measure import changed_words
from tezgah.tokenizer.tokenizer import Tokenizer

TURKISH = "Ankara'dan gelen tren köyün içinden geçip gitti.\n" * 9


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a text and a trained tokenizer in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tr.txt").write_text(TURKISH)
    (tmp_path / "en.txt").write_text("the cat sat on the matter\n" * 9)
    Tokenizer.train(["the cat sat on the matter"] * 9, vocab_size=270).save(tmp_path / "base")
    return tmp_path


def do(command: str) -> int:
    """The exit code of a command."""
    return cli.main(command.split())


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, in one line, of a command that cannot be done."""
    assert do(command) == 2
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if not line.startswith(("counting words", "words:", "warning:"))]
    assert out == ""
    assert len(said) == 1, err
    return said[0].removeprefix("tezgah: ")


def test_training_writes_a_tokenizer_and_its_words(here: Path, capsys: pytest.CaptureFixture[str]):
    assert do("tokenizer train tr.txt --vocab-size 280 -o made --json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"tokenizer": "made/tokenizer.json", "vocab_size": 280, "words": 90, "distinct_words": 10}
    whole = Tokenizer.train([TURKISH], vocab_size=280, split="turkish-safe")
    assert Tokenizer.load("made").hash == whole.hash
    assert do("tokenizer train tr.txt --vocab-size 290 -o other --words made/words.parquet") == 0
    assert "as counted before" in capsys.readouterr().err
    assert not Path("other/words.parquet").exists()


def test_extending_tells_what_was_added_and_what_changed(here: Path, capsys: pytest.CaptureFixture[str]):
    assert do("tokenizer extend base tr.txt --add 12 -o made --keep en.txt --json") == 0
    told = json.loads(capsys.readouterr().out)
    expected = {"tokenizer": "made/tokenizer.json", "vocab_size": 282, "added": 12, "share_of_kept_words_changed": 0.0}
    assert told == expected
    assert Tokenizer.load("made").hash == Tokenizer.load("base").extend([TURKISH], add=12).hash
    assert do("tokenizer extend base tr.txt --add 12 -o made --keep en.txt,tr.txt") == 0
    changed = changed_words(Tokenizer.load("base"), Tokenizer.load("made"), [(here / "en.txt").read_text(), TURKISH])
    assert 0 < changed < 1
    assert f"share of kept words changed  {100 * changed:.4f} %" in capsys.readouterr().out
    assert do("tokenizer extend base tr.txt --add 5000 -o more") == 0
    assert "new tokens of 5,000" in capsys.readouterr().err


TEXT_REFUSED = {
    "empty": (b"", "the files hold no text to learn from"),
    "spaces": (b" \n \n", "the files hold no text to learn from"),
    "bytes that are no UTF-8": (b"caf\xe9 latin", "the files hold no text to learn from"),
    "NUL bytes": (b"a\0b" * 9, "the files hold no text to learn from"),
    "too little": (b"abcd", "tokenizer.vocab_size: 8,192 cannot be reached: the training texts support 260 ids."),
}


@pytest.mark.parametrize("case", TEXT_REFUSED)
def test_text_that_is_not_enough_is_said_and_what_was_made_stays(
    case: str, here: Path, capsys: pytest.CaptureFixture[str]
):
    content, message = TEXT_REFUSED[case]
    (here / "bad.txt").write_bytes(content)
    before = (here / "base" / "tokenizer.json").read_bytes()
    assert refused("tokenizer train bad.txt -o base", capsys).startswith(message)
    assert (here / "base" / "tokenizer.json").read_bytes() == before
    if case != "too little":
        assert refused("tokenizer extend base bad.txt -o made", capsys).startswith("the texts give no pair to merge")
        assert not (here / "made" / "tokenizer.json").exists()


def test_files_that_are_left_out_are_named(here: Path, capsys: pytest.CaptureFixture[str]):
    (here / "latin.txt").write_bytes(b"caf\xe9")
    assert do("tokenizer train tr.txt latin.txt --vocab-size 260 -o made") == 0
    assert "warning: texts left out as not_utf8: 1 (latin.txt)" in capsys.readouterr().err


def test_bad_bytes_nulls_and_surrogates_in_rows(here: Path, capsys: pytest.CaptureFixture[str]):
    bad = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": bad}), here / "bad.parquet")
    assert do("tokenizer train bad.parquet --vocab-size 260 -o made") == 0
    assert "warning: texts left out as not_utf8: 1 (bad.parquet)" in capsys.readouterr().err
    (here / "half.jsonl").write_text('{"text": "fine"}\n{"text": "\\udcff"}\n')
    assert "half.jsonl: row 2" in refused("tokenizer train half.jsonl -o made", capsys)
    (here / "nul.jsonl").write_text('{"text": "a\\u0000b a\\u0000b"}\n' * 9)
    assert refused("tokenizer train nul.jsonl --vocab-size 258 -o other", capsys).startswith("the files hold no text")
    learnt = Tokenizer.train(["a\0\0b"] * 9, vocab_size=258)  # in Python it is a character as any other
    assert learnt.encode("\0\0").size == 1
    assert learnt.decode(learnt.encode("a\0b\0\0")) == "a\0b\0\0"


def wordpiece() -> str:
    vocab = {"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "su": 3, "##lar": 4}
    return str(tokenizers.BertWordPieceTokenizer(vocab=vocab).to_str())


def changed(**changes: Any) -> str:
    """The base's file with entries of its model replaced; a `vocab` or `added_tokens` is added to what is there."""
    file = json.loads(Tokenizer.train(["the cat sat on the matter"] * 9, vocab_size=270).json)
    model = file["model"]
    model["vocab"] |= changes.pop("vocab", {})
    file["added_tokens"] += changes.pop("added_tokens", [])
    model |= changes
    return json.dumps(file)


def added(content: str, token_id: int) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": content, "special": True, **flags}


BASE_REFUSED = {
    "not JSON": (lambda: '{"model": ', "not valid JSON"),
    "a list": (lambda: "[1, 2]", "not a tokenizer.json"),
    "no UTF-8": (lambda: "\udcff", "not valid JSON"),
    "no BPE": (wordpiece, "the base is no BPE but WordPiece"),
    "ignore_merges": (lambda: changed(ignore_merges=True), "the base sets ignore_merges"),
    "a merge of nothing": (lambda: changed(merges=[["a", "ğ"]]), "not a usable tokenizer"),
    "a merge of three": (lambda: changed(merges=["a b c"]), "not a usable tokenizer"),
    "two tokens, one id": (lambda: changed(vocab={"yeni": 260}), "have the same id, 260."),
    "special tokens of one id": (
        lambda: changed(added_tokens=[added("<a>", 270), added("<b>", 270)]),
        "'<a>' and '<b>' have the same id, 270.",
    ),
    "a special token of two ids": (
        lambda: changed(added_tokens=[added("<a>", 270), added("<a>", 271)]),
        "'<a>' has two ids, 270 and 271.",
    ),
    "a special token with the id of a byte": (lambda: changed(added_tokens=[added("<a>", 5)]), "have the same id, 5."),
    "a special token beyond a hole": (lambda: changed(added_tokens=[added("<a>", 300)]), "stated to have the id 300"),
}


@pytest.mark.parametrize("case", BASE_REFUSED)
def test_a_base_that_cannot_be_used_is_said_in_one_line(case: str, here: Path, capsys: pytest.CaptureFixture[str]):
    content, message = BASE_REFUSED[case]
    (here / "bad.json").write_text(content(), errors="surrogateescape")
    assert message in refused("tokenizer extend bad.json tr.txt --add 5 -o made", capsys)
    assert not (here / "made" / "tokenizer.json").exists()


def test_a_vocabulary_with_holes_is_said_and_goes_on_after_them(here: Path, capsys: pytest.CaptureFixture[str]):
    (here / "holes.json").write_text(changed(vocab={"yeni": 299}))
    assert do("tokenizer extend holes.json tr.txt --add 5 -o made") == 0
    assert "warning: holes.json: 29 of its 300 ids have no token" in capsys.readouterr().err
    vocab = json.loads(Path("made/tokenizer.json").read_text())["model"]["vocab"]
    assert sorted(vocab.values())[-6:] == [299, 300, 301, 302, 303, 304]
    library = tokenizers.Tokenizer.from_file("made/tokenizer.json")
    made = Tokenizer.load("made")
    assert made.encode(TURKISH).tolist() == library.encode(TURKISH).ids
    assert made.decode([280]) == ""


def test_a_place_that_cannot_be_written_is_named(here: Path, capsys: pytest.CaptureFixture[str]):
    for verb in ("train tr.txt --vocab-size 260", "extend base tr.txt --add 2"):
        assert refused(f"tokenizer {verb} -o tr.txt", capsys).startswith("tr.txt: cannot be written (File exists)")
        assert "cannot be written" in refused(f"tokenizer {verb} -o tr.txt/made", capsys)
    assert refused("tokenizer extend base tr.txt -o base", capsys).startswith("base: is where BASE lies")
    assert "is where BASE lies" in refused("tokenizer extend base/tokenizer.json tr.txt -o base", capsys)
    assert (here / "tr.txt").read_text() == TURKISH
    message = "not counted words"
    assert message in refused("tokenizer train tr.txt --vocab-size 260 -o made --words base", capsys)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="which file is written is read from /proc")
def test_a_full_disk_is_one_line_and_what_was_there_stays(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    before = (here / "base" / "tokenizer.json").read_bytes()

    def full(descriptor: int) -> None:
        if ".lock" not in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    verbs = {
        "train tr.txt --vocab-size 260 -o base": "words.parquet",
        "extend base tr.txt --add 2 -o made": "tokenizer.json",
    }
    for verb, file in verbs.items():
        assert f"{file}: the disk is full" in refused(f"tokenizer {verb}", capsys)
    assert (here / "base" / "tokenizer.json").read_bytes() == before
    assert not list(here.rglob("*.part"))


def test_two_commands_do_not_write_one_folder(here: Path, capsys: pytest.CaptureFixture[str]):
    with held_by_another_process(here / "made") as holder:
        for verb in ("train tr.txt --vocab-size 260", "extend base tr.txt --add 2"):
            assert f"made: in use by another run (process {holder} " in refused(f"tokenizer {verb} -o made", capsys)


def test_a_stop_says_that_counting_goes_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tezgah.tokenizer.counts.counted_words", stop)
    assert do("tokenizer train tr.txt -o made") == 130
    assert capsys.readouterr().err == "tezgah: stopped. The same command goes on from here.\n"


def test_a_huge_line_without_a_space_takes_time_in_proportion_to_its_length(here: Path):
    line = "".join(random.Random(1).choices("abcğ", k=9_000_000))
    (here / "line.txt").write_text(line)  # over 10 MB
    began = time.monotonic()
    assert do("tokenizer train line.txt --vocab-size 300 -o made") == 0
    made = Tokenizer.load("made")
    assert made.decode(made.encode(line[:1_000_000])) == line[:1_000_000]
    assert time.monotonic() - began < 60  # seconds where nothing else runs; the square of the length would be days
    assert int(np.diff(read_words(Path("made/words.parquet")).words.starts).max()) == LONGEST_WORD


@pytest.mark.parametrize("place", ["base", ".", "tr.txt"])
def test_arrays_take_the_place_of_arrays_alone(place: str, here: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert "-o" in refused(f"tokenizer encode base tr.txt -o {place}", capsys)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
    assert do("tokenizer encode base tr.txt -o ids") == 0
    assert do("tokenizer encode base en.txt -o ids") == 0
    assert len(np.load("ids/offsets.npy")) == 2


def test_too_much_to_print_is_said(here: Path, capsys: pytest.CaptureFixture[str]):
    with open("long.txt", "w") as file:
        file.truncate(16_000_001)
    assert "Give -o DIR" in refused("tokenizer encode base long.txt", capsys)


def test_limits_of_a_vocabulary_are_those_of_the_library(here: Path):
    assert do("tokenizer train tr.txt --split gpt2 --vocab-size 272 --max-token-length 3 -o short") == 0
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=272,
        max_token_length=3,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.train_from_iterator([TURKISH], trainer)
    ours = json.loads(Path("short/tokenizer.json").read_text())
    assert ours["model"]["merges"] == json.loads(theirs.to_str())["model"]["merges"]
    assert do("tokenizer train tr.txt --algorithm wordpiece --limit-alphabet 5 --vocab-size 18 -o few") == 0
    assert sum(len(name) == 1 for name in json.loads(Path("few/tokenizer.json").read_text())["model"]["vocab"]) == 5


@pytest.mark.parametrize("size", ["200000000", "1000000000000"])
def test_a_vocabulary_beyond_all_texts_is_refused_without_taking_memory(
    size: str, here: Path, capsys: pytest.CaptureFixture[str]
):
    assert "vocab_size" in refused(f"tokenizer train tr.txt --vocab-size {size} -o made", capsys)
    assert "is rarer" not in capsys.readouterr().err


def test_a_rare_pair_is_not_merged_where_that_is_asked(here: Path, capsys: pytest.CaptureFixture[str]):
    said = refused("tokenizer train tr.txt --vocab-size 300 --min-frequency 10 -o made", capsys)
    assert "support" in said
    reached = int(said.split("support ")[1].split(" ")[0].replace(",", ""))
    assert do(f"tokenizer train tr.txt --vocab-size {reached} --min-frequency 10 -o made") == 0
