"""Token shards of small corpora, and of the textbook's short story."""

import json
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tezgah.errors import InputError
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.build import build_tokens
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.settings import TokensSettings
from tezgah.tokens.shards import TokenStream

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"
TEXTS = ["çay ve su", "", "su su <|endoftext|> su", "x = 1\n", "🙂"]
WriteCorpus = Callable[[dict[str, list[str]]], Path]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["su su ve çay"], vocab_size=261)


def build(corpus: Path, tokenizer: Tokenizer, folder: Path, shard_tokens: int = 1_000) -> Path:
    folder.mkdir()
    build_tokens(corpus, tokenizer, TokensSettings(shard_tokens=shard_tokens), folder)
    return folder


def test_every_document_stands_behind_a_separator_and_one_ends_the_stream(
    tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path
):
    corpus = write_corpus({"train": TEXTS, "validation": TEXTS[:2], "test": []})
    folder = build(corpus, tokenizer, tmp_path / "tokens")
    for split, texts in {"train": TEXTS, "validation": TEXTS[:2], "test": []}.items():
        stream = TokenStream(folder, split)
        expected = [each for text in texts for each in (0, *tokenizer.encode(text))] + [0]
        assert stream[:].tolist() == expected
        assert stream[:].dtype == np.uint16
        assert stream.offsets.tolist() == [place for place, each in enumerate(expected) if each == 0]
        assert stream.bytes.tolist() == [len(text.encode()) for text in texts]
        entry = stream.index.splits[split]
        assert (entry.documents, entry.text_tokens) == (len(texts), len(expected) - len(texts) - 1)
        assert (entry.bytes, entry.characters) == (sum(stream.bytes), sum(map(len, texts)))


