"""Counted words kept on disk: counted once, and gone on with after an interruption."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tokenizer.engine_texts import buffers
from tezgah import cli
from tezgah.errors import InputError
from tezgah.tokenizer import counts
from tezgah.tokenizer.counts import counted_words, read_words
from tezgah.tokenizer.texts import Chunk, utf8

ROWS = [[f"satır {k} {k % 7} köy", f"{k % 3}", ""] for k in range(50)]


class Killed(Exception):
    """What stands for the end of a process in the middle of its work."""


def chunks(until: int = len(ROWS), end: BaseException | None = None) -> Iterator[Chunk]:
    for rows in ROWS[:until]:
        yield buffers(rows)
    if end is not None:
        raise end


def never() -> Iterator[Chunk]:
    pytest.fail("texts were read again")
    yield


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The file of a counting that nothing interrupted."""
    counted_words(tmp_path / "whole.parquet", "f", chunks(), "gpt2", threads=2)
    return (tmp_path / "whole.parquet").read_bytes()


def test_words_are_counted_once_for_a_fingerprint(tmp_path: Path, whole: bytes):
    path = tmp_path / "whole.parquet"
    again = counted_words(path, "f", never(), "gpt2", threads=2)
    assert again.counts.sum() == read_words(path).words.counts.sum() > 0
    counted_words(path, "g", chunks(5), "gpt2", threads=2)
    assert path.read_bytes() != whole


@pytest.mark.parametrize("end", [Killed(), KeyboardInterrupt()], ids=["killed", "stopped"])
def test_an_interrupted_counting_goes_on_to_the_same_file(
    end: BaseException,
    tmp_path: Path,
    whole: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    path, partial = tmp_path / "words.parquet", tmp_path / "words.partial.parquet"
    if isinstance(end, Killed):  # what was saved before is all there is
        monkeypatch.setattr(counts, "SAVE_SECONDS", 0.0)
        monkeypatch.setattr(counts, "SAVING_SHARE", 1e9)
    for until in (20, 37):
        with pytest.raises(type(end)):
            counted_words(path, "f", chunks(until, end), "gpt2", threads=2)
        assert read_words(partial).documents == 3 * until
        assert not path.exists()
    counted_words(path, "f", chunks(), "gpt2", threads=3)
    assert path.read_bytes() == whole
    assert not partial.exists()
    assert "going on after 111 documents that were counted before" in capsys.readouterr().err


def test_what_was_counted_of_other_texts_is_not_gone_on_with(tmp_path: Path, whole: bytes):
    path = tmp_path / "words.parquet"
    with pytest.raises(KeyboardInterrupt):
        counted_words(path, "other texts", chunks(9, KeyboardInterrupt()), "gpt2", threads=2)
    counted_words(path, "f", chunks(), "gpt2", threads=2)
    assert path.read_bytes() == whole


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saved = []

    def save(*_: object) -> None:
        time.sleep(0.02)
        saved.append(1)

    monkeypatch.setattr(counts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(counts, "_save", save)
    counted_words(tmp_path / "words.parquet", "f", chunks(), "gpt2", threads=2)
    assert len(saved) <= 3


def test_a_stop_while_it_saves_counts_nothing_twice(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch):
    path, save = tmp_path / "words.parquet", counts._save

    def stopped(*arguments: object) -> None:
        monkeypatch.setattr(counts, "_save", save)
        raise KeyboardInterrupt

    monkeypatch.setattr(counts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(counts, "_save", stopped)
    with pytest.raises(KeyboardInterrupt):
        counted_words(path, "f", chunks(), "gpt2", threads=2)
    counted_words(path, "f", chunks(), "gpt2", threads=2)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"no Parquet", b"PAR1 PAR1"])
def test_damaged_words_are_named(content: bytes, tmp_path: Path):
    path = tmp_path / "words.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"words.parquet: not counted words .*Remove it") as caught:
        counted_words(path, "f", never(), "gpt2", threads=1)
    assert "\n" not in str(caught.value)


def test_a_folder_in_the_place_of_words_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="not counted words"):
        counted_words(tmp_path, "f", never(), "gpt2", threads=1)


def test_a_killed_command_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "texts").mkdir()
    for k in range(40):
        (tmp_path / "texts" / f"{k:02}.txt").write_text(f"köy {k} köyde su {k % 9}\n" * 30)
    program = (
        "import os, signal, sys; from tezgah import cli; from tezgah.tokenizer import counts, texts\n"
        "texts.CHUNK_BYTES, counts.SAVE_SECONDS, counts.SAVING_SHARE, save = 999, 0.0, 1e9, counts._save\n"
        "def killed(path, fingerprint, words, documents):\n"
        "    save(path, fingerprint, words, documents)\n"
        "    if documents > 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "counts._save = killed; cli.main(sys.argv[1:])"
    )
    command = ["tokenizer", "train", str(tmp_path / "texts"), "--vocab-size", "280", "-o"]
    ended = subprocess.run([sys.executable, "-c", program, *command, str(tmp_path / "killed")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "killed").iterdir() if path.suffix] == ["words.partial.parquet"]
    for name in ("killed", "whole"):
        assert cli.main([*command, str(tmp_path / name)]) == 0
    assert "going on after 21 documents" in capsys.readouterr().err
    for name in ("words.parquet", "tokenizer.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    os.utime(tmp_path / "texts" / "00.txt")
    assert cli.main([*command, str(tmp_path / "whole")]) == 0  # a changed file is counted again
    assert cli.main([*command, str(tmp_path / "whole"), "--split", "gpt2"]) == 0  # and another split
    assert "as counted before" not in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "whole"), "--split", "gpt2"]) == 0
    assert "as counted before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "counts"),
    [(["a" * 5_000], [1]), ([""], [1]), (["a"], [-1]), ([b"\xff"], [1]), (["a", None], [1, 1]), ([["a"]], [1])],
)
def test_words_that_counting_does_not_make_are_not_trusted(words: Any, counts: list[int], tmp_path: Path):
    kind = None if isinstance(words[0], list) else pa.large_binary()
    table = pa.table({"word": pa.array(words, kind), "count": counts})
    pq.write_table(table.replace_schema_metadata({"format": "1", "fingerprint": "f"}), tmp_path / "words.parquet")
    with pytest.raises(InputError, match="not counted words"):
        read_words(tmp_path / "words.parquet")


def test_words_that_the_user_named_are_not_written_over(tmp_path: Path):
    path = tmp_path / "words.parquet"
    counted_words(path, "a", utf8(["su su"]), "gpt2", threads=1)
    with pytest.raises(InputError, match="Give another --words"):
        counted_words(path, "b", utf8(["bir iki"]), "gpt2", threads=1, is_named=True)
    assert read_words(path).fingerprint == "a"
    counted_words(path, "b", utf8(["bir iki"]), "gpt2", threads=1)
    assert read_words(path).fingerprint == "b"
