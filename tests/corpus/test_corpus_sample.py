"""The sample of a corpus that is read as a stream, and the training split that goes with it."""

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tezgah.corpus.build import build_corpus
from tezgah.corpus.reading import read_index
from tezgah.corpus.sample import build_sample
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.stream import training_texts
from tezgah.corpus.tally import Tally
from tezgah.errors import InputError


def write_files(folder: Path, files: int, rows: int) -> CorpusSettings:
    """Files of rows, 100 bytes of text each, all different."""
    folder.mkdir()
    for file in range(files):
        lines = [json.dumps({"text": f"file {file:04} row {row:04} ".ljust(100, ".")}) for row in range(rows)]
        (folder / f"{file:04}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return CorpusSettings(source=str(folder))


def sample(settings: CorpusSettings, folder: Path, size_bytes: int) -> Any:
    folder.mkdir()
    return build_sample(settings, folder, size_bytes)


def texts(folder: Path, split: str) -> Any:
    return pq.read_table(folder / f"{split}.parquet")["text"].to_pylist()


def trained(settings: CorpusSettings) -> list[str]:
    return [
        text for batch in training_texts(settings, Tally(settings), lambda size: None) for text in batch.to_pylist()
    ]


def test_a_sample_is_bounded_and_lies_evenly_over_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tezgah.corpus.sample.LEAST_BYTES", 1_000)
    settings = write_files(tmp_path / "texts", files=100, rows=50)
    summary = sample(settings, tmp_path / "corpus", 20_000)
    every = texts(tmp_path / "corpus", "sample") + texts(tmp_path / "corpus", "validation")
    assert len(every) == 200  # 20,000 bytes
    files = sorted({int(text[5:9]) for text in every})
    assert len(files) == 20  # ten rows of each
    assert max(later - file for file, later in pairwise(files)) <= 10  # twice the mean
    assert not list((tmp_path / "corpus").glob("train*"))
    assert summary.splits["sample"].documents + summary.splits["validation"].documents == summary.texts == 200
    assert read_index(tmp_path / "corpus") == summary
    assert "read as a stream" in (tmp_path / "corpus" / "card.md").read_text()


def test_what_is_held_out_is_held_out_of_the_stream_too(tmp_path: Path):
    settings = write_files(tmp_path / "texts", files=3, rows=100)
    (tmp_path / "stored").mkdir()
    build_corpus(settings, tmp_path / "stored")
    sample(settings, tmp_path / "corpus", 5_000)
    held_out = set(texts(tmp_path / "corpus", "validation"))
    assert held_out
    assert held_out < set(texts(tmp_path / "stored", "validation"))
    assert trained(settings) == texts(tmp_path / "stored", "train")


def test_the_same_sources_give_the_same_bytes(tmp_path: Path):
    settings = write_files(tmp_path / "texts", files=5, rows=60)
    for name in ("first", "second"):
        sample(settings, tmp_path / name, 10_000)
    for file in sorted((tmp_path / "first").iterdir()):
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def test_a_small_corpus_is_its_own_sample(tmp_path: Path):
    settings = write_files(tmp_path / "texts", files=2, rows=60)
    summary = sample(settings, tmp_path / "corpus", 1 << 20)
    assert sorted(texts(tmp_path / "corpus", "sample")) == sorted(trained(settings))
    assert all(record[3] for record in summary.inputs)  # read to their ends, so hashed


def test_texts_are_counted_and_duplicates_dropped(tmp_path: Path):
    rows = [f"text {number % 70}" for number in range(100)] + [" "] * 3
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    settings = CorpusSettings(source=str(path))
    summary = sample(settings, tmp_path / "corpus", 1 << 20)
    assert {reason: entry.texts for reason, entry in summary.dropped.items()} == {"duplicate": 30, "empty": 3}
    assert summary.texts == 103
    assert sum(each.documents for each in summary.splits.values()) == 70


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (0, {}, "no text in it"),
        (2, {"validation_ratio": 0.0}, "no document of the sample falls into validation"),
        (2, {"validation_ratio": 0.6, "test_ratio": 0.4}, "leave nothing to train on"),
        (2, {"keep_columns": ("part",)}, "'part' is a name of ours"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(tmp_path: Path, rows: int, fields: dict[str, Any], message: str):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {row}"}) + "\n" for row in range(rows)))
    with pytest.raises(InputError, match=message):
        sample(CorpusSettings(source=str(path), **fields), tmp_path / "corpus", 1_000)


def test_a_long_text_file_is_streamed_in_the_parts_it_is_stored_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tezgah.corpus.texts.HELD_BYTES", 1_000)
    (tmp_path / "texts").mkdir()
    for name in "abc":
        lines = (f"{name} line {line}\n" + "\n" * (line % 7 == 0) for line in range(400_000 if name == "b" else 40))
        (tmp_path / "texts" / f"{name}.txt").write_text("".join(lines))
    settings = CorpusSettings(source=str(tmp_path / "texts"), split="hash", max_document_bytes=60_000)
    (tmp_path / "stored").mkdir()
    build_corpus(settings, tmp_path / "stored")
    found = trained(settings)
    assert len(found) > 50
    assert found == texts(tmp_path / "stored", "train")
