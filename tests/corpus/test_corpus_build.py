"""A corpus from files to Parquet, read back with pyarrow and judged against the files themselves."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tezgah.corpus.texts as texts_module
from tezgah.corpus.build import build_corpus
from tezgah.corpus.inputs import list_inputs
from tezgah.corpus.reading import read_batches, read_index
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "text"


def build(folder: Path, **settings: Any):
    folder.mkdir(parents=True)
    return build_corpus(CorpusSettings(**settings), folder)


def rows(folder: Path, split: str) -> Any:
    return pq.read_table(folder / f"{split}.parquet").to_pylist()


def write_rows(path: Path, texts: list[str], **columns: Any) -> None:
    lines = (
        json.dumps({"text": text} | {name: each[place] for name, each in columns.items()})
        for place, text in enumerate(texts)
    )
    path.write_text("".join(line + "\n" for line in lines))


@given(
    texts=st.lists(st.text("ab ğ\n", max_size=30), min_size=1, max_size=120),
    limit=st.integers(4, 40),
    rule=st.sampled_from(["auto", "hash", "position"]),
)
def test_every_text_is_kept_once_or_counted_as_dropped(tmp_path_factory, texts, limit, rule):
    """The oracle is a Python set of the texts that are not blank."""
    folder = tmp_path_factory.mktemp("corpus")
    write_rows(folder / "a.jsonl", texts, number=list(range(len(texts))))
    settings = {
        "split": rule,
        "max_document_bytes": limit,
        "keep_columns": ("number",),
        "source": str(folder / "a.jsonl"),
    }
    try:
        summary = build(folder / "out", **settings)
    except InputError:  # nothing left, or an empty split
        return
    whole: dict[int, dict[int, str]] = {}
    for split in ("train", "validation"):
        for row in rows(folder / "out", split):
            assert row["size"] == len(row["text"].encode())
            assert row["part"] not in whole.setdefault(row["number"], {})
            whole[row["number"]][row["part"]] = row["text"]
    for parts in whole.values():
        assert sorted(parts) == list(range(len(parts)))
    joined = {number: "".join(parts[place] for place in sorted(parts)) for number, parts in whole.items()}
    distinct = {text: number for number, text in reversed(list(enumerate(texts))) if text.strip()}  # first of each
    assert joined == {number: text for text, number in distinct.items()}
    assert summary.texts == len(texts) == len(joined) + sum(entry.texts for entry in summary.dropped.values())
    for split, amount in summary.splits.items():
        found = [row["text"] for row in rows(folder / "out", split)]
        assert (amount.documents, amount.bytes, amount.characters) == (
            len(found),
            len("".join(found).encode()),
            len("".join(found)),
        )


def test_no_text_is_in_two_splits_and_none_moves_when_files_are_added(tmp_path):
    def split_of(folder: Path) -> dict[str, str]:
        found = {}
        for split in ("train", "validation", "test"):
            for row in rows(folder, split):
                assert row["text"] not in found
                found[row["text"]] = split
        return found

    texts = [f"document {number}" for number in range(600)]
    write_rows(tmp_path / "b.jsonl", texts)
    build(tmp_path / "before", source=f"{tmp_path}/*.jsonl", test_ratio=0.2)
    write_rows(tmp_path / "a.jsonl", [f"new {number}" for number in range(300)] + texts[:50])
    build(tmp_path / "after", source=f"{tmp_path}/*.jsonl", test_ratio=0.2)
    before, after = split_of(tmp_path / "before"), split_of(tmp_path / "after")
    assert set(before.values()) == {"train", "validation", "test"}
    assert before == {text: after[text] for text in texts}
    assert len(after) == 900


def test_a_split_key_keeps_what_belongs_together_together(tmp_path):
    repositories = [f"repository {number % 60}" for number in range(600)]
    write_rows(tmp_path / "a.jsonl", [f"document {number}" for number in range(600)], repo=repositories)
    build(tmp_path / "out", source=str(tmp_path / "a.jsonl"), keep_columns=("repo",), split_key="repo")
    train, held = ({row["repo"] for row in rows(tmp_path / "out", split)} for split in ("train", "validation"))
    assert not train & held
    assert len(train | held) == 60


def test_a_single_text_is_cut_at_its_characters_and_it_is_said(tmp_path, capsys):
    text = "".join(f"Çeşitli {number}.\n\n" for number in range(20_000))
    (tmp_path / "a.txt").write_text(text, newline="")
    summary = build(tmp_path / "out", source=str(tmp_path / "a.txt"), train_ratio=0.7)
    place = int(0.7 * len(text))
    train, held = ("".join(row["text"] for row in rows(tmp_path / "out", split)) for split in ("train", "validation"))
    assert (train, held) == (text[:place], text[place:])
    both = [row for split in ("train", "validation") for row in rows(tmp_path / "out", split)]
    assert [row["part"] for row in both] == list(range(len(both)))
    assert summary.split_rule == "position"
    assert "are too few" in summary.split_reason
    assert "too few" in capsys.readouterr().err
    assert "Split by position" in (tmp_path / "out/card.md").read_text()
    assert summary.cut_texts == 1
    assert summary.cut_parts == len(both) - 1  # the split cut one more in two


def test_the_textbook_story_is_cut_where_the_textbook_cuts_it(tmp_path):
    story = DATA / "the-verdict.txt"
    if not story.exists():
        pytest.skip("no test data here")
    summary = build(tmp_path / "out", source=str(story), split="position", train_ratio=0.9)
    assert {name: each.characters for name, each in summary.splits.items()} == {"train": 18_431, "validation": 2_048}
    assert "".join(row["text"] for split in ("train", "validation") for row in rows(tmp_path / "out", split)) == (
        story.read_text()
    )


def test_a_github_dump_keeps_its_columns_and_their_types(tmp_path):
    table = pa.table(
        {
            "repo_name": [f"r/{number % 7}" for number in range(100)],
            "path": [f"p/{number}.py" for number in range(100)],
            "copies": [number % 3 for number in range(100)],
            "size": [7] * 100,
            "content": [f"x = {number}\n" for number in range(100)],
            "license": ["mit", "apache-2.0"] * 50,
        }
    )
    pq.write_table(table, tmp_path / "dump.parquet")
    keep = ("repo_name", "path", "copies", "size", "license")
    summary = build(tmp_path / "out", source=f"{tmp_path}/*.parquet", text_column="content", keep_columns=keep)
    found = pa.concat_tables([pq.read_table(tmp_path / f"out/{split}.parquet") for split in ("train", "validation")])
    assert found.schema.names == ["text", "source", "path", "license", "size", "part", "repo_name", "copies"]
    assert summary.columns["copies"] == "int64"
    theirs = {row["path"]: row for row in table.to_pylist()}
    for row in found.to_pylist():
        expected = theirs[row["path"]]
        assert row["text"] == expected["content"]
        assert [row[name] for name in ("repo_name", "copies", "license")] == [
            expected[name] for name in ("repo_name", "copies", "license")
        ]
        assert row["size"] == len(expected["content"])
    assert {name: each.documents for name, each in summary.by_license.items()} == {"mit": 50, "apache-2.0": 50}
    assert {name: each.documents for name, each in summary.by_suffix.items()} == {".py": 100}


def test_the_card_tells_what_came_in_what_was_dropped_and_why(tmp_path):
    source = tmp_path / "data"
    source.mkdir()
    (source / "a.py").write_text("same\n")
    (source / "b|`b.py").write_text("same\n")
    (source / "c.png").write_bytes(b"\0")
    (source / "d.md").write_text("# Title\n\n" + "word " * 20_000)
    build(tmp_path / "out", source=str(source))
    card = (tmp_path / "out/card.md").read_text()
    for line in (
        f"From `{source}`: 4 texts came in from 4 files",
        "2 stayed",
        "| duplicate | 1 | 5 | the same text came before | `b\\|'b.py (same as a.py)` |",
        "| binary | 1 | 1 | contains NUL | `c.png` |",
        "Texts longer than 65,536 bytes were cut at paragraph ends before the split: 1 became 3 documents.",
        "| `.md` | 4 | 100,009 | 100,009 |",
        "| `(unknown)` | 5 | 100,014 | 100,014 |",
        "Split by position",
    ):
        assert line in card


def test_the_index_reads_back_and_knows_its_inputs(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    settings = CorpusSettings(source=str(tmp_path / "a.txt"))
    summary = build(tmp_path / "out", source=settings.source)
    assert read_index(tmp_path / "out") == summary
    (file,) = list_inputs(settings)
    assert summary.inputs == [("a.txt", 9, file.mtime_ns, hashlib.sha256(b"some text").hexdigest())]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "card.md",
        "index.json",
        "train.parquet",
        "validation.parquet",
    ]


def test_building_twice_gives_the_same_bytes(tmp_path):
    write_rows(tmp_path / "a.jsonl", [f"document {number}" for number in range(500)])
    for name in ("one", "two"):
        build(tmp_path / name, source=str(tmp_path / "a.jsonl"))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_batches_have_the_columns_asked_for_in_order(tmp_path):
    write_rows(tmp_path / "a.jsonl", [f"document {number}" for number in range(3000)])
    build(tmp_path / "out", source=str(tmp_path / "a.jsonl"))
    batches = list(read_batches(tmp_path / "out", "train", ("size", "text")))
    assert len(batches) > 1
    assert pa.Table.from_batches(batches) == pq.read_table(tmp_path / "out/train.parquet", columns=["size", "text"])


def test_the_standard_library_makes_a_corpus(tmp_path):
    summary = build(tmp_path / "out", source="stdlib")
    texts = [row["text"] for split in ("train", "validation") for row in rows(tmp_path / "out", split)]
    assert summary.split_rule == "hash"
    assert 0.05 < summary.splits["validation"].bytes / sum(len(text.encode()) for text in texts) < 0.15
    assert any("class ArgumentParser" in text for text in texts)


def test_texts_too_long_to_hold_make_the_same_corpus_as_held_ones(tmp_path, monkeypatch):
    source = tmp_path / "data"
    source.mkdir()
    for name, numbers in {"a.txt": range(9000), "b.txt": range(9000), "c.txt": range(40), "d.txt": range(7000)}.items():
        (source / name).write_text("".join(f"Satır {number}\n\n" for number in numbers))
    settings = {"source": str(source), "max_document_bytes": 1000, "split": "hash"}
    held = build(tmp_path / "held", **settings)
    monkeypatch.setattr(texts_module, "HELD_BYTES", 5000)
    assert build(tmp_path / "long", **settings) == held
    assert held.dropped["duplicate"].examples == ["b.txt (same as a.txt)"]
    for path in (tmp_path / "held").iterdir():
        found, expected = tmp_path / "long" / path.name, path
        if path.suffix == ".parquet":
            assert pq.read_table(found) == pq.read_table(expected)
        else:
            assert found.read_bytes() == expected.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["txt.gz", "jsonl.gz", "parquet"])
def test_memory_stays_bounded_whatever_the_size_of_the_input(tmp_path, kind):
    """400 MB of text grow a fresh process by less than 250 MB."""
    piece = "".join(f"Line {number} of a long text.\n\n" for number in range(32_000))  # 1 MB
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        with pq.ParquetWriter(path, pa.schema([("text", pa.string())])) as writer:
            for number in range(40):
                writer.write_table(pa.table({"text": [f"{number} {each} {piece}" for each in range(10)]}))
    else:
        with gzip.open(path, "wt", compresslevel=1) as file:
            for number in range(400):
                text = f"{number} {piece}"
                file.write(text if kind == "txt.gz" else json.dumps({"text": text}) + "\n")
    code = """