def test_shards_cut_the_same_stream_and_slices_run_across_them(
    tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path
):
    corpus = write_corpus({"train": TEXTS * 3})
    whole = TokenStream(build(corpus, tokenizer, tmp_path / "one"), "train")
    expected = whole[:]
    for shard_tokens in (1, 7, len(whole), len(whole) + 1):
        folder = build(corpus, tokenizer, tmp_path / str(shard_tokens), shard_tokens)
        stream = TokenStream(folder, "train")
        assert stream.index.splits["train"].shards[:-1] == (shard_tokens,) * ((len(whole) - 1) // shard_tokens)
        assert len(list(folder.glob("train-0*.npy"))) == -(-len(whole) // shard_tokens)
        assert stream.offsets.tolist() == whole.offsets.tolist()
        for start in (0, 3, 7, 13, len(whole) - 1, len(whole), len(whole) + 5):
            for stop in (start, start + 1, start + 20, len(whole)):
                assert stream[start:stop].tolist() == expected[start:stop].tolist()


def test_a_large_vocabulary_is_stored_in_four_bytes(write_corpus: WriteCorpus, tmp_path: Path):
    ids = dict.fromkeys("ab", 0) | {f"t{rank}": rank for rank in range(2, 65_536)}
    ids |= {"a": 0, "b": 1, "<|endoftext|>": 65_536}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    folder = build(write_corpus({"train": ["ab"]}), Tokenizer.load(tmp_path), tmp_path / "tokens")
    stream = TokenStream(folder, "train")
    assert stream.index.dtype == "uint32"
    assert stream[:].tolist() == [65_536, 0, 1, 65_536]


def test_shards_are_plain_npy_files_and_equal_from_run_to_run(
    tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path
):
    corpus = write_corpus({"train": TEXTS})
    first, second = build(corpus, tokenizer, tmp_path / "first"), build(corpus, tokenizer, tmp_path / "second")
    for file in sorted(first.iterdir()):
        assert file.read_bytes() == (second / file.name).read_bytes()
    assert np.load(first / "train-00000.npy").dtype == np.uint16
    assert np.load(first / "train-bytes.npy").tolist() == [len(text.encode()) for text in TEXTS]


def test_another_tokenizer_is_refused(tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path):
    stream = TokenStream(build(write_corpus({"train": TEXTS}), tokenizer, tmp_path / "tokens"), "train")
    stream.check_tokenizer(tokenizer.hash)
    with pytest.raises(InputError, match="made with tokenizer .*not with"):
        stream.check_tokenizer(Tokenizer.train([], vocab_size=257).hash)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def edit_index(folder: Path, **fields: object) -> None:
    file = folder / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


DAMAGE = {
    "a shard is gone": (lambda folder: (folder / "train-00000.npy").unlink(), "train-00000.npy: no such file"),
    "a shard is cut": (lambda folder: truncate(folder / "train-00000.npy"), "train-00000.npy: damaged"),
    "a shard is empty": (lambda folder: (folder / "train-00000.npy").write_bytes(b""), "train-00000.npy: damaged"),
    "a shard is text": (lambda folder: (folder / "train-00000.npy").write_text("ids"), "train-00000.npy: damaged"),
    "a shard holds objects": (
        lambda folder: np.save(folder / "train-00000.npy", np.array([{}], object)),
        "train-00000.npy: damaged",
    ),
    "a shard has another type": (
        lambda folder: np.save(folder / "train-00000.npy", np.zeros(3, np.int64)),
        "train-00000.npy: damaged .*of type uint16 were expected",
    ),
    "offsets are cut": (lambda folder: truncate(folder / "train-offsets.npy"), "train-offsets.npy: damaged"),
    "bytes are gone": (lambda folder: (folder / "train-bytes.npy").unlink(), "train-bytes.npy: no such file"),
    "the index is gone": (lambda folder: (folder / "index.json").unlink(), "index.json: "),
    "the index is cut": (lambda folder: truncate(folder / "index.json"), "index.json: not valid JSON"),
    "the index is newer": (lambda folder: edit_index(folder, format=2), "format 2 is newer than format 1"),
    "the index lost a field": (lambda folder: edit_index(folder, splits={"train": {}}), "index.json: damaged"),
    "the type contradicts the vocabulary": (lambda folder: edit_index(folder, dtype="int64"), "dtype 'int64'"),
    "there is no such split": (lambda folder: edit_index(folder, splits={}), "no split 'train'; there is: none"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_tokens_are_named_in_one_line(
    case: str, tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path
):
    folder = build(write_corpus({"train": TEXTS}), tokenizer, tmp_path / "tokens")
    harm, message = DAMAGE[case]
    harm(folder)
    with pytest.raises(InputError, match=message) as caught:
        TokenStream(folder, "train")
    assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_the_corpus(tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path):
    """Batches reach the tokenizer one at a time, however many there are."""
    rows = []

    class Watching(Tokenizer):
        def encode_batch(self, texts, *, allow_special=False):
            rows.append(len(texts))
            return super().encode_batch(texts, allow_special=allow_special)

    watching = Watching.train(["su"], vocab_size=257)
    build(write_corpus({"train": ["su"] * 5_000}), watching, tmp_path / "tokens")
    assert sum(rows) == 5_000
    assert max(rows) <= 1_024


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data is not here")
def test_the_verdict_makes_18_and_2_sequences(write_corpus: WriteCorpus, tmp_path: Path):
    text = (DATA / "the-verdict.txt").read_text("utf-8")
    tokenizer = Tokenizer.load(DATA / "tokenizers" / "gpt2")
    cut = int(0.9 * len(text))
    corpus = write_corpus({"train": [text[:cut]], "validation": [text[cut:]]})
    folder = build(corpus, tokenizer, tmp_path / "tokens")
    assert (len(text), tokenizer.encode(text).size) == (20_479, 5_145)
    for split, sequences, tokens in (("train", 18, 4_608), ("validation", 2, 512)):
        full = Sequences(TokenStream(folder, split), context_length=256, stride=256)
        assert len(full) == sequences
        ids, targets = full.batch(np.arange(sequences))
        assert ids.size == targets.size == tokens
        assert (targets >= 0).all()
        stream = [50_256, *tokenizer.encode(text[:cut] if split == "train" else text[cut:]), 50_256]
        assert ids.ravel().tolist() == stream[:tokens]
        assert targets.ravel().tolist() == stream[1 : tokens + 1]


def test_a_literal_separator_in_source_code_stays_text(write_corpus: WriteCorpus, tmp_path: Path):
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = [f'{(library / name).read_text("utf-8")}\nEND = "<|endoftext|>"\n' for name in ("bisect.py", "heapq.py")]
    tokenizer = Tokenizer.train(texts, vocab_size=400, split="whitespace")
    stream = TokenStream(build(write_corpus({"train": texts}), tokenizer, tmp_path / "tokens"), "train")
    assert np.count_nonzero(stream[:] == tokenizer.separator_id) == 3
    for row, text in enumerate(texts):
        ids = stream[int(stream.offsets[row]) + 1 : int(stream.offsets[row + 1])]
        assert tokenizer.decode(ids) == text
