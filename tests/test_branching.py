"""A branch off a stable run is the run that planned it, and a checkpoint that has decayed is refused."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import quick
from tezgah import cli

RECIPE = """
[tokenizer]
vocab_size = 300
[model]
n_layers = 1
width = 32
context_length = 16
[train]
steps = 40
batch_size = 2
compile = false
threads = 1
warmup_steps = 2
decay_ratio = 0.5
validation_batches = 1
validation_steps = 100
sample_tokens = 0
checkpoint_steps = 5
keep_checkpoints = 20
"""


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick.leave_out(patch)
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and its stable run of 40 steps, the last 20 of which decay."""
    folder = tmp_path_factory.mktemp("branches")
    (folder / "texts").mkdir()
    for number in range(60):
        (folder / "texts" / f"{number}.txt").write_text("".join(f"{(number * i) % 97} is {i}\n" for i in range(40)))
    (folder / "small.toml").write_text(f"[corpus]\nsource = {json.dumps(str(folder / 'texts'))}\n{RECIPE}")
    assert cli.main(["run", str(folder / "small.toml"), "--run", str(folder / "stable")]) == 0
    return folder


def branched(home: Path, name: str, step: int, *flags: str) -> int:
    checkpoint = home / "stable" / "checkpoints" / f"step-{step:06d}"
    return cli.main(["run", str(home / "small.toml"), "--run", str(home / name), "--branch", str(checkpoint), *flags])


def losses(run: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows[1:]]


def test_a_branch_is_the_run_that_planned_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shorter = "--train.steps", "14", "--train.decay_ratio", "0.25"
    assert branched(home, "branch", 10, *shorter) == 0
    assert cli.main(["run", str(home / "small.toml"), "--run", str(home / "planned"), *shorter]) == 0
    branch, planned = ((home / name / "model" / "model.safetensors").read_bytes() for name in ("branch", "planned"))
    assert branch == planned
    assert losses(home / "branch") == losses(home / "planned")
    assert losses(home / "branch")[:10] == losses(home / "stable")[:10]
    same = (home / name / "corpus" / "train.parquet" for name in ("stable", "branch"))
    assert os.path.samefile(*same)
    capsys.readouterr()
    assert branched(home, "branch", 10, *shorter) == 0  # nothing is left to do
    assert "train: up to date" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "flags", "told"),
    [
        (30, ["--train.steps", "50"], "at step 22 the run's learning rate was another than this recipe plans"),
        (10, ["--train.steps", "16"], "at step 10 the run's learning rate was another"),
        (10, ["--train.steps", "10"], "give train.steps (or train.tokens) beyond step 10"),
        (10, ["--train.epochs", "3"], "give train.steps (or train.tokens) beyond step 10"),
        (10, ["--train.steps", "30", "--train.seed", "2"], "the recipe is not that of its run: [train] seed 1 → 2"),
        (11, ["--train.steps", "30"], "no checkpoint of a run. Name a folder RUN/checkpoints/step-…."),
    ],
)
def test_what_was_never_planned_so_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], step: int, flags: list[str], told: str
) -> None:
    assert branched(home, "refused", step, *flags) == 2
    assert told in capsys.readouterr().err
    assert not (home / "refused" / "checkpoints").exists()


def test_a_folder_that_is_no_checkpoint_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", str(home / "small.toml"), "--run", str(home / "refused"), "--branch", str(home / "texts")]
    assert cli.main(command) == 2
    assert "no checkpoint of a run" in capsys.readouterr().err
