"""A run over a corpus that is never stored: what it leaves, and that a kill leaves no trace in the bits."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import quick
from tezgah.files import hash_file

RECIPE = """
[tokenizer]
vocab_size = 300
[tokens]
mode = "stream"
[model]
shape = "gpt2"
n_layers = 1
width = 16
context_length = 16
dropout = 0.1
[train]
steps = 120
batch_size = 4
compile = false
threads = 1
device = "cpu"
validation_batches = 1
validation_steps = 40
sample_tokens = 0
checkpoint_steps = 15
"""

# Small buffers and many marks, so that a small corpus has several.
MAIN = """
import sys
import msgspec
import tezgah.training.loop
from tezgah.cli import main
from tezgah.tokens import progress, stream, streamed

class Progress(progress.StreamProgress):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.state = msgspec.structs.replace(self.state, spacing=100)

tezgah.training.loop.matrix_rate = lambda place: 1e12
streamed.BUFFER_TOKENS = 400
stream.SLICE_BYTES = 200
progress.StreamProgress = Progress
sys.exit(main())
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe and its texts: about 300 sequences an epoch, so that the run goes through one and a half."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / "texts").mkdir()
    for file in range(3):
        texts = (f"def area_{file}_{row}(a, b):\n    return a * {row * row % 97}\n" for row in range(90))
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / "texts" / f"{file}.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    (folder / "stream.toml").write_text(f"[corpus]\nsource = {json.dumps(str(folder / 'texts'))}\n{RECIPE}")
    return folder / "stream.toml"


def start(recipe: Path, run: Path, *flags: str, draws: bool = False) -> "subprocess.Popen[str]":
    """The run's process, which draws its report or leaves it empty."""
    main = MAIN if draws else quick.LEAVING_OUT + MAIN
    command = [sys.executable, "-c", main, "run", str(recipe), "--run", str(run), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def end(process: "subprocess.Popen[str]") -> str:
    """What it said, once it came to a good end."""
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    return said


def rows(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def kill_at(step: int, recipe: Path, run: Path) -> int:
    """Train until this step's row stands, then kill; the newest checkpoint's step."""
    with start(recipe, run) as process:
        while len(rows(run)) <= step:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    return max(int(path.name[5:]) for path in run.glob("checkpoints/step-*"))


def check_same_run(found: Path, expected: Path) -> None:
    """Two runs have the same bits: weights, optimizer, and every figure but the clock's."""
    for name in ("model/model.safetensors", "checkpoints/step-000120/training_state/optimizer.safetensors"):
        assert hash_file(found / name) == hash_file(expected / name), name
    clock = ("seconds", "tokens_per_second")
    runs = ([{k: v for k, v in row.items() if k not in clock} for row in rows(run)] for run in (found, expected))
    ours, theirs = runs
    assert ours == theirs


@pytest.fixture(scope="module")
def whole(recipe: Path) -> tuple[Path, str]:
    """An uninterrupted run, and what it said."""
    return recipe.parent / "whole", end(start(recipe, recipe.parent / "whole"))


def test_a_run_stores_a_sample_and_says_what_the_stream_was(whole: tuple[Path, str]) -> None:
    run, said = whole
    for folder, expected in (("corpus", "*.parquet"), ("tokens", "*.npy")):
        names = {path.name.split("-")[0].split(".")[0] for path in (run / folder).glob(expected)}
        assert names == {"sample", "validation"}
    state = json.loads((run / "checkpoints" / "stream.json").read_text())
    sequences = state["sequences"]
    stored = np.load(run / "tokens" / "sample-00000.npy")  # a small corpus is its own sample
    assert sequences == (len(stored) - 1 - 16) // 16 + 1
    assert len(state["marks"]) > 10
    assert f"{state['characters_per_token']:.2f} characters and {state['bytes_per_token']:.2f} bytes a token" in said
    assert 250 < sequences < 400
    assert rows(run)[-1]["epoch"] == pytest.approx(480 / sequences)
    training = json.loads((run / "model" / "stage.json").read_text())
    assert training["reached"]["epochs"] == rows(run)[-1]["epoch"]
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert set(evaluation["baselines"]) == {"gzip", "xz", "xz_primed"}
    assert rows(run)[-1]["train_eval_loss"] < rows(run)[0]["train_eval_loss"]


def test_a_kill_leaves_no_trace_in_the_bits(recipe: Path, whole: tuple[Path, str]) -> None:
    killed = recipe.parent / "killed"
    step = kill_at(100, recipe, killed)
    assert 1 < rows(killed)[step]["epoch"] < 2
    with start(recipe, killed) as process:
        assert f"resuming after step {step} of 120" in end(process)
    check_same_run(killed, whole[0])


def test_another_mode_is_another_training(recipe: Path, whole: tuple[Path, str]) -> None:
    command = [sys.executable, "-m", "tezgah", "run", str(recipe), "--run", str(whole[0]), "--only", "train"]
    done = subprocess.run([*command, "--tokens.mode", "stored"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "train needs the corpus stage" in done.stderr
