"""Labelled texts are read from every kind of file alike, bad ones are refused in one line, and a tenth is held out."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.finetuning.data import Examples, check_examples, check_known, read_examples, targets_of
from tezgah.finetuning.settings import FinetuneSettings
from tezgah.finetuning.split import fold_of_rows, held_out_rows

ROWS = [
    {"text": 'dedi ki "git",\tve gitti', "second": "a\nb", "label": "haber"},
    {"text": "top ağlarda", "second": "", "label": "spor"},
    {"text": "maç bitti", "second": "c", "label": "spor"},
    {"text": "seçim, bugün", "second": "d", "label": "haber"},
]
KINDS = ("csv", "tsv", "csv.gz", "tsv.gz", "jsonl", "jsonl.gz", "ndjson", "parquet")


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as a file of the kind that its name says, by libraries that we do not read with where there are any."""
    name = path.name.removesuffix(".gz")
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if name.endswith(("jsonl", "ndjson")):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        lines = io.StringIO(newline="")
        table = csv.DictWriter(lines, list(rows[0]), delimiter="\t" if name.endswith("tsv") else ",")
        table.writeheader()
        table.writerows(rows)
        content = lines.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_holds_the_same(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"data.{kind}", ROWS)
    found = read_examples(path, FinetuneSettings(text_pair="second"))
    assert found.texts == [row["text"] for row in ROWS]
    assert found.pairs == [row["second"] for row in ROWS]
    assert found.labels == [[row["label"]] for row in ROWS]
    assert not found.is_multi
    assert found.counts() == {"haber": 2, "spor": 2}
    assert targets_of(found, ["haber", "spor"]).tolist() == [0, 1, 1, 0]
    assert read_examples(path, FinetuneSettings()).pairs is None


def test_labels_may_be_several_in_a_list_or_between_separators(tmp_path: Path) -> None:
    listed = [{"text": "x", "label": ["b", "a"]}, {"text": "y", "label": []}, {"text": "z", "label": ["a", "a"]}]
    found = read_examples(written(tmp_path / "a.jsonl", listed), FinetuneSettings())
    assert found.is_multi and found.labels == [["b", "a"], [], ["a"]]
    assert targets_of(found, ["a", "b"]).tolist() == [[1, 1], [0, 0], [1, 0]]
    joined = [{"text": each["text"], "label": "|".join(each["label"])} for each in listed]
    again = read_examples(written(tmp_path / "a.csv", joined), FinetuneSettings(label_separator="|"))
    assert again.is_multi and again.labels == found.labels


