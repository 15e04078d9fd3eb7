"""Sequences of a stream against those of the same corpus stored, id by id."""

import gzip
import json
import threading
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.corpus.build import build_corpus
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.build import build_tokens
from tezgah.tokens.progress import Mark, State, StreamProgress
from tezgah.tokens.sequences import Sequences
from tezgah.tokens.settings import TokensSettings
from tezgah.tokens.shards import TokenStream
from tezgah.tokens.sources import source_streams
from tezgah.tokens.stream import Piece, read_pieces
from tezgah.tokens.streamed import StreamedSequences

HELD_OUT, TRAINED = "b", "a"  # one text of each split, by their hashes (split.py's own example)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["su su ve çay"], vocab_size=261)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "tezgah-ahead"]


def write_sources(folder: Path, texts: list[list[str]], **fields: Any) -> CorpusSettings:
    """Each list of texts as a file: rows, compressed rows, or its texts as plain files, in turn."""
    folder.mkdir()
    for number, each in enumerate(texts):
        rows = "".join(json.dumps({"text": text}) + "\n" for text in each)
        if number % 3 == 0:
            (folder / f"{number:03}.jsonl").write_text(rows)
        elif number % 3 == 1:
            (folder / f"{number:03}.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
        else:
            for place, text in enumerate(each):
                (folder / f"{number:03}-{place:03}.txt").write_bytes(text.encode())
    return CorpusSettings(source=str(folder), split="hash", validation_ratio=0.5, **fields)


def store(corpus: CorpusSettings, tokenizer: Tokenizer, folder: Path) -> TokenStream:
    for name in ("corpus", "tokens"):
        (folder / name).mkdir()
    build_corpus(corpus, folder / "corpus")
    build_tokens(folder / "corpus", tokenizer, TokensSettings(), folder / "tokens")
    return TokenStream(folder / "tokens", "train")


class Home:
    """A corpus of 400 short texts, stored and as a stream."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, context_length: int = 16) -> None:
        texts = [f"su {number} ve çay {number * number % 31}" for number in range(400)]
        self.corpus = write_sources(folder / "sources", [texts[:150], texts[150:300], texts[300:]])
        self.stored = Sequences(store(self.corpus, tokenizer, folder), context_length)
        self.tokenizer, self.folder = tokenizer, folder
        self.passed_over: list[int] = []

    def read(self, passed_over: int) -> Generator[Piece, None, None]:
        self.passed_over.append(passed_over)
        return read_pieces(self.corpus, self.tokenizer, passed_over)

    def progress(self, spacing: int = 60) -> StreamProgress:
        progress = StreamProgress(self.folder / "stream.json", "a training")
        progress.state = msgspec.structs.replace(progress.state, spacing=spacing)
        return progress

    def streamed(self, progress: StreamProgress | None = None, buffer_tokens: int = 150) -> StreamedSequences:
        return StreamedSequences(self.read, progress or StreamProgress(), self.stored, buffer_tokens)


@pytest.fixture
def home(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr("tezgah.tokens.stream.SLICE_BYTES", 64)
    return Home(tmp_path, tokenizer)


TEXTS = st.lists(
    st.lists(
        st.one_of(
            st.sampled_from(["", " \n", "su su", "su\n\nsu " * 40, "ve çay " * 30, "\0", HELD_OUT]),
            st.text("su veç\n", max_size=40),
        ),
        max_size=12,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40)
@given(
    texts=TEXTS,
    context_length=st.integers(1, 20),
    stride=st.integers(0, 25),
    buffer_tokens=st.integers(1, 200),
    slice_bytes=st.integers(1, 300),
    limit=st.integers(4, 200),
)
def test_in_source_order_they_are_the_stored_ones(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: Tokenizer,
    texts: list[list[str]],
    context_length: int,
    stride: int,
    buffer_tokens: int,
    slice_bytes: int,
    limit: int,
):
    folder = tmp_path_factory.mktemp("streamed")
    texts = [[TRAINED, HELD_OUT], *texts]
    corpus = write_sources(folder / "sources", texts, max_document_bytes=limit)
    stream = store(corpus, tokenizer, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tezgah.tokens.stream.SLICE_BYTES", slice_bytes)
        ids = np.concatenate([piece.ids for piece in read_pieces(corpus, tokenizer)])
        assert ids.tolist() == stream[:].tolist()
        try:
            stored = Sequences(stream, context_length, stride)
        except InputError:
            return
        found = StreamedSequences(
            lambda first: read_pieces(corpus, tokenizer, first), StreamProgress(), stored, buffer_tokens
        )
        for _ in range(2):  # two epochs
            for expected, array in zip(
                stored.batch(np.arange(len(stored))), found.take(None, 0, len(stored)), strict=True
            ):
                np.testing.assert_array_equal(array, expected)
        again = found.take(None, len(stored), len(stored))
        np.testing.assert_array_equal(again[0], stored.batch(np.arange(len(stored)))[0])
        assert found.in_epoch == len(stored)
        found.close()


def rows(batch: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, ...]]:
    return [tuple(row) for row in batch[0].tolist()]


def test_a_shuffled_epoch_has_every_sequence_once_and_another_order_each_time(home: Home):
    count, streamed = len(home.stored), home.streamed()
    assert count > 120
    stored = rows(home.stored.batch(np.arange(count)))
    epochs = [rows(streamed.take(1, epoch * count, count)) for epoch in range(3)]
    for epoch in epochs:
        assert epoch != stored
        assert sorted(epoch) == sorted(stored)
    assert epochs[0] != epochs[1] != epochs[2]
    size = 150 // 16
    assert sorted(epochs[0][:size]) == sorted(stored[:size])  # within a buffer
    assert rows(streamed.take(2, 0, count)) != epochs[0]  # another seed
    streamed.close()


def test_the_order_is_a_function_of_the_numbers_alone(home: Home):
    count = len(home.stored)
    whole, parts = home.streamed(), home.streamed()
    expected = rows(whole.take(1, 0, 2 * count + 5))
    found = [
        row for first in range(0, 2 * count + 5, 5) for row in rows(parts.take(1, first, min(5, 2 * count + 5 - first)))
    ]
    assert found == expected
    shares = [home.streamed() for _ in range(2)]  # two processes, three sequences of each step's six
    steps = [rows(share.take(1, 6 * step + 3 * rank, 3)) for step in range(12) for rank, share in enumerate(shares)]
    assert [row for step in steps for row in step] == expected[:72]
    for each in (whole, parts, *shares):
        each.close()


def test_going_back_begins_anew(home: Home):
    streamed = home.streamed()
    first = streamed.take(1, 0, 4)
    later = rows(streamed.take(1, 60, 4))
    assert home.passed_over == [0]
    assert rows(streamed.take(1, 0, 4)) == rows(first)
    assert home.passed_over == [0, 0]
    assert rows(streamed.take(1, 60, 4)) == later
    streamed.close()


@pytest.mark.parametrize("first", [1, 60, 119, 200, 500])
def test_going_on_passes_over_documents_by_the_marks(home: Home, first: int):
    whole = home.streamed(progress := home.progress())
    expected = rows(whole.take(1, first, 10))
    whole.close()
    marks = progress.state.marks
    assert len(marks) >= 3
    home.passed_over.clear()
    resumed = home.streamed(home.progress())
    assert rows(resumed.take(1, first, 10)) == expected
    resumed.close()
    place = first % len(home.stored) if resumed.in_epoch else first
    assert home.passed_over[0] == max(
        (mark.documents for mark in marks if mark.tokens <= place // 9 * 9 * 16), default=0
    )


def test_a_place_beyond_the_first_epoch_is_found_without_marks_too(home: Home):
    count = len(home.stored)
    expected = rows(home.stored.batch(np.arange(count)))
    streamed = home.streamed()
    assert rows(streamed.take(None, 2 * count + 7, 3)) == expected[7:10]  # how long an epoch is it did not know
    streamed.close()


def test_what_is_measured_is_what_the_stored_split_says(home: Home):
    streamed = home.streamed(progress := home.progress())
    streamed.take(1, len(home.stored), 1)
    streamed.close()
    entry, found = home.stored.stream.index.splits["train"], progress.state
    assert found.reached == Mark(entry.documents, entry.text_tokens + entry.documents, entry.bytes, entry.characters)
    assert found.characters_per_token == entry.characters / found.reached.tokens
    assert found.bytes_per_token == entry.bytes / found.reached.tokens
    assert found.sequences == len(home.stored)
    assert StreamProgress(home.folder / "stream.json", "a training").state == found
    assert StreamProgress(home.folder / "stream.json", "another").state == State(fingerprint="another")


def test_epochs_go_by_the_files_first_and_by_the_sequences_then(home: Home):
    count, streamed = len(home.stored), home.streamed()
    assert streamed.epochs(0) == 0.0
    shares = []
    for first in range(0, count, 5):
        streamed.take(1, first, min(5, count - first))
        shares.append(streamed.epochs(first))
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1.0
    streamed.take(1, count + 5, 5)
    assert streamed.epochs(count + 10) == (count + 10) / count
    streamed.close()


def test_only_the_first_process_writes(home: Home):
    streamed = home.streamed(StreamProgress(home.folder / "stream.json", "a training", is_writer=False))
    streamed.take(1, 0, 4)
    streamed.close()
    assert not (home.folder / "stream.json").exists()


def test_marks_are_thinned_and_stay_marks():
    progress = StreamProgress()
    progress.state = State(spacing=10)
    every = [Mark(number, 7 * number, 20 * number, 19 * number) for number in range(1, 5_000)]
    for mark in every:
        progress.reach(mark)
    marks = progress.state.marks
    assert 100 < len(marks) <= 256
    assert set(marks) <= set(every)
    assert progress.before(0) == Mark()
    assert progress.before(20_000).tokens <= 20_000 < progress.before(20_000).tokens + 2 * progress.state.spacing
    progress.reach(every[3])  # a second epoch
    assert progress.state.reached == every[-1]


def test_sources_that_change_while_they_are_trained_on_are_noticed(home: Home):
    streamed = home.streamed()
    streamed.take(1, 0, 4)
    streamed.take(1, len(home.stored) - 1, 1)
    (home.folder / "sources" / "000.jsonl").write_text("")
    with pytest.raises(InputError, match="files have changed while they were trained on"):
        streamed.take(1, 4 * len(home.stored) - 1, 1)
    streamed.close()


def test_what_is_wrong_with_a_source_is_one_line_where_sequences_are_asked_for(home: Home):
    with (home.folder / "sources" / "000.jsonl").open("a") as file:
        file.write("{\n")
    streamed = home.streamed()
    with pytest.raises(InputError, match=r"000\.jsonl: row 151 cannot be used"):
        streamed.take(1, 0, 100)
    streamed.close()


def test_one_of_several_sources_is_read_as_it_stands_in_the_stored_corpus(tmp_path: Path, tokenizer: Tokenizer):
    names = []
    for number, word in enumerate(("su", "çay", "ve")):
        folder = tmp_path / f"{number}"
        write_sources(folder, [[f"{word} {each} {each % 7}" for each in range(40)] for _ in range(number + 1)])
        names.append(str(folder))
    corpus = CorpusSettings(source=tuple(names), split="hash", validation_ratio=0.5)
    streams = source_streams(store(corpus, tokenizer, tmp_path))
    assert list(streams) == names
    for name, stream in streams.items():
        pieces = list(read_pieces(corpus, tokenizer, only=name))
        assert np.concatenate([piece.ids for piece in pieces]).tolist() == stream[:].tolist()
        held = Sequences(stream, 16)
        streamed = StreamedSequences(partial(read_pieces, corpus, tokenizer, only=name), StreamProgress(), held, 150)
        ids, targets = streamed.take(None, 0, len(held))
        streamed.close()
        expected = held.batch(np.arange(len(held)))
        assert np.array_equal(ids, expected[0])
        assert np.array_equal(targets, expected[1])


def test_a_stream_without_a_sequence_is_refused(home: Home, tokenizer: Tokenizer):
    corpus = msgspec.structs.replace(home.corpus, include=("002-*",), validation_ratio=0.999)
    streamed = StreamedSequences(lambda first: read_pieces(corpus, tokenizer, first), StreamProgress(), home.stored)
    with pytest.raises(InputError, match="training tokens make no sequence of context_length 16"):
        streamed.take(1, 0, 1)
    streamed.close()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1, "marks": [3]}', '{"format": 2}'])
def test_a_damaged_file_of_marks_is_one_line(tmp_path: Path, text: str):
    path = tmp_path / "stream.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"stream\.json"):
        StreamProgress(path, "a training")
