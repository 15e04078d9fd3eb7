"""Bad input: one clear line that names the file, the number and the mend; or counted, where the recipe says skip."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tezgah.corpus.json_rows as json_rows
from tezgah.corpus.build import build_corpus
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.stored import StoredFile
from tezgah.errors import InputError
from tezgah.files import atomic_folder

LINES = [json.dumps({"text": f"row {number}", "extra": number}) for number in range(1, 201)]


def build(folder: Path, **settings: Any):
    out = folder / "out"
    out.mkdir()
    return build_corpus(CorpusSettings(**settings), out)


def refused(folder: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as error:
        build(folder, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def texts(folder: Path) -> Any:
    tables = [pq.read_table(path, columns=["text"]) for path in (folder / "out").glob("*.parquet")]
    return pa.concat_tables(tables)["text"].to_pylist()


def test_an_empty_folder(tmp_path):
    (tmp_path / "data").mkdir()
    assert "data: holds no files" in refused(tmp_path, source=str(tmp_path / "data"))


def test_a_folder_of_only_binaries(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "data" / name).write_bytes(b"\x89PNG\0\0")
    assert "no text in it (2 × contains NUL, e.g. a.png)" in refused(tmp_path, source=str(tmp_path / "data"))


def test_a_single_file_that_is_not_utf8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("türkçe".encode("iso-8859-9"))
    assert f"{path}: no text in it (1 × not UTF-8, e.g. a.txt)" in refused(tmp_path, source=str(path))


def test_an_empty_file(tmp_path):
    for name in ("a.txt", "a.jsonl", "a.json"):
        (tmp_path / name).write_bytes(b"")
        assert "no text in it" in refused(tmp_path, source=str(tmp_path / name))
        (tmp_path / "out").rename(tmp_path / f"out-{name}")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_text_whose_compression_breaks_half_way(tmp_path, suffix):
    content = "".join(f"{number * number}\n" for number in range(100_000)).encode()
    packed = gzip.compress(content) if suffix == ".gz" else pa.compress(content, "zstd", asbytes=True)
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(packed[: len(packed) // 2])
    (tmp_path / "b.txt").write_text("whole")
    kind = {".gz": "gzip", ".zst": "zstd"}[suffix]
    message = refused(tmp_path, source=f"{tmp_path}/*.*")
    assert message.startswith(f"{path}: is a broken {kind} file, readable up to byte ")
    assert message.endswith('Restore it, or set corpus.on_error = "skip" to count it and go on.')
    (tmp_path / "out").rename(tmp_path / "old")
    summary = build(tmp_path, source=f"{tmp_path}/*.txt*", on_error="skip", train_ratio=0.5)
    assert summary.dropped["broken_file"].examples == [str(path)]
    assert sorted("".join(texts(tmp_path))) == sorted("whole")


def test_rows_before_a_break_are_kept_where_the_recipe_says_skip(tmp_path):
    lines = [json.dumps({"text": str(number**9)}) for number in range(30_000)]
    packed = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    assert "is a broken gzip file, readable up to byte" in refused(tmp_path, source=str(path))
    (tmp_path / "out").rename(tmp_path / "old")
    summary = build(tmp_path, source=str(path), on_error="skip")
    found = {int(text) for text in texts(tmp_path)}
    assert 10_000 < len(found) < 20_000
    assert found == {number**9 for number in range(len(found))}
    assert summary.texts == len(found) + 1


def test_a_file_that_is_not_what_its_name_says(tmp_path):
    for name, kind in [("a.txt.gz", "gzip"), ("a.jsonl.zst", "zstd"), ("a.parquet", "Parquet")]:
        (tmp_path / name).write_bytes(b"This is plain text, in spite of its name.\n" * 9)
        assert f"{name}: is a broken {kind} file" in refused(tmp_path, source=str(tmp_path / name))
        (tmp_path / "out").rename(tmp_path / f"out-{name}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", "row 117 cannot be used"),
        ('{"text": 5}', "row 117 cannot be used (Expected `str | null`, got `int` - at `$.text`)"),
        ('["text"]', "row 117 cannot be used (Expected `object`, got `array`)"),
        ('{"text": "a"} {"text": "b"}', "row 117 cannot be used"),
        ('{"text": "\\ud800"}', "row 117 cannot be used"),
        ('{"txt": "a", "n": 1}', "row 117 has no column 'text'; it has: txt, n. Set corpus.text_column, or"),
        ("{}", "row 117 has no column 'text'; it has: none"),
        (b'{"text": "\xff"}', "row 117 cannot be used ('utf-8' codec can't decode"),
    ],
)
@pytest.mark.parametrize(("blank", "block"), [(0, 1 << 22), (2, 1 << 22), (2, 1000)])
def test_a_bad_row_is_named_by_its_number_or_counted(tmp_path, monkeypatch, row, message, blank, block):
    """Blank lines count as rows: the number is the one an editor shows."""
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", block)
    monkeypatch.setattr(StoredFile.read, "__defaults__", (999,))
    lines = [b""] * blank + [line.encode() for line in LINES]
    lines[116] = row if isinstance(row, bytes) else row.encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = refused(tmp_path, source=str(path))
    assert found.startswith(f"{path}: {message}")
    assert found.endswith('or set corpus.on_error = "skip" to count it and go on.')
    (tmp_path / "out").rename(tmp_path / "old")
    summary = build(tmp_path, source=str(path), on_error="skip")
    assert sorted(texts(tmp_path)) == sorted(f"row {number}" for number in range(1, 201) if number != 117 - blank)
    assert summary.dropped["bad_row"].texts == 1
    assert summary.dropped["bad_row"].examples == [f"{path}, row 117"]
    assert "bad_row | 1 |" in (tmp_path / "out/card.md").read_text()


def test_the_wrong_text_column_of_json_lines_is_seen_at_the_first_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "a", "repo_name": "b"}\n')
    assert "row 1 has no column 'text'; it has: content, repo_name" in refused(tmp_path, source=str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "a"}, {"text": "b"', "row 2 is broken"),
        ('[{"text": "a"} {"text": "b"}]', "no comma or bracket follows row 1"),
        ('[{"text": "a"}', "no comma or bracket follows row 1"),
        ('[{"text": "a"}, {"n": 1}]', "row 2 has no column 'text'"),
        ('[{"text": "a"}, 7]', "row 2 cannot be used"),
    ],
)
def test_a_broken_array_names_the_row(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    assert message in refused(tmp_path, source=str(tmp_path / "a.json"))


DEEP = "[" * 100_000  # deeper than any reader of JSON goes


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("a.jsonl", f'{{"text": "a", "extra": {DEEP}', "row 2 cannot be used (maximum recursion depth exceeded"),
        ("a.jsonl", f'{{"extra": {DEEP}', "row 2 cannot be used (maximum recursion depth exceeded"),
        ("a.json", DEEP, "row 2 is nested too deeply"),
    ],
)
def test_a_row_that_is_nested_too_deeply_is_named_or_counted(tmp_path, name, bad, message):
    path = tmp_path / name
    path.write_text(f'{{"text": "good"}}\n{bad}\n' if name == "a.jsonl" else f'[{{"text": "good"}}, {bad}')
    assert message in refused(tmp_path, source=str(path))
    (tmp_path / "out").rename(tmp_path / "old")
    summary = build(tmp_path, source=str(path), on_error="skip", keep_columns=("extra",))
    assert sorted(texts(tmp_path)) == ["d", "goo"]  # split by position
    assert sum(entry.texts for entry in summary.dropped.values()) == 1


def test_a_value_that_can_be_read_but_is_too_deep_to_write_is_counted(tmp_path, monkeypatch):
    """Writing recurses a little deeper than reading, so there are such values."""

    def too_deep(value: Any) -> str:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("tezgah.corpus.columns._json", too_deep)
    (tmp_path / "a.jsonl").write_text('{"text": "a", "extra": []}\n')
    (tmp_path / "b.txt").write_text("good")
    settings: dict[str, Any] = {"source": f"{tmp_path}/*.*", "keep_columns": ("extra",)}
    assert "a.jsonl: maximum recursion depth exceeded. Restore it, or" in refused(tmp_path, **settings)
    (tmp_path / "out").rename(tmp_path / "old")
    assert build(tmp_path, on_error="skip", **settings).dropped["broken_file"].texts == 1


def test_a_deeply_nested_json_file_met_in_a_folder_is_text(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_text(DEEP)
    build(tmp_path, source=str(tmp_path / "data"), max_document_bytes=1_000_000)
    assert "".join(texts(tmp_path)) == DEEP


def test_a_table_without_the_text_column_lists_its_columns(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["a"], "stars": [1]}), path)
    assert f"{path}: has no column 'text'; it has: content, stars. Set corpus.text_column" in refused(
        tmp_path, source=str(path)
    )
    (tmp_path / "out").rename(tmp_path / "old")
    assert "'stars' but int64" in refused(tmp_path, source=str(path), text_column="stars")
    (tmp_path / "out").rename(tmp_path / "older")
    (tmp_path / "b.txt").write_text("text to keep")
    summary = build(tmp_path, source=f"{tmp_path}/*.*", on_error="skip")
    assert summary.dropped["no_text_column"].texts == 1


def test_parquet_broken_in_its_middle(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(number**9) for number in range(20_000)]}), path, row_group_size=5000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\xff" * 200
    path.write_bytes(content)
    assert "a.parquet: is a broken Parquet file" in refused(tmp_path, source=str(path))


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("secret")
    path.chmod(0)
    try:
        path.read_bytes()
        pytest.skip("this user may read everything")
    except PermissionError:
        assert "a.txt: cannot be opened (Permission denied)" in refused(tmp_path, source=str(path))


@pytest.mark.parametrize("name", [b"\xff.txt.gz", b"\xff.jsonl.gz", b"\xff.parquet"])
def test_a_broken_file_whose_name_is_not_utf8_is_named_and_counted(tmp_path, name):
    data = tmp_path / "data"
    data.mkdir()
    path = data / os.fsdecode(name)
    try:
        path.write_bytes(b"This is plain text, in spite of its name.")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    (data / "b.txt").write_text("good")
    assert f"{path}: is a broken " in refused(tmp_path, source=str(data))
    (tmp_path / "out").rename(tmp_path / "old")
    summary = build(tmp_path, source=str(data), on_error="skip")
    assert summary.dropped["broken_file"].examples == [str(path)]
    assert f"data/{os.fsdecode(name)}`".replace("\udcff", "\\udcff") in (tmp_path / "out/card.md").read_text()


def test_a_parquet_file_whose_name_is_not_utf8_is_read(tmp_path):
    path = tmp_path / "data" / os.fsdecode(b"\xff.parquet")
    path.parent.mkdir()
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    with open(path, "wb") as file:
        pq.write_table(pa.table({"text": ["good"]}), file)
    build(tmp_path, source=str(path.parent))
    assert sorted(texts(tmp_path)) == ["d", "goo"]


def test_settings_that_cannot_be_met_are_refused_before_reading(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    source = str(tmp_path / "a.txt")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"validation_ratio": 0.6, "test_ratio": 0.4}, "leave nothing to train on"),
        ({"split_key": "repo"}, "'repo' is not a column of the corpus. Add it to corpus.keep_columns"),
        ({"keep_columns": ("part",)}, "'part' is a name of ours"),
        ({"keep_columns": ("text",), "text_column": "content"}, "'text' is a name of ours"),
    ]
    for settings, message in cases:
        with pytest.raises(InputError, match=message.replace(".", r"\.")):
            build_corpus(CorpusSettings(source=source, **settings), tmp_path / "never-made")


def test_a_kept_column_that_no_row_has_is_warned_of(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(LINES))
    build(tmp_path, source=str(path), keep_columns=("extra", "etxra"))
    assert "no row has a value in the column 'etxra'" in capsys.readouterr().err


def test_a_full_disk_is_one_clear_line_and_the_earlier_corpus_stays(tmp_path, monkeypatch):
    """Linux's /dev/full stands for the disk."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "a.txt").write_text("some text to build a corpus of")
    settings = CorpusSettings(source=str(tmp_path / "a.txt"))
    with atomic_folder(tmp_path / "corpus") as folder:
        build_corpus(settings, folder)
    before = {path.name: path.read_bytes() for path in (tmp_path / "corpus").iterdir()}
    for victim in (".documents.arrow", "train.parquet"):
        with pytest.raises(InputError, match="the disk is full"), atomic_folder(tmp_path / "corpus") as folder:
            (folder / victim).symlink_to("/dev/full")
            build_corpus(settings, folder)
        assert {path.name: path.read_bytes() for path in (tmp_path / "corpus").iterdir()} == before