def test_numbers_and_truths_are_labels_in_their_order(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": 10}, {"text": "y", "label": 9}, {"text": "z", "label": 9.0}]
    assert read_examples(written(tmp_path / "a.jsonl", rows), FinetuneSettings()).counts() == {"9": 2, "10": 1}
    truths = [{"text": "x", "label": True}, {"text": "y", "label": False}]
    assert read_examples(written(tmp_path / "b.jsonl", truths), FinetuneSettings()).counts() == {"false": 1, "true": 1}


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"text": "a", "labels": "x"}], {}, r"has no column 'label'; it has: text, labels\. Did you mean labels\?"),
        ([{"text": "a", "label": "x"}] * 3, {}, r"every row has the label 'x', so there is nothing to learn"),
        ([{"text": "a", "label": each} for each in "xxy"], {}, r"one class has a single example \('y'\)"),
        ([{"text": "a", "label": each} for each in "xxyz"], {}, r"2 classes have a single example \('y', 'z'\)"),
        ([{"text": "a", "label": "x"}, {"text": " ", "label": "y"}], {}, r"1 of 2 texts in column 'text' are empty"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": ""}], {}, r"row 2, column 'label': has no label"),
        ([{"text": "a", "label": "x"}], {"text_pair": "other"}, r"has no column 'other'"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_bad_data_is_told_in_one_line(
    rows: list[dict[str, Any]], settings: dict[str, Any], message: str, kind: str, tmp_path: Path
) -> None:
    path = written(tmp_path / f"data.{kind}", rows)
    told = FinetuneSettings(**settings)
    with pytest.raises(InputError, match=message) as raised:
        check_examples(read_examples(path, told), told.label)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"x", r"is none of \.tsv, \.csv"),
        ("a.jsonl", b'{"text": "a", "label": "x"}\n{"text"', r"line 2 is no JSON object"),
        ("a.csv", b"text,label\na,b,c\n", r"cannot be read \(.*Expected 2 columns, got 3"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv.gz", gzip.compress(b"text,label\n" * 999, mtime=0)[:-9], "broken gzip"),
        ("a.parquet", b"PAR1", r"cannot be read"),
        ("a.jsonl", b'{"text": 5, "label": "x"}\n', "are empty or no text"),
        ("a.jsonl", b'{"text": "a", "label": {"x": 1}}\n', r"is no label"),
        ("a.jsonl", b'{"text": "a", "label": null}\n', r"row 1, column 'label': has no label"),
    ],
)
def test_damaged_files_are_told_in_one_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_examples(tmp_path / name, FinetuneSettings())
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_an_unknown_label_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be opened \(No such file"):
        read_examples(tmp_path / "none.csv", FinetuneSettings())
    examples = read_examples(written(tmp_path / "a.csv", ROWS), FinetuneSettings())
    check_known(examples, ["haber", "spor"], "label")
    with pytest.raises(InputError, match="has the label 'spor', which no training text has"):
        check_known(examples, ["haber"], "label")


def examples_of(rows: list[tuple[str, str]]) -> Examples:
    texts, labels = [text for text, _ in rows], [[label] for _, label in rows]
    pairs = pa.nulls(len(rows), pa.string())
    columns = {"text": pa.array(texts), "text_pair": pairs, "labels": pa.array(labels)}
    return Examples("examples", pa.table(columns), is_multi=False)


ROW = st.tuples(st.text("abcd", min_size=1, max_size=3), st.sampled_from("xyz"))


@given(st.lists(ROW, min_size=2, max_size=60), st.randoms(use_true_random=False))
def test_the_same_texts_are_held_out_whatever_the_order(rows: list[tuple[str, str]], random: Any) -> None:
    def chosen(given: list[tuple[str, str]]) -> set[str]:
        return {given[row][0] for row in held_out_rows(examples_of(given))}

    held = chosen(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert chosen(shuffled) == held
    kept = {text for text, _ in rows} - held
    assert kept or not rows  # equal texts are on one side, and some are left
    assert held_out_rows(examples_of(rows)).tolist() == [row for row, (text, _) in enumerate(rows) if text in held]


@given(st.lists(ROW, min_size=4, max_size=60, unique_by=lambda row: row[0]), st.integers(2, 4))
def test_folds_are_even_in_all_and_in_every_class(rows: list[tuple[str, str]], folds: int) -> None:
    found = fold_of_rows(examples_of(rows), folds)
    sizes = np.bincount(found, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in {label for _, label in rows}:
        of_class = np.bincount(found[[each == label for _, each in rows]], minlength=folds)
        assert of_class.max() - of_class.min() <= 1


def test_a_tenth_of_every_class_is_held_out() -> None:
    rows = [(f"text {number}", "xy"[number % 10 == 0]) for number in range(200)]
    held = held_out_rows(examples_of(rows))
    labels = [rows[row][1] for row in held]
    assert (labels.count("x"), labels.count("y")) == (18, 2)
    small = held_out_rows(examples_of([("a", "x"), ("b", "x"), ("c", "y"), ("c", "y")]))
    assert len(small) == 1 and small[0] < 2  # of a class of one distinct text nothing can be
    with pytest.raises(InputError, match="choose from 2 to 3"):
        fold_of_rows(examples_of([("a", "x"), ("b", "x"), ("c", "y")]), 4)
