"""Readers, against json, gzip, zstandard, pathlib and pyarrow."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tezgah.corpus.json_rows as json_rows
import tezgah.corpus.texts as texts_module
from tezgah.corpus.columns import BEGINS, KeptColumns
from tezgah.corpus.cut import cut_long
from tezgah.corpus.inputs import list_sources
from tezgah.corpus.readers import read_documents
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.stored import StoredFile
from tezgah.corpus.tally import Tally

TEXTS = st.lists(st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text), min_size=1, max_size=20)


def read(**settings: Any) -> tuple[list[dict[str, Any]], Tally]:
    """Rows as read, and the counts."""
    table = CorpusSettings(**settings)
    tally = Tally(table)
    kept = KeptColumns(table)
    batches = list(read_documents(list_sources(table), table, kept, tally, lambda amount: None))
    for batch in batches:
        batch.validate(full=True)
    return [row for batch in batches for row in batch.to_pylist()], tally


def texts(**settings: Any) -> list[str]:
    return [row["text"] for row in read(**settings)[0]]


def zstd(content: bytes) -> Any:
    return pa.compress(content, "zstd", asbytes=True)


def test_a_folder_of_text_gives_every_file_as_it_is(tmp_path):
    contents = {"a.py": "x = 1\r\n", "b.txt": "çöğüşı\n", "c/d.tsv": "1\t2\n", "e": "no suffix"}
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    rows, tally = read(source=str(tmp_path))
    assert {row["path"]: row["text"] for row in rows} == contents
    assert {row["source"] for row in rows} == {str(tmp_path)}
    assert {row["license"] for row in rows} == {None}
    assert tally.texts == 4


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["a.txt", "a.jsonl", "a.json"])
def test_compressed_files_read_like_plain_ones(tmp_path, kind, suffix):
    lines = [f"line {number} ğ\n" for number in range(3000)]
    content = "".join(lines if kind == "a.txt" else (json.dumps({"text": line}) + "\n" for line in lines)).encode()
    half = len(content) // 2
    packed = {
        "": content,
        ".gz": gzip.compress(content[:half]) + gzip.compress(content[half:]),  # two members
        ".zst": zstd(content[:half]) + zstd(content[half:]),  # two frames
    }[suffix]
    (tmp_path / (kind + suffix)).write_bytes(packed)
    for source in (tmp_path, tmp_path / (kind + suffix), f"{tmp_path}/*"):
        assert texts(source=str(source)) == (["".join(lines)] if kind == "a.txt" else lines)


@given(rows=TEXTS, ends=st.sampled_from(["\n", "\r\n", "\n\n", " \n"]), last=st.booleans(), ascii_=st.booleans())
def test_json_lines_read_like_json(tmp_path_factory, rows, ends, last, ascii_):
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    lines = [json.dumps({"n": [1, {}], "text": row, "text2": None}, ensure_ascii=ascii_) for row in rows]
    path.write_bytes((ends.join(lines) + (ends if last else "")).encode())
    assert texts(source=str(path)) == [json.loads(line)["text"] for line in lines]


@given(rows=TEXTS, indent=st.sampled_from([None, 1]), block=st.integers(1, 64))
def test_a_json_array_reads_like_json(tmp_path_factory, rows, indent, block):
    path = tmp_path_factory.mktemp("rows") / "a.json"
    path.write_text(json.dumps([{"text": row, "more": [{"]": "["}]} for row in rows], indent=indent), newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "BLOCK_BYTES", block)
        assert texts(source=str(path)) == [row["text"] for row in json.loads(path.read_bytes())]


@given(
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=30), block=st.integers(1, 300), piece=st.integers(1, 100)
)
def test_rows_are_the_same_however_the_file_is_cut_into_blocks(tmp_path_factory, sizes, block, piece):
    path = tmp_path_factory.mktemp("rows") / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b'{"text": "%s"}\n' % (b"x" * size) for size in sizes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "BLOCK_BYTES", block)
        patch.setattr(StoredFile.read, "__defaults__", (piece,))
        assert [len(text) for text in texts(source=str(path))] == sizes


def test_kept_columns_come_along_and_path_and_license_replace_ours(tmp_path):
    """The columns of a GitHub dump, as its exporter writes them."""
    rows = [
        {"repo_name": "a/b", "path": "x.py", "copies": "3", "size": "6", "content": "x = 1\n", "license": "mit"},
        {"repo_name": "c/d", "path": None, "copies": "1", "size": "9", "content": "y = 22\n", "license": None},
    ]
    path = tmp_path / "dump.json.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    keep = ("content", "repo_name", "path", "copies", "size", "license")
    found, _ = read(source=str(path), text_column="content", keep_columns=keep)
    assert found == [
        {
            "text": "x = 1\n",
            "source": str(path),
            "path": "x.py",
            "license": "mit",
            "repo_name": "a/b",
            "copies": "3",
            BEGINS: True,
        },
        {
            "text": "y = 22\n",
            "source": str(path),
            "path": "dump.json.gz",
            "license": None,
            "repo_name": "c/d",
            "copies": "1",
            BEGINS: True,
        },
    ]


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "i": st.integers(-(2**63), 2**63 - 1) | st.none(),
                "f": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**40), 2**40),
                "b": st.booleans(),
                "s": st.text(),
                "m": st.one_of(st.integers(), st.text(), st.lists(st.integers()), st.booleans()),
            },
        ),
        min_size=1,
        max_size=10,
    )
)
def test_kept_values_come_back_as_they_were(tmp_path_factory, rows):
    """Columns of one kind keep it; mixed ones are text, what was no text as JSON."""
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "t"} | row) + "\n" for row in rows))
    settings = CorpusSettings(source=str(path), keep_columns=("i", "f", "b", "s", "m"))
    kept = KeptColumns(settings)
    batches = read_documents(list_sources(settings), settings, kept, Tally(settings), lambda amount: None)
    table = pa.Table.from_batches(list(batches))
    for name in "ifbs":
        expected = [row.get(name) for row in rows]
        assert table[name].cast(kept.final_type(name)).to_pylist() == expected
    for found, row in zip(table["m"].to_pylist(), rows, strict=True):
        value = row.get("m")
        assert found == value if value is None or isinstance(value, str) else json.loads(found) == value


def test_parquet_reads_like_pyarrow(tmp_path):
    table = pa.table(
        {
            "content": [f"text {number}" for number in range(5000)],
            "stars": pa.array(range(5000), pa.int32()),
            "share": pa.array([number / 7 for number in range(5000)], pa.float32()),
            "tags": [["a", "b"], None] * 2500,
            "when": pa.array([1_600_000_000] * 5000, pa.timestamp("s")),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    settings = CorpusSettings(
        source=str(tmp_path), text_column="content", keep_columns=("stars", "share", "tags", "when")
    )
    kept = KeptColumns(settings)
    batches = read_documents(list_sources(settings), settings, kept, Tally(settings), lambda amount: None)
    found = pa.Table.from_batches(list(batches))
    assert found["text"].to_pylist() == table["content"].to_pylist()
    for name in ("stars", "share"):
        assert found[name].cast(kept.final_type(name)).to_pylist() == table[name].to_pylist()
    assert found["tags"].to_pylist()[:2] == ['["a","b"]', None]
    assert found["when"][0].as_py() == "2020-09-13 12:26:40.000"


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_arrow_type_of_text_is_text(tmp_path, kind):
    pq.write_table(pa.table({"text": pa.array(["a", None, "ç"]).cast(pa.string()).cast(kind)}), tmp_path / "a.parquet")
    rows, tally = read(source=str(tmp_path))
    assert [row["text"] for row in rows] == ["a", "ç"]
    assert tally.dropped["no_text"].texts == 1


def test_parquet_rows_that_are_not_utf8_are_counted(tmp_path):
    texts_ = pa.array([b"good", b"\xff", b"also good"]).view(pa.string())
    pq.write_table(pa.table({"text": texts_, "n": [1, 2, 3]}), tmp_path / "a.parquet")
    rows, tally = read(source=str(tmp_path), keep_columns=("n",))
    assert [(row["text"], row["n"]) for row in rows] == [("good", "1"), ("also good", "3")]
    assert (tally.texts, tally.dropped["not_utf8"].texts) == (3, 1)


def test_what_is_no_text_is_set_aside_and_counted_with_examples(tmp_path):
    for name, content in {
        "a.txt": b"text",
        "b.png": b"\x89PNG\0",
        "c.txt": "türkçe".encode("iso-8859-9"),
        "d.txt": b"x" * 101,
        "e.txt": b" \n",
        "f.txt": b"",
        "g.txt.gz": gzip.compress(b"y" * 101),
    }.items():
        (tmp_path / name).write_bytes(content)
    rows, tally = read(source=str(tmp_path), max_file_bytes=100)
    assert [row["text"] for row in rows] == ["text"]
    examples = {reason: entry.examples for reason, entry in tally.dropped.items()}
    assert examples == {
        "binary": ["b.png"],
        "not_utf8": ["c.txt"],
        "too_large": ["d.txt", "g.txt.gz"],
        "empty": ["e.txt", "f.txt"],
    }
    assert tally.texts == 1 + sum(entry.texts for entry in tally.dropped.values())


def test_a_file_given_by_name_has_no_size_limit(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 101)
    assert texts(source=str(tmp_path / "a.txt"), max_file_bytes=100) == ["x" * 101]


def test_white_space_is_what_python_calls_white_space(tmp_path):
    spaces = [chr(code) for code in range(1, 0x11000) if chr(code).isspace() and chr(code) not in "\x1c\x1d\x1e\x1f"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": each}) + "\n" for each in [*spaces, "x"]))
    assert texts(source=str(tmp_path)) == ["x"]


@given(
    paragraphs=st.lists(st.text("ab ğ€𝄞\n", max_size=12), min_size=5, max_size=60),
    held=st.integers(0, 40),
    limit=st.integers(4, 30),
)
def test_a_text_too_long_to_hold_is_cut_like_one_that_is_held(tmp_path_factory, paragraphs, held, limit):
    path = tmp_path_factory.mktemp("long") / "a.txt"
    path.write_text("\ufeff" + "x" + "\n\n".join(paragraphs), newline="")
    settings = {"source": str(path), "max_document_bytes": limit}
    expected, _ = read(**settings)
    whole = pa.record_batch({"text": [expected[0]["text"]], BEGINS: [True]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts_module, "HELD_BYTES", held)
        found, tally = read(**settings)
    assert tally.texts == 1
    rows = pa.record_batch({"text": [row["text"] for row in found], BEGINS: [row[BEGINS] for row in found]})
    assert cut_long(rows, limit).to_pylist() == cut_long(whole, limit).to_pylist()


def test_a_long_text_is_seen_to_be_no_text_before_any_of_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(texts_module, "HELD_BYTES", 100)
    for name, content in {
        "binary.txt": b"x" * 500 + b"\0",
        "latin.txt": b"x" * 500 + b"\xe7 ",
        "half.txt": b"x" * 500 + "ç".encode()[:1],
        "large.txt.gz": gzip.compress(b"x" * 2000),
    }.items():
        (tmp_path / name).write_bytes(content)
    rows, tally = read(source=str(tmp_path), max_file_bytes=1000)
    assert rows == []
    assert {reason: entry.texts for reason, entry in tally.dropped.items()} == {
        "binary": 1,
        "not_utf8": 2,
        "too_large": 1,
    }


def test_a_json_file_met_in_a_folder_is_rows_only_if_it_looks_like_rows(tmp_path):
    cases = {
        "package.json": (json.dumps({"name": "x"}, indent=2), False),
        "minified.json": (json.dumps({"name": "x"}), False),
        "list.json": (json.dumps([1, 2]), False),
        "objects.json": (json.dumps([{"name": "x"}], indent=2), False),
        "broken.json": ("{,", False),
        "rows.json": ('{"text": "row"}\n{"text": "row"}\n', True),
        "one.json": ('{"text": "row"}', True),
        "array.json": (json.dumps([{"text": "row"}], indent=2), True),
    }
    for name, (content, _) in cases.items():
        (tmp_path / name).write_text(content)
    rows, _ = read(source=str(tmp_path))
    for name, (content, is_rows) in cases.items():
        assert {row["text"] for row in rows if row["path"] == name} == {"row" if is_rows else content}, name


def test_order_is_kept_between_files_of_different_kinds(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "b.jsonl").write_text('{"text": "2"}\n{"text": "3"}\n')
    (tmp_path / "c.txt").write_text("4")
    pq.write_table(pa.table({"text": ["5"]}), tmp_path / "d.parquet")
    (tmp_path / "e.txt").write_text("6")
    assert texts(source=str(tmp_path)) == ["1", "2", "3", "4", "5", "6"]


def test_inputs_are_hashed_while_they_are_read(tmp_path):
    import hashlib

    generator = random.Random(1)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "row"}\n'))
    (tmp_path / "c.bin").write_bytes(b"\0" + generator.randbytes(500_000))
    pq.write_table(pa.table({"text": ["row"]}), tmp_path / "d.parquet")
    _, tally = read(source=str(tmp_path))
    expected = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(tmp_path).iterdir()}
    assert {file.path: sha256 for file, sha256 in tally.hashes.items()} == expected