import resource, sys
from pathlib import Path
import tezgah.corpus.texts as texts_module
from tezgah.corpus.build import build_corpus
from tezgah.corpus.settings import CorpusSettings
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
build_corpus(CorpusSettings(source=sys.argv[1], split="position"), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250_000  # kB


def test_an_unknown_split_or_column_and_a_damaged_corpus_are_named(tmp_path):
    write_rows(tmp_path / "a.jsonl", [f"document {number}" for number in range(100)])
    out = tmp_path / "out"
    build(out, source=str(tmp_path / "a.jsonl"))
    with pytest.raises(InputError, match=r"test.parquet: no such split; there is: train, validation"):
        list(read_batches(out, "test"))
    with pytest.raises(InputError, match=r"has no column 'stars'; it has: text, source"):
        list(read_batches(out, "train", ("stars",)))
    (out / "train.parquet").write_bytes((out / "train.parquet").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"train.parquet: damaged .* Build the corpus anew"):
        list(read_batches(out, "train"))
    index = json.loads((out / "index.json").read_text())
    for change, message in [({"format": 2}, "newer"), ({"format": "1"}, "no format"), ({"splits": 3}, "damaged")]:
        (out / "index.json").write_text(json.dumps(index | change))
        with pytest.raises(InputError, match=message):
            read_index(out)
    (out / "index.json").unlink()
    with pytest.raises(InputError, match="(?i)no such file"):
        read_index(out)
