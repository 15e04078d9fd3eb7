"""A recipe with size = "auto" goes through every room, and says what was chosen."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests import quick
from tezgah import cli
from tezgah.changes import read_training
from tezgah.models.checkpoint import read_config

RECIPE = """
[tokenizer]
vocab_size = 300
[model]
size = "auto"
context_length = 32
[train]
flops = 3e10
compile = false
threads = 1
device = "cpu"
validation_batches = 1
sample_tokens = 0
checkpoint_steps = 8
"""


def words(seed: int) -> str:
    return "".join(f"def area_{(seed * 31 + i * i) % 97}(a, b):\n    return a * {i % 13}\n\n" for i in range(60))


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quick.leave_out(monkeypatch)
    (tmp_path / "texts").mkdir()
    for number in range(60):
        (tmp_path / "texts" / f"{number}.txt").write_text(words(number))
    path = tmp_path / "auto.toml"
    path.write_text(f"[corpus]\nsource = {json.dumps(str(tmp_path / 'texts'))}\n{RECIPE}")
    return path


def chosen(run: Path) -> dict[str, Any]:
    record = read_training(run)
    assert record is not None
    return record.chosen


def test_a_budget_is_enough_and_a_larger_one_goes_on_with_the_same_model(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recipe.parent / "run"
    assert cli.main(["run", str(recipe), "--run", str(run), "--train.weight_decay", "0.05"]) == 0
    told = capsys.readouterr().err
    assert "size: 2 layers × 128, " in told and " tokens, " in told
    first = chosen(run)
    assert first["model.width"] == read_config(run / "model").width == 128
    assert "train.weight_decay" not in first
    resolved = tomllib.loads((run / "recipe.toml").read_text())
    assert resolved["model"]["n_layers"] == 2 and resolved["model"]["size"] == ""
    assert resolved["train"]["flops"] == 3e10 and resolved["train"]["weight_decay"] == 0.05
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    record = read_training(run)
    assert record and record.reached and record.reached["flops"] == pytest.approx(3e10, rel=0.15)
    assert rows[-1]["tokens"] == record.reached["tokens"]

    monkeypatch.setattr("tezgah.stations.choose", None)  # nobody may choose again
    again = ["run", str(recipe), "--run", str(run), "--train.weight_decay", "0.05"]
    assert cli.main(again) == 0 and "train: up to date" in capsys.readouterr().err
    assert cli.main(["run", str(run / "recipe.toml"), "--run", str(run)]) == 0
    assert "train: up to date" in capsys.readouterr().err
    assert cli.main([*again, "--train.flops", "4e10"]) == 0
    assert f"resuming after step {rows[-1]['step']:,} of" in capsys.readouterr().err
    assert chosen(run) == first


def test_a_training_of_little_text_ends_after_its_epochs(recipe: Path) -> None:
    run = recipe.parent / "run"
    assert cli.main(["run", str(recipe), "--run", str(run), "--train.max_epochs", "0.1"]) == 0
    record = read_training(run)
    assert record and record.reached and record.reached["epochs"] == pytest.approx(0.1, rel=0.15)
    assert record.reached["flops"] < 0.9 * 3e10
