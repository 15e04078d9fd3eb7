"""A run folder that may only be read: one line, exit code 2, and nothing in it is touched."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tezgah.cli import main


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_run_folder_that_may_not_be_written_is_one_line(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's refusal is played: a test that runs as root may write anywhere."""
    run, recipe, system = tmp_path / "run", tmp_path / "r.toml", os.open
    run.mkdir()
    (run / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "a.txt").write_text("su ve çay\n")
    recipe.write_text(f'[corpus]\nsource = "{tmp_path}/a.txt"\n[train]\nsteps = 1\n')

    def refuse(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if str(path).startswith(str(run)) and flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(number, os.strerror(number), path)
        return system(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert main(["run", str(recipe), "--run", str(run)]) == 2
    said = capsys.readouterr().err
    assert said == f"tezgah: {run}: cannot be written ({os.strerror(number)}). Choose a place you may write to.\n"
    assert [path.name for path in run.iterdir()] == ["metrics.jsonl"]
