"""Compiling says so once for an installation, and a place that cannot be written is no obstacle."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tezgah import compiled
from tezgah.compiled import cache_folder, compilation_told
from tezgah.tokenizer.tokenizer import Tokenizer

PROGRAM = "import sys; from tezgah import Tokenizer; print(Tokenizer.load(sys.argv[1]).encode('su su'))"


def fresh(folder: Path) -> subprocess.CompletedProcess[str]:
    """Encode a word in a process of its own with machine code in `folder`."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_the_first_process_says_that_it_compiles_and_later_ones_begin_at_once(tmp_path: Path):
    Tokenizer.train(["su su"], vocab_size=258).save(tmp_path)
    first = fresh(tmp_path)
    said = first.stderr.splitlines()
    assert said[0] == "tokenizer engine: compiling, once for this installation"
    assert said[-1].startswith("tokenizer engine: compiled in ") and said[-1].endswith(" s")
    assert len(said) == 2
    seconds = []
    for _ in range(3):
        began = processor_seconds()
        later = fresh(tmp_path)
        seconds.append(processor_seconds() - began)
        assert (later.stdout, later.stderr) == (first.stdout, "")
    assert min(seconds) < 3  # compiling takes ten times as long


def processor_seconds() -> float:
    """What the processes started here have taken, however busy the machine is: on one core it is the time waited."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The installation and the user's cache folder, in a temporary folder."""
    found = {"installation": tmp_path / "installation", "home": tmp_path / "home"}
    for each in found.values():
        each.mkdir()
    (found["installation"] / "engine.py").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(found["home"]))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return found


def close(place: Path) -> None:
    """What a folder that cannot be written is to a process: nothing can be made in it. Root may write anywhere."""
    (place / "__pycache__").write_text("a file where a folder is wanted")
    (place / "tezgah").write_text("the same")


def test_code_is_kept_beside_the_source_or_in_the_users_cache_folder(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
):
    beside = cache_folder.__wrapped__(places["installation"])
    assert beside is not None and beside.parent == places["installation"] / "__pycache__"
    (places["installation"] / "engine.py").write_text("changed")
    other = cache_folder.__wrapped__(places["installation"])
    assert other is not None and other != beside and other.parent == beside.parent
    for kept in beside.parent.iterdir():
        kept.rmdir()
    beside.parent.rmdir()
    close(places["installation"])
    at_home = cache_folder.__wrapped__(places["installation"])
    assert at_home is not None and at_home.parent == places["home"] / "tezgah"
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_there_but_cannot_be_written_is_passed_over(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    beside = cache_folder.__wrapped__(places["installation"])
    temporary = tempfile.TemporaryFile

    def refused(*arguments: Any, **named: Any) -> Any:
        if named["dir"] == beside:
            raise PermissionError(13, "Permission denied")
        return temporary(*arguments, **named)

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    at_home = cache_folder.__wrapped__(places["installation"])
    assert at_home is not None and at_home.parent == places["home"] / "tezgah"


def test_where_nothing_can_be_written_there_is_one_warning_and_code_runs_uncached(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for place in places.values():
        close(place)
    assert cache_folder.__wrapped__(places["installation"]) is None
    assert capsys.readouterr().err.count("warning: no folder can be written for compiled code") == 1
    monkeypatch.setattr(compiled, "cache_folder", lambda _: None)

    def plus_one(x: int) -> int:
        return x + 1

    with compilation_told("tokenizer engine"):
        assert compiled.compiled(plus_one)(1) == 2
    assert "tokenizer engine: compiling" in capsys.readouterr().err


def test_code_of_other_states_is_removed_when_nobody_used_it_for_a_month(places: dict[str, Path]):
    parent = places["installation"] / "__pycache__"
    month = time.time() - compiled.UNUSED_SECONDS
    ages = {"compiled-" + "0" * 16: month - 60, "compiled-" + "1" * 16: month + 60, "compiled-by-others": month - 60}
    for name, used in ages.items():
        (parent / name / "tokenizer").mkdir(parents=True)
        os.utime(parent / name, (used, used))
    new = cache_folder.__wrapped__(places["installation"])
    assert new is not None
    assert sorted(path.name for path in parent.iterdir()) == sorted(
        [new.name, "compiled-" + "1" * 16, "compiled-by-others"]
    )
    os.utime(new, (month - 60, month - 60))
    assert cache_folder.__wrapped__(places["installation"]) == new
    assert new.stat().st_mtime > month  # to begin to use it is to use it


def test_one_block_tells_for_those_within_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiled, "cache_folder", lambda _: None)

    def minus_one(x: int) -> int:
        return x - 1

    with compilation_told("tokenizer engine"), compilation_told("tokenizer engine"):
        assert compiled.compiled(minus_one)(1) == 0
    assert capsys.readouterr().err.count("compiled in") == 1
    with compilation_told("tokenizer engine"):
        pass
    assert capsys.readouterr().err == ""
