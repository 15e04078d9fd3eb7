"""Several processes of one launch: the first one speaks, and what stops it stops the others quietly."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tezgah import cli, console
from tezgah.crew import DONE, FAILED, TRAIN, Crew
from tezgah.errors import InputError

# A run whose stages do nothing; what comes after training fails.
STAGES = """
import sys
from tezgah import cli, pipeline
from tezgah.console import warn
from tezgah.errors import InputError
from tezgah.files import write_json

recipe, run = sys.argv[1:]

def make(recipe, run, folder):
    warn(f"{folder.name} is made")

def train(recipe, run, fingerprint):
    write_json(run / "model" / "config.json", {})
    warn("trained")
    return {"steps": 1}

def evaluate(recipe, run, fingerprint):
    raise InputError("nothing to evaluate.")

folders = dict.fromkeys(("corpus", "tokenizer", "tokens"), make)
pipeline.real_stations = lambda is_profiled: pipeline.Stations(folders, train, evaluate, lambda run: None)
sys.exit(cli.main(["run", recipe, "--run", run, "--corpus.source", recipe]))
"""


class Ended(NamedTuple):
    """How a process ended, and what it said."""

    code: int
    lines: list[str]


def launch(*command: str) -> list[Ended]:
    """Two processes as a launcher starts them, whose own words are not in the way."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    return [Ended(process.returncode, text.splitlines()) for process, text in zip(processes, said, strict=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe."""
    (tmp_path / "small.toml").write_text('[train]\nsteps = 1\ncompile = false\nthreads = 1\ndevice = "cpu"\n')
    return tmp_path


def test_a_source_that_is_not_there_is_one_line_of_one_process(folder: Path) -> None:
    run = ["-m", "tezgah", "run", str(folder / "small.toml"), "--run", str(folder / "run")]
    first, second = launch(*run, "--corpus.source", str(folder / "nowhere"))
    assert (first.code, second) == (2, Ended(2, []))
    (line,) = first.lines
    assert line.startswith("tezgah: corpus.source: ") and "does not exist" in line


def test_what_fails_after_training_is_one_line_of_one_process(folder: Path) -> None:
    first, second = launch("-c", STAGES, str(folder / "small.toml"), str(folder / "run"))
    assert (first.code, second) == (2, Ended(2, []))
    assert first.lines[-3:] == ["warning: trained", "evaluate: begins", "tezgah: nothing to evaluate."]


def test_what_fails_in_the_midst_of_training_is_not_told_to_those_that_train() -> None:
    told: list[float] = []

    def tell(word: float) -> float:
        told.append(word)
        return word

    def fail() -> None:
        raise InputError("the loss is nan")

    members = Crew(True, tell)
    with pytest.raises(InputError, match="nan"):
        members.together(fail)
    members.dismiss(FAILED)
    assert told == [TRAIN]


def test_the_others_train_as_often_as_they_are_told() -> None:
    words = iter([TRAIN, TRAIN, DONE])
    trained: list[int] = []
    Crew(False, lambda word: next(words)).follow(lambda: trained.append(1))
    assert trained == [1, 1]


def test_only_the_first_process_speaks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    monkeypatch.setenv("RANK", "1")
    with console.heard_by(lambda kind, message: heard.append(message)):
        console.say("one")
        console.warn("two")
        with console.progress("training", total=1, unit="steps") as bar:
            bar.advance(1)
    assert cli.main(["rnu"]) == 2
    assert capsys.readouterr() == ("", "")
    assert heard == ["one", "two"]
    monkeypatch.setenv("RANK", "0")
    assert cli.main(["rnu"]) == 2
    assert capsys.readouterr().err.startswith("tezgah: no verb rnu.")
