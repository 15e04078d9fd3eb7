"""Tokenizers trained and ready-made, against `tokenizers` and `transformers`."""

import json
import sysconfig
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.tokenizer import texts as text_module
from tezgah.tokenizer.settings import Split
from tezgah.tokenizer.tokenizer import Tokenizer

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"
GPT2 = DATA / "tokenizers" / "gpt2"
SPLITS: tuple[Split, ...] = ("gpt2", "cl100k", "o200k", "whitespace", "digits", "turkish-safe")
TRICKY = [
    "",
    " ",
    "\n\n  leading and trailing  \n",
    "\x00\x01\x1b\x7f\x85 control",
    "🙂 👩‍🚀 🇹🇷",
    "İSTANBUL'da ışık, Ali’ye",
    "x = 0x1F\t# tab",
    "né\u0301e \u00a0 \u202e rtl",
    "\ufeffbom",
]

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")


@pytest.fixture(scope="module")
def source_lines() -> list[str]:
    """A few thousand lines of the interpreter's own library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse.py", "ast.py", "inspect.py", "typing.py")
    return [line for name in names for line in (library / name).read_text("utf-8").splitlines(keepends=True)]


@pytest.fixture(scope="module")
def trained(source_lines: list[str]) -> Tokenizer:
    return Tokenizer.train(source_lines, vocab_size=1_000, split="turkish-safe")


def thousand_lines(source_lines: list[str]) -> list[str]:
    """Code, English and Turkish lines, and the awkward ones."""
    files = ("tr/tutanak.txt", "tr/ud_tr.txt", "the-verdict.txt")
    prose = [(DATA / name).read_text("utf-8").split("\n")[:200] for name in files if (DATA / name).exists()]
    return [*TRICKY, *(line for lines in prose for line in lines), *source_lines][:1_000]


@pytest.mark.parametrize("split", SPLITS)
def test_text_comes_back_exactly_whatever_the_split(split: Split):
    tokenizer = Tokenizer.train(["the cat's 123 hats, Ali'den"] * 3, vocab_size=262, split=split)

    @given(text=st.text())
    @settings(max_examples=60)
    def comes_back(text: str):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()

    comes_back()


def test_training_gives_the_vocabulary_and_merges_of_the_library(source_lines: list[str], trained: Tokenizer):
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        min_frequency=0,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    theirs.train_from_iterator(source_lines, trainer)
    ours = json.loads(Tokenizer.train(source_lines, vocab_size=600, split="gpt2").json)
    expected = json.loads(theirs.to_str())
    assert ours["model"] == expected["model"]
    assert ours["added_tokens"] == expected["added_tokens"]
    assert ours["pre_tokenizer"] == expected["pre_tokenizer"]


def test_a_trained_tokenizer_has_one_special_token_id_0_and_every_byte(trained: Tokenizer):
    assert trained.vocab_size == 1_000
    assert trained.separator_id == 0
    assert trained.decode([0]) == "<|endoftext|>"
    assert {trained.decode_bytes([each]) for each in range(1, 257)} == {bytes([each]) for each in range(256)}
    assert [token["content"] for token in json.loads(trained.json)["added_tokens"]] == ["<|endoftext|>"]


def test_training_twice_gives_the_same_file_and_any_container_of_texts_will_do(source_lines: list[str]):
    lines = source_lines[:500]
    batch = pa.record_batch({"path": lines, "text": lines})
    containers = [
        lines,
        iter(lines),
        pa.array(lines),
        pa.array(lines, pa.large_string()),
        pa.array(lines, pa.string_view()),
        pa.array(lines).dictionary_encode(),
        pa.chunked_array([lines[:100], lines[100:]]),
        [pa.array(lines[:7]), pa.array(lines[7:])],
        [batch.slice(0, 300), batch.slice(300)],
        pa.Table.from_batches([batch]),
    ]
    assert len({Tokenizer.train(texts, vocab_size=400).hash for texts in containers}) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_text_that_spells_the_separator_never_becomes_it(split: Split):
    texts = ["<|endoftext|>\n", "a <|endoftext|> b", "<|endoftext|><|endoftext|>"] * 9
    others = [f"{word}{ending}" for word in ("masa", "kitap", "duvar", "deniz") for ending in ("lar", "dan", "da")]
    tokenizer = Tokenizer.train([*texts * 9, *others], vocab_size=285, split=split)  # merges of `others` come last
    for text in texts:
        ids = tokenizer.encode(text)
        assert tokenizer.separator_id not in ids
        assert tokenizer.decode(ids) == text


@needs_data
def test_text_that_spells_the_separator_never_becomes_it_with_ready_tokenizers():
    for path in (GPT2, DATA / "tokenizers" / "gpt-neox-20b.json"):
        tokenizer = Tokenizer.load(path)
        ids, _ = tokenizer.encode_batch(["x <|endoftext|> y", "<|endoftext|>"])
        assert tokenizer.separator_id not in ids
        assert tokenizer.decode(ids) == "x <|endoftext|> y<|endoftext|>"


@needs_data
def test_gpt2_files_give_the_ids_of_transformers(source_lines: list[str]):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2Tokenizer(str(GPT2 / "encoder.json"), str(GPT2 / "vocab.bpe"))
    ours = Tokenizer.load(GPT2)
    assert (ours.vocab_size, ours.separator_id) == (50_257, 50_256)
    lines = thousand_lines(source_lines)
    ids, offsets = ours.encode_batch(lines)
    expected = theirs(lines, add_special_tokens=False)["input_ids"]
    assert ids.tolist() == [each for row in expected for each in row]
    assert np.diff(offsets).tolist() == [len(row) for row in expected]


@needs_data
def test_the_verdict_has_5145_tokens():
    text = (DATA / "the-verdict.txt").read_text("utf-8")
    tokenizer = Tokenizer.load(GPT2)
    ids = tokenizer.encode(text)
    assert (len(text), ids.size) == (20_479, 5_145)
    assert ids[:5].tolist() == [40, 367, 2885, 1464, 1807]  # "I HAD always thought", as the textbook prints them
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("model_type", ["", "gpt2", "qwen3"])
def test_transformers_opens_what_was_saved_with_the_same_ids(
    model_type: str, trained: Tokenizer, source_lines: list[str], tmp_path: Path
):
    transformers = pytest.importorskip("transformers")
    trained.save(tmp_path, model_max_length=256)
    if model_type:  # beside a model, transformers also looks at the model's type
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    lines = thousand_lines(source_lines)
    expected = theirs(lines)["input_ids"]
    ids, offsets = trained.encode_batch(lines)
    assert len(lines) == 1_000
    for row, line in enumerate(lines):
        assert ids[offsets[row] : offsets[row + 1]].tolist() == expected[row], line
        assert theirs.decode(expected[row]) == line
    assert theirs.eos_token_id == theirs.bos_token_id == trained.separator_id
    assert len(theirs) == trained.vocab_size
    assert theirs.model_max_length == 256


def test_a_saved_tokenizer_loads_as_itself_from_folder_or_file(trained: Tokenizer, tmp_path: Path):
    trained.save(tmp_path / "new" / "folder")
    file = tmp_path / "new" / "folder" / "tokenizer.json"
    assert sha256(file.read_bytes()).hexdigest() == trained.hash
    for path in (file, file.parent, str(file)):
        assert Tokenizer.load(path).hash == trained.hash


def test_a_batch_is_its_texts_one_after_another_whatever_the_container(
    trained: Tokenizer, source_lines: list[str], monkeypatch: pytest.MonkeyPatch
):
    lines = [*TRICKY, *source_lines[:700], ""]
    ids, offsets = trained.encode_batch(lines)
    assert (str(ids.dtype), str(offsets.dtype), offsets.size) == ("int32", "int64", len(lines) + 1)
    for row, line in enumerate(lines):
        assert np.array_equal(ids[offsets[row] : offsets[row + 1]], trained.encode(line))
    monkeypatch.setattr(text_module, "CHUNK_BYTES", 100)
    for texts in (lines, pa.array(lines), pa.chunked_array([lines[:5], lines[5:]])):
        again, same = trained.encode_batch(texts)
        assert np.array_equal(ids, again)
        assert np.array_equal(offsets, same)


def test_a_batch_of_nothing_is_empty(trained: Tokenizer):
    ids, offsets = trained.encode_batch([])
    assert (ids.size, offsets.tolist()) == (0, [0])
    assert trained.decode([]) == ""


def test_half_a_character_decodes_to_the_replacement_and_its_exact_bytes(trained: Tokenizer):
    first, *_ = [each for each in range(257) if trained.decode_bytes([each]) == b"\xf0"]
    assert trained.decode([first]) == "\ufffd"
    assert trained.decode_bytes(np.array([first])) == b"\xf0"


def test_a_tokenizer_of_another_kind_is_read_with_its_own_decoder(tmp_path: Path):
    theirs = tokenizers.BertWordPieceTokenizer(vocab={"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "su": 3, "##lar": 4})
    theirs.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("su sular").tolist() == [3, 3, 4]
    assert tokenizer.decode([3, 3, 4]) == "su sular"
    assert tokenizer.separator == "[SEP]"


def test_the_end_of_text_token_that_a_config_names_is_the_separator(trained: Tokenizer, tmp_path: Path):
    data = json.loads(trained.json)
    data["added_tokens"][0]["content"] = "<eot>"
    data["model"]["vocab"]["<eot>"] = data["model"]["vocab"].pop("<|endoftext|>")
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"no token to set between documents.*eos_token"):
        _ = Tokenizer.load(tmp_path).separator_id
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "<eot>"}}')
    tokenizer = Tokenizer.load(tmp_path)
    assert (tokenizer.separator, tokenizer.separator_id) == ("<eot>", 0)
    assert 0 not in tokenizer.encode("a<eot>b<|endoftext|>")


def test_truncation_padding_dropout_and_a_separator_that_text_could_spell_are_mended(
    trained: Tokenizer, tmp_path: Path
):
    data = json.loads(trained.json)
    data["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    data["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>",
    }  # fmt: skip
    data["model"]["dropout"] = 0.5
    data["added_tokens"][0]["special"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    text = "def add(first, second): return first + second <|endoftext|>"
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode(text).tolist() == trained.encode(text).tolist()
    assert tokenizer.hash == trained.hash


def test_rules_that_make_a_separator_of_text_are_refused_when_they_do(tmp_path: Path):
    words = {"<unk>": 0, "</s>": 1, "su": 2}
    theirs = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    theirs.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("su su").tolist() == [2, 2]
    with pytest.raises(InputError, match="'</s>'"):
        tokenizer.encode("su </s>")


def test_a_vocabulary_that_cannot_be_reached_says_how_far_the_text_goes():
    with pytest.raises(InputError, match=r"vocab_size: 50,000 cannot be reached.* 260 ids\. Set it to 260 or less"):
        Tokenizer.train(["abcd"], vocab_size=50_000)
    assert Tokenizer.train(["abcd"], vocab_size=260).vocab_size == 260


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(InputError, match=r"vocab_size: 256 is too small.*257 or more"):
        Tokenizer.train(["abcd"], vocab_size=256)
    assert Tokenizer.train([], vocab_size=257).vocab_size == 257


def test_an_error_of_the_texts_comes_through_training():
    def texts():
        yield "fine"
        raise InputError("corpus.jsonl: row 2 is broken.")

    with pytest.raises(InputError, match="row 2 is broken"):
        Tokenizer.train(texts(), vocab_size=300)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one string", "one string where many"),
        (["a", None], "row 1 is null"),
        (pa.array(["a", None]), "row 1 is null"),
        ([b"bytes"], "row 0 is bytes"),
        (pa.table({"content": ["a"]}), "no column 'text'; it has: content"),
        (pa.array([b"fine", b"caf\xe9"]).view(pa.string()), "not UTF-8"),
        (pa.array([1, 2]), "an Arrow array of int64, not of strings"),
        (pa.array([b"a"]), "an Arrow array of binary, not of strings"),
        (["fine", "\udcff"], "half of a surrogate pair"),
    ],
)
def test_what_is_not_text_is_named(texts: object, message: str, trained: Tokenizer):
    with pytest.raises(InputError, match=message):
        trained.encode_batch(texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("unknown", [-1, 1_000])
def test_an_id_outside_the_vocabulary_is_named(unknown: int, trained: Tokenizer):
    with pytest.raises(InputError, match=f"id {unknown:,} is not in the vocabulary of 1,000 ids"):
        trained.decode([1, unknown])


DAMAGED = {
    "absent": (None, "cannot be read|no such file"),
    "not JSON": ('{"model": {"voc', "not valid JSON"),
    "a list": ("[]", "not a tokenizer.json"),
    "no model": ('{"version": "1.0"}', "not a tokenizer.json .*`model`"),
    "wrong ids": ('{"model": {"type": "BPE", "vocab": {"<|endoftext|>": "0"}, "merges": []}}', "not a tokenizer.json"),
    "a merge of nothing": (
        '{"model": {"type": "BPE", "vocab": {"<|endoftext|>": 0, "a": 1}, "merges": [["a", "b"]]}}',
        "not a usable tokenizer .*out of vocabulary",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named_in_one_line(case: str, tmp_path: Path):
    content, message = DAMAGED[case]
    file = tmp_path / "tokenizer.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_says_what_it_should_hold(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no tokenizer.*tokenizer\.json.*encoder\.json and vocab\.bpe"):
        Tokenizer.load(tmp_path)


def test_gpt2_files_that_are_damaged_or_half_there_are_named(tmp_path: Path):
    vocabulary, merges = tmp_path / "encoder.json", tmp_path / "vocab.bpe"
    vocabulary.write_text('{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}')
    with pytest.raises(InputError, match=r"vocab.bpe: cannot be read"):
        Tokenizer.load(tmp_path)
    for damaged in ("#version: 0.2\na b\na c\n", "a b\nb\n"):
        merges.write_text(damaged)
        with pytest.raises(InputError, match=r"vocab.bpe: line [23]: .* is not in the vocabulary"):
            Tokenizer.load(tmp_path)


def test_a_vocabulary_without_every_byte_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    assert Tokenizer.load(tmp_path).encode("abba").tolist() == [2, 1, 0]
    assert "lacks 241 of UTF-8's bytes" in capsys.readouterr().err


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=60)
def test_a_flipped_byte_in_the_file_is_an_input_error_or_another_tokenizer(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
):
    file = tmp_path_factory.getbasetemp() / "flipped.json"
    content = bytearray(Tokenizer.train(["su sular"], vocab_size=258).json.encode())
    content[position % len(content)] = byte
    file.write_bytes(content)
    with suppress(InputError):
        assert Tokenizer.load(file).vocab_size > 0


def test_the_first_gpts_two_files_are_read_as_transformers_reads_them(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    letters = "abcdefghijklmnopqrstuvwxyz.,'0123456789"
    merges = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("s", "a"), ("sa", "t</w>")]
    names = ["<unk>", *letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges)]
    vocab = {name: number for number, name in enumerate(names)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)) + "\n")
    theirs = transformers.OpenAIGPTTokenizer(vocab=vocab, merges=merges)
    ours = Tokenizer.load(tmp_path)
    for text in ("The cat sat.", "THE  CAT, it's 7 köy é", "", "the\ncat"):
        assert ours.encode(text).tolist() == theirs(text)["input_ids"]
    assert ours.decode(ours.encode("The cat sat")) == theirs.decode(theirs("The cat sat")["input_ids"])
