"""A sweep of real runs that is killed, and started again, comes to the weights of runs that were left alone."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import quick
from tezgah import cli
from tezgah.files import hash_file, is_running

RECIPE = """
[tokenizer]
vocab_size = 280
split = "gpt2"
[model]
n_layers = 1
width = 16
context_length = 16
[train]
steps = 90
batch_size = 2
compile = false
threads = 1
device = "cpu"
validation_batches = 1
validation_steps = 30
sample_tokens = 0
checkpoint_steps = 10
"""

# A step is made to take long enough to be met in its middle.
POINT = f"""
{quick.LEAVING_OUT}
import runpy, sys, time
import tezgah.training.step as step
clip = step.Stepper._clip
step.Stepper._clip = lambda self: time.sleep(0.02) or clip(self)
runpy.run_module("tezgah.attended", run_name="__main__", alter_sys=True)
"""
SWEEP = f"""
import os, sys
from tezgah.cli import main
from tezgah.sweep import points
command = points.command
points.command = lambda folder: [sys.executable, "-c", {POINT!r}, *command(folder)[4:]]
sys.exit(main())
"""
RATES = ("learning_rate=0.001", "learning_rate=0.01")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for number in range(60):
        text = "".join(f"def area_{(number * 31 + i * i) % 97}(a, b):\n    return a * {i % 13}\n\n" for i in range(20))
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    path = tmp_path / "small.toml"
    path.write_text(f"[corpus]\nsource = {json.dumps(str(tmp_path / 'texts'))}\n{RECIPE}")
    return path


def start(recipe: Path, folder: Path) -> "subprocess.Popen[str]":
    words = ["sweep", str(recipe), "--run", str(folder), "--over", "train.learning_rate=1e-3,1e-2", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def rows(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def stopped_at(step: int, recipe: Path, folder: Path, number: signal.Signals) -> int:
    """Sweep until the second point is at this step, then end the sweep by a signal; the process of the point."""
    process = start(recipe, folder)
    while rows(folder / RATES[1]) <= step:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    point = int(json.loads((folder / RATES[1] / ".lock").read_text())["process"])
    process.send_signal(number)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    return point


def test_a_sweep_that_was_stopped_and_then_killed_goes_on_to_the_same_weights(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sweep"
    done, run = folder / RATES[0], folder / RATES[1]
    point = stopped_at(25, recipe, folder, signal.SIGTERM)
    assert not is_running(point)  # the sweep has waited for it
    assert int(max(run.glob("checkpoints/step-*")).name[5:]) % 10  # a checkpoint of its own, where it stood
    assert json.loads((folder / "sweep.json").read_text())["points"][1]["state"] == "unfinished"
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}

    point = stopped_at(55, recipe, folder, signal.SIGKILL)
    process = start(recipe, folder)  # at once: the point of the killed one is still ending
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert not is_running(point)
    assert "resuming after step" in err
    assert [each["state"] for each in json.loads(out)["points"]] == ["done", "done"]
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before  # it was not touched again
    assert (done / "corpus/train.parquet").samefile(run / "corpus/train.parquet")

    quick.leave_out(monkeypatch)
    assert cli.main(["run", str(run / "recipe.toml"), "--run", str(tmp_path / "alone")]) == 0
    for name in ("model/model.safetensors", "checkpoints/step-000090/training_state/optimizer.safetensors"):
        assert hash_file(tmp_path / "alone" / name) == hash_file(run / name)
