"""Documents written to be filled in: what they hold, how many they are, and that nothing but seed and text decides."""

import gzip
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tezgah.corpus.build import build_corpus
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError
from tezgah.tokenizer.artefact import Artefact, special_token
from tezgah.tokenizer.infill import InfillTokens, infill_tokens
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.build import build_tokens
from tezgah.tokens.infill import training_encoder
from tezgah.tokens.settings import TokensSettings
from tezgah.tokens.shards import TokenStream
from tezgah.tokens.stream import read_pieces

WriteCorpus = Callable[[dict[str, list[str]]], Path]
TEXTS = [f"su {number} ve 🙂 çay {number * number % 31}" for number in range(400)]
RATED = TokensSettings(fim_rate=0.5)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["su su ve çay " * 9, "<|fim_prefix|>" * 9], vocab_size=268, split="whitespace", infill=True)


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer) -> InfillTokens:
    found = infill_tokens(tokenizer)
    assert found is not None
    return found


def parts_of(tokenizer: Tokenizer, tokens: InfillTokens, ids: list[int]) -> tuple[str, tuple[bytes, bytes, bytes]]:
    """How a document was written, and its prefix, middle and suffix; of SPM prefix and middle are one, the prefix."""
    places = [ids.index(each) if each in ids else -1 for each in tokens]
    assert [ids.count(each) for each in tokens] == [int(place >= 0) for place in places]
    prefix, suffix, middle = places
    if prefix < 0:
        assert places == [-1, -1, -1]
        return "plain", (tokenizer.decode_bytes(ids), b"", b"")
    assert prefix == 0 < suffix < middle
    before, behind, last = ids[1:suffix], ids[suffix + 1 : middle], ids[middle + 1 :]
    assert suffix > 1 or not before
    found = [tokenizer.decode_bytes(each) for each in (before, last, behind)]
    return "cut", (found[0], found[1], found[2])


def documents(ids: np.ndarray, starts: np.ndarray) -> list[list[int]]:
    return [ids[start:end].tolist() for start, end in pairwise(starts)]


@settings(max_examples=60)
@given(
    texts=st.lists(st.one_of(st.text(), st.text("su 🙂ç\n"), st.just("<|fim_middle|> <|endoftext|>")), max_size=6),
    rate=st.sampled_from([0.3, 1.0]),
    seed=st.integers(0, 1 << 40),
    skipped=st.integers(0, 2),
)
@example(texts=[], rate=1.0, seed=1, skipped=0)
def test_a_document_comes_back_from_its_ids(
    tokenizer: Tokenizer, tokens: InfillTokens, texts: list[str], rate: float, seed: int, skipped: int
) -> None:
    array = pa.array(texts, pa.string()).slice(min(skipped, len(texts)))
    found = documents(*training_encoder(tokenizer, rate, seed)(array))
    assert len(found) == len(array)
    for text, ids in zip(array.to_pylist(), found, strict=True):
        how, (prefix, middle, suffix) = parts_of(tokenizer, tokens, ids)
        assert prefix + middle + suffix == text.encode()
        for part in (prefix, middle, suffix):
            part.decode()  # raises where a character was cut
        if how == "plain":
            assert ids == tokenizer.encode(text).tolist()
        assert how == "cut" or rate < 1


def test_each_part_is_encoded_by_itself(tokenizer: Tokenizer, tokens: InfillTokens) -> None:
    """PSM's and SPM's forms as the paper writes them, of any cuts there can be."""
    text = "su s"

    def encoded(*texts: str) -> list[int]:
        return [each for text in texts for each in tokenizer.encode(text).tolist()]

    forms = set()
    for first in range(5):
        for second in range(first, 5):
            prefix, middle, suffix = text[:first], text[first:second], text[second:]
            psm = [tokens.prefix, *encoded(prefix), tokens.suffix, *encoded(suffix), tokens.middle, *encoded(middle)]
            spm = [tokens.prefix, tokens.suffix, *encoded(suffix), tokens.middle, *encoded(prefix, middle)]
            forms |= {tuple(psm), tuple(spm)}
    found = set()
    for seed in range(600):
        ids, _ = training_encoder(tokenizer, 1.0, seed)(pa.array([text]))
        found.add(tuple(ids.tolist()))
    assert found == forms


def test_shares_are_those_asked_for(tokenizer: Tokenizer, tokens: InfillTokens) -> None:
    """Of documents, of orders, and of cuts, within 3 standard errors."""
    count, rate = 20_000, 0.3
    texts = pa.array([f"{number:05}" for number in range(count)])
    found = [parts_of(tokenizer, tokens, ids) for ids in documents(*training_encoder(tokenizer, rate, 7)(texts))]
    cut = [parts for how, parts in found if how == "cut"]

    def near(share: Any, expected: float, of: int) -> bool:
        return bool(abs(share - expected) < 3 * (expected * (1 - expected) / of) ** 0.5)

    assert near(len(cut) / count, rate, count)
    # One of the 6 bounds for each cut: all is suffix once in 36, and once more as often what is no middle in PSM.
    assert near(np.mean([len(suffix) == 5 for _, _, suffix in cut]), 1 / 36, len(cut))
    assert near(np.mean([len(suffix) == 0 for _, _, suffix in cut]), 11 / 36, len(cut))
    # Where the prefix is no part of its own it is SPM, or one of the 11 in 36 PSM without one.
    assert near(np.mean([not prefix for prefix, _, _ in cut]), 1 / 2 + 11 / 72, len(cut))


