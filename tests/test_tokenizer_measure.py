"""`tezgah tokenizer measure`: tokenizers told from data, one table, one object, one picture."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from tezgah import cli
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokenizer_operands import told_apart

TEXT = "if su is not None:\n    su = 'köy'\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tokenizers, one a folder and one a file, and two data sets, a file and a folder."""
    monkeypatch.chdir(tmp_path)
    Tokenizer.train([TEXT * 3], vocab_size=277, split="gpt2").save(tmp_path / "ours")
    Tokenizer.train([], vocab_size=257).save(tmp_path / "made")
    (tmp_path / "made" / "tokenizer.json").rename(tmp_path / "bytes.json")
    (tmp_path / "code.py").write_text(TEXT, "utf-8")
    (tmp_path / "prose").mkdir()
    (tmp_path / "prose" / "a.txt").write_text("su su", "utf-8")
    (tmp_path / "prose" / "b.txt").write_text("köy", "utf-8")
    return tmp_path


def told(command: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.main([*command.split(), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_one_object_holds_every_tokenizer_on_every_data_set(home: Path, capsys: pytest.CaptureFixture[str]):
    command = "tokenizer measure ours code.py bytes.json prose --keywords python --word su"
    found = told(command, capsys)
    library = tokenizers.Tokenizer.from_file("ours/tokenizer.json")
    assert found["tokenizers"] == {"ours": "ours", "bytes": "bytes.json"}
    assert found["data"] == {"code.py": "code.py", "prose": "prose"}
    rows = found["measures"]
    assert [(row["data"], row["tokenizer"]) for row in rows] == [
        *(("code.py", "ours"), ("code.py", "bytes")),
        *(("prose", "ours"), ("prose", "bytes")),
    ]
    assert [row["tokens"] for row in rows[:2]] == [len(library.encode(TEXT).ids), len(TEXT.encode())]
    assert [row["documents"] for row in rows] == [1, 1, 2, 2]
    assert all(row["megabytes_per_second"] > 0 for row in rows)
    assert found["words"] == {"su": {"ours": library.encode("su").tokens, "bytes": ["s", "u"]}}
    assert found["keywords"]["bytes"]["words"] == len(found["keywords"]["bytes"]["missing"]) == 35
    known = [word for word in ("is", "not", "None") if word not in found["keywords"]["ours"]["missing_with_space"]]
    assert known == [word for word in ("is", "not", "None") if len(library.encode(f" {word}").ids) == 1]
    assert found["picture"] is None


def test_the_tables_name_what_they_show(home: Path, capsys: pytest.CaptureFixture[str]):
    command = "tokenizer measure ours bytes.json prose --keywords python --word köy"
    assert cli.main(command.split()) == 0
    parts = [part.split("\n") for part in capsys.readouterr().out.rstrip("\n").split("\n\n")]
    head = "data tokenizer ids bytes/token tokens/word continued used rare unknown partial MB/s"
    assert " ".join(parts[0][0].split()) == head
    assert parts[0][2].split()[:5] == ["prose", "bytes", "257", "1.000", "3.667"]  # words of 3, 3 and 5 bytes
    assert parts[1][0].split("  ")[0] == "one token, of 35 words"
    assert parts[2][0].split() == ["köy", "tokens"]
    assert parts[2][2].split("  ")[-1] == r"k | \xc3 | \xb6 | y"
    assert parts[3][0].split() == ["tokenizer", "longest", "tokens"]
    assert parts[4][0].split() == ["data", "tokenizer", "most", "telling", "tokens"]


def test_several_words_are_a_list_and_a_comma_is_part_of_one(home: Path, capsys: pytest.CaptureFixture[str]):
    assert list(told("tokenizer measure ours prose --word su,köy", capsys)["words"]) == ["su,köy"]
    assert list(told('tokenizer measure ours prose --word ["su","köy"]', capsys)["words"]) == ["su", "köy"]


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_picture_is_drawn(name: str, head: bytes, home: Path, capsys: pytest.CaptureFixture[str]):
    assert told(f"tokenizer measure ours bytes.json code.py prose -o {name}", capsys)["picture"] == name
    drawn = (home / name).read_bytes()
    assert drawn.startswith(head)
    if name.endswith(".svg"):
        words = ("bytes per token", "tokens per word", "ours", "bytes", "code.py", "prose")
        assert [word for word in words if f">{word}" not in drawn.decode()] == []


def test_operands_are_told_apart_by_what_they_are(home: Path):
    (home / "gpt2").mkdir()
    (home / "gpt2" / "encoder.json").write_text("{}")
    (home / "rows.json").write_text('[{"text": "su"}]')
    (home / "page.json").write_text('{"text": "su"}')
    operands = ["rows.json", "gpt2", "ours/tokenizer.json", "page.json", "bytes.json", "stdlib", "prose/*.txt"]
    tokenizers_, data = told_apart(operands)
    assert list(tokenizers_.items()) == [("gpt2", "gpt2"), ("ours", "ours/tokenizer.json"), ("bytes", "bytes.json")]
    assert list(data) == ["rows.json", "page.json", "stdlib", "*.txt"]


def test_names_are_as_long_as_tells_them_apart(home: Path):
    Tokenizer.load("ours").save(home / "other" / "ours")
    tokenizers_, data = told_apart(["ours", "other/ours", "prose/a.txt", "other/a.txt"])
    assert list(tokenizers_) == [f"{home.name}/ours", "other/ours"]
    assert list(data) == ["prose/a.txt", "other/a.txt"]


def test_a_file_and_a_folder_of_one_name_are_two(home: Path):
    Tokenizer.load("ours").save(home / "bytes")
    assert list(told_apart(["bytes", "bytes.json", "prose"])[0]) == ["bytes", "bytes.json"]


REFUSED = {
    "ours": "`tokenizer measure` needs DATA.",
    "ours bytes.json": "ours, bytes.json: no data to measure on. Name files or folders of text after them.",
    "code.py prose": "code.py, prose: none is a tokenizer. Name a tokenizer.json, or a folder that holds one",
    "ours ours/tokenizer.json prose": "ours/tokenizer.json is given twice. Name it once.",
    "ours prose prose/": "prose/ is given twice. Name it once.",
    "ours nowhere": "corpus.source: 'nowhere' does not exist.",
    "none/tokenizer.json prose": "none/tokenizer.json: cannot be read (No such file or directory).",
    "damaged.json prose": "damaged.json: not valid JSON",
    "vague prose": "vague/tokenizer.json: not a tokenizer.json (",
    "ours empty.txt": "empty.txt: holds no word to measure on. Name other files.",
    "ours prose --keywords cobol": "--keywords cobol: neither a language known here (python) nor a file of words",
    "ours prose -o a.jpg": "a.jpg: a picture ends in .png, .svg or .pdf. Choose one of these.",
}


@pytest.mark.parametrize(("operands", "message"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_measured_is_said_in_one_line(
    operands: str, message: str, home: Path, capsys: pytest.CaptureFixture[str]
):
    (home / "damaged.json").write_text((home / "bytes.json").read_text("utf-8")[:600], "utf-8")
    (home / "vague").mkdir()
    (home / "vague" / "tokenizer.json").write_text('{"model": {"vocab": 3}}')
    (home / "empty.txt").write_text(" \n\t ")
    assert cli.main(["tokenizer", "measure", *operands.split()]) == 2
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].startswith(f"tezgah: {message}")
    assert out == ""
