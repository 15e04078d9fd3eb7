"""Datasets through the optional package, from local files, with the network shut."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tezgah.corpus.build import build_corpus
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError

datasets = pytest.importorskip("datasets")
TEXTS = [f"document {number}" for number in range(300)]


@pytest.fixture(autouse=True)
def shut_network(monkeypatch, tmp_path):
    def refuse(*args: object, **named: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def build(folder: Path, **settings: Any) -> list[dict[str, Any]]:
    (folder / "out").mkdir()
    build_corpus(CorpusSettings(**settings), folder / "out")
    paths = [folder / f"out/{split}.parquet" for split in ("train", "validation")]
    return sorted(pa.concat_tables(map(pq.read_table, paths)).to_pylist(), key=lambda row: int(row["text"].split()[1]))


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    for split, rows in {"train": TEXTS[:200], "test": TEXTS[200:]}.items():
        lines = (json.dumps({"text": text, "stars": int(text.split()[1])}) for text in rows)
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def test_a_local_folder_gives_its_train_split_or_the_one_named(tmp_path):
    folder = write_folder(tmp_path / "data")
    rows = build(tmp_path, source=f"datasets:{folder}", keep_columns=("stars",))
    assert [row["text"] for row in rows] == TEXTS[:200]
    assert [row["stars"] for row in rows] == list(range(200))
    assert {row["source"] for row in rows} == {f"datasets:{folder}"}
    (tmp_path / "out").rename(tmp_path / "old")
    assert [row["text"] for row in build(tmp_path, source=f"datasets:{folder}::test")] == TEXTS[200:]


def test_a_local_file_and_a_saved_dataset_are_read_too(tmp_path):
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "a.parquet")
    datasets.Dataset.from_dict({"text": TEXTS}).save_to_disk(str(tmp_path / "saved"))
    for name in ("a.parquet", "saved"):
        assert [row["text"] for row in build(tmp_path, source=f"datasets:{tmp_path / name}")] == TEXTS
        (tmp_path / "out").rename(tmp_path / f"out-{name}")


@pytest.mark.parametrize(
    ("rest", "settings", "message"),
    [
        ("::dev", {}, "has no split 'dev'; it has: train, test"),
        ("", {"text_column": "content"}, "has no column 'content'; it has: text, stars"),
        ("-missing", {}, "cannot be read"),
    ],
)
def test_what_is_not_there_is_one_clear_line(tmp_path, rest, settings, message):
    folder = write_folder(tmp_path / "data")
    with pytest.raises(InputError, match=message) as error:
        build(tmp_path, source=f"datasets:{folder}{rest}", **settings)
    assert "\n" not in str(error.value)


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'tezgah\[datasets\]'"):
        build(tmp_path, source="datasets:owner/name")