def build(corpus: Path, tokenizer: Tokenizer, folder: Path, seed: int = 1) -> Path:
    folder.mkdir()
    build_tokens(corpus, tokenizer, RATED, folder, seed)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_held_out_text_stays_as_it_is(
    tokenizer: Tokenizer, tokens: InfillTokens, write_corpus: WriteCorpus, tmp_path: Path
) -> None:
    corpus = write_corpus({"train": TEXTS, "validation": TEXTS, "test": TEXTS[:3]})
    folder = build(corpus, tokenizer, tmp_path / "tokens")
    plain = [each for text in TEXTS for each in (0, *tokenizer.encode(text).tolist())] + [0]
    assert TokenStream(folder, "validation")[:].tolist() == plain
    stream = TokenStream(folder, "train")
    for row, text in enumerate(TEXTS):
        ids = stream[int(stream.offsets[row]) + 1 : int(stream.offsets[row + 1])].tolist()
        assert b"".join(parts_of(tokenizer, tokens, ids)[1]) == text.encode()
    assert np.isin(stream[:], tokens).any()
    assert not np.isin(TokenStream(folder, "test")[:], tokens).any()


def test_shards_hang_on_the_seed_and_not_on_threads_or_batches(
    tokenizer: Tokenizer, write_corpus: WriteCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus({"train": TEXTS})
    expected = files(build(corpus, tokenizer, tmp_path / "expected"))
    for threads, rows, chunk_bytes in ((1, 1024, 1 << 19), (2, 1024, 1), (2, 7, 100)):
        monkeypatch.setattr("tezgah.tokenizer.tokenizer.available_cores", lambda threads=threads: threads)
        monkeypatch.setattr("tezgah.corpus.reading.BATCH_ROWS", rows)
        monkeypatch.setattr("tezgah.tokenizer.texts.CHUNK_BYTES", chunk_bytes)
        again = Tokenizer(Artefact(tokenizer.json, tokenizer.separator))
        assert files(build(corpus, again, tmp_path / f"{threads}-{rows}-{chunk_bytes}")) == expected
    assert files(build(corpus, tokenizer, tmp_path / "other", seed=2)) != expected


def test_a_stream_is_what_is_stored(tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any document on, and of each source by itself."""
    names = []
    for number, word in enumerate(("su", "çay")):
        (tmp_path / word).mkdir()
        rows = "".join(json.dumps({"text": f"{word} {row} {text}"}) + "\n" for row, text in enumerate(TEXTS[:90]))
        (tmp_path / word / f"{number}.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
        names.append(str(tmp_path / word))
    corpus = CorpusSettings(source=tuple(names), split="hash", validation_ratio=0.3)
    (tmp_path / "corpus").mkdir()
    build_corpus(corpus, tmp_path / "corpus")
    stream = TokenStream(build(tmp_path / "corpus", tokenizer, tmp_path / "tokens"), "train")
    monkeypatch.setattr("tezgah.tokens.stream.SLICE_BYTES", 100)
    encode = training_encoder(tokenizer, 0.5, 1)

    def read(first: int = 0, only: str | None = None) -> list[int]:
        pieces = read_pieces(corpus, tokenizer, first, only, encode)
        return [each for piece in pieces for each in piece.ids.tolist()]

    assert read() == stream[:].tolist()
    assert read(50) == stream[int(stream.offsets[50]) :].tolist()
    assert read(only=names[0])[:-1] + read(only=names[1]) == stream[:].tolist()


def test_without_a_rate_nothing_changes(tokenizer: Tokenizer) -> None:
    assert training_encoder(tokenizer, 0.0, 1) == tokenizer.encode_batch


def test_a_tokenizer_without_the_tokens_is_refused() -> None:
    plain = Tokenizer.train(["su"], vocab_size=257)
    with pytest.raises(InputError, match=r"has no <\|fim_prefix\|>, .*which \[tokens\] fim_rate needs") as caught:
        training_encoder(plain, 0.5, 1)
    assert "\n" not in str(caught.value)


def test_a_text_that_a_foreign_tokenizer_turns_into_such_a_token_is_refused(tokenizer: Tokenizer) -> None:
    """Some publish them as tokens that are found in any text."""
    file = json.loads(Tokenizer.train(["su"], vocab_size=257).json)
    names = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    file["added_tokens"] += [special_token(257 + place, name) | {"special": False} for place, name in enumerate(names)]
    foreign = Tokenizer(Artefact(json.dumps(file), "<|endoftext|>"))
    encode = training_encoder(foreign, 1.0, 1)
    assert len(encode(pa.array(["su"]))[0]) == 5
    with pytest.raises(InputError, match="a text spells a token of filling in the middle"):
        encode(pa.array([f"su <fim_middle> {number}" for number in range(30)]))
