"""A sweep brings every point to its end once, whatever stops it, and says which is best.

The work of a run's stages is done by small fakes in a process of its own; a real one is in test_real_sweep.py.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tezgah import cli
from tezgah.errors import InputError
from tezgah.sweep import points

# A run whose loss is lowest at a learning rate of 0.01; it diverges above 0.1, is killed at 7 layers, fails at 8 and is
# stopped by its user at 9. Every stage that is made leaves a line in made.txt.
FAKE = """
import json, math, os, signal, sys
from pathlib import Path
from tezgah import pipeline
from tezgah.errors import Diverged, InputError
from tezgah.files import write_json, write_text
from tezgah.recipe import load_recipe

folder = Path(sys.argv[1])

def tell(stage):
    with open(folder.parent / "made.txt", "a") as file:
        file.write(f"{stage} {folder.name}\\n")

def make(stage):
    def made(recipe, run, place):
        tell(stage)
        (place / "inner").mkdir()
        write_text(place / "inner" / "made", stage)
    return made

def train(recipe, run, fingerprint):
    tell("train")
    write_json(run / "checkpoints" / "step-000001" / "config.json", {})
    rate = recipe.train.learning_rate or 3e-3
    if rate > 0.1:
        raise Diverged(2, math.nan, 1.0)
    if recipe.model.n_layers == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if recipe.model.n_layers == 8:
        raise InputError("[model] n_layers: 8 is too many today.")
    if recipe.model.n_layers == 9:
        sys.exit(130)
    loss = 2 + abs(math.log10(rate / 0.01)) + 8 / (recipe.model.width or 8)
    bits = recipe.tokenizer.vocab_size / 100
    rows = [{"step": 0, "seconds": 1.0, "validation_loss": 9.0, "bits_per_byte": 90.0},
            {"step": 1, "seconds": 60.0, "validation_loss": loss, "bits_per_byte": bits},
            {"step": 2, "seconds": 120.0, "validation_loss": loss + 0.5, "bits_per_byte": bits + 0.5}]
    write_text(run / "metrics.jsonl", "".join(json.dumps(row) + "\\n" for row in rows))
    write_json(run / "model" / "config.json", {})
    return {"steps": 2, "tokens": 2, "epochs": 1, "minutes": 2}

def evaluate(recipe, run, fingerprint):
    found = {"format": 1, "fingerprint": fingerprint, "bits_per_byte": 2.0, "baselines": {}}
    write_json(run / "evaluation.json", found)
    return {}

def report(run):
    write_text(run / "report.html", "")

stages = {stage: make(stage) for stage in ("corpus", "tokenizer", "tokens")}
fakes = pipeline.Stations(stages, train, evaluate, report)
try:
    pipeline.run(load_recipe(folder / "recipe.toml"), folder, stations=fakes)
except InputError as error:
    print(f"tezgah: {error}", file=sys.stderr)
    sys.exit(2)
"""


class Bench:
    """A recipe, a folder for its sweep, and what was made in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder / "sweep", capsys
        (folder / "texts").mkdir()
        (folder / "texts" / "a.txt").write_text("bir iki üç\n")
        self.recipe = folder / "fake.toml"
        source = json.dumps(str(folder / "texts"))
        self.recipe.write_text(f"[corpus]\nsource = {source}\n[model]\nn_layers = 2\nwidth = 8\n[train]\nsteps = 2\n")

    def go(self, *over: str, flags: tuple[str, ...] = (), code: int = 0) -> dict[str, Any]:
        """Sweep, and give what is answered; where the exit code is another than 0, what was said last."""
        words = [word for each in over for word in ("--over", each)]
        found = cli.main(["sweep", str(self.recipe), "--run", str(self.folder), "--json", *words, *flags])
        out, err = self.capsys.readouterr()
        assert found == code, err
        if code:
            return {"said": err.splitlines()[-1]}
        answer: dict[str, Any] = json.loads(out)
        return answer

    def made(self) -> list[str]:
        """The stages made since the last time this was asked, `train learning_rate=0.01` …"""
        path = self.folder / "made.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    monkeypatch.setattr(points, "command", lambda folder: [sys.executable, "-c", FAKE, str(folder)])
    return Bench(tmp_path, capsys)


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {point["folder"]: point["state"] for point in answer["points"]}


def test_every_point_is_run_and_the_best_comes_first(bench: Bench) -> None:
    answer = bench.go("train.learning_rate=1e-3,1e-2,1e-1", "model.width=8,16")
    assert answer["points"][0]["folder"] == "learning_rate=0.01,width=16"
    assert set(states(answer).values()) == {"done"} and len(answer["points"]) == 6
    assert answer["best"] == "learning_rate=0.01,width=16"
    losses = [point["validation_loss"] for point in answer["points"]]
    assert losses == sorted(losses) and losses[0] == pytest.approx(2.5)
    assert {(point["step"], point["steps"], point["minutes"]) for point in answer["points"]} == {(1, 2, 2.0)}
    assert [(edge["field"], edge["direction"]) for edge in answer["edges"]] == [("model.width", "up")]
    assert json.loads((bench.folder / "sweep.json").read_text()) == {k: v for k, v in answer.items() if k != "sweep"}


def test_what_a_point_shares_with_another_is_made_once_and_stands_on_the_disk_once(bench: Bench) -> None:
    bench.go("train.learning_rate=1e-3,1e-2,1e-1")
    made = bench.made()
    assert [line for line in made if not line.startswith("train")] == [
        f"{stage} learning_rate=0.001" for stage in ("corpus", "tokenizer", "tokens")
    ]
    for stage in ("corpus", "tokenizer", "tokens"):
        for name in (f"{stage}/inner/made", f"{stage}/stage.json"):
            inodes = {
                (bench.folder / f"learning_rate={rate}" / name).stat().st_ino for rate in ("0.001", "0.01", "0.1")
            }
            assert len(inodes) == 1, name


def test_points_share_what_they_can_where_a_stage_in_between_is_swept(bench: Bench) -> None:
    answer = bench.go("tokenizer.vocab_size=300,200", "train.learning_rate=1e-3,1e-2")
    stages = [line.partition(" ")[0] for line in bench.made()]
    assert {stage: stages.count(stage) for stage in stages} == {"corpus": 1, "tokenizer": 2, "tokens": 2, "train": 4}
    assert answer["measure"] == "bits_per_byte"
    assert answer["points"][0]["settings"]["tokenizer.vocab_size"] == 200


def test_a_disk_without_hard_links_gets_copies(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    answer = bench.go("train.learning_rate=1e-3,1e-2")
    assert set(states(answer).values()) == {"done"}
    assert [line for line in bench.made() if line.startswith("corpus")] == ["corpus learning_rate=0.001"]


def test_the_same_command_again_does_nothing(bench: Bench) -> None:
    def times() -> dict[Path, int]:
        points = [path for path in bench.folder.rglob("*") if path.parent != bench.folder]
        return {path: path.stat().st_mtime_ns for path in points}

    first, before = bench.go("train.learning_rate=1e-3,1e-2"), times()
    assert len(bench.made()) == 5
    assert bench.go("train.learning_rate=1e-3,1e-2") == first
    assert bench.made() == []
    assert times() == before


def test_a_changed_grid_adds_points_and_keeps_those_that_are_there(bench: Bench) -> None:
    bench.go("train.learning_rate=1e-3,1e-2")
    bench.made()
    answer = bench.go("train.learning_rate=1e-2,1e-1")
    assert bench.made() == ["train learning_rate=0.1"]
    assert set(states(answer)) == {"learning_rate=0.001", "learning_rate=0.01", "learning_rate=0.1"}
    assert answer["over"] == {"train.learning_rate": [0.01, 0.1]}


def test_another_field_beside_keeps_the_points_that_had_the_recipes_value(bench: Bench) -> None:
    bench.go("train.learning_rate=1e-3,1e-2")
    bench.made()
    answer = bench.go("train.learning_rate=1e-2", "model.width=8,16")
    assert bench.made() == ["train learning_rate=0.01,width=16"]
    assert [(point["folder"], point["settings"]) for point in answer["points"]] == [
        ("learning_rate=0.01,width=16", {"train.learning_rate": 0.01, "model.width": 16}),
        ("learning_rate=0.01", {"train.learning_rate": 0.01, "model.width": 8}),
        ("learning_rate=0.001", {"train.learning_rate": 0.001, "model.width": 8}),
    ]


def test_other_settings_beside_the_grid_are_refused_by_name(bench: Bench) -> None:
    bench.go("train.learning_rate=1e-3")
    said = bench.go("train.learning_rate=1e-3,1e-2", flags=("--train.batch_size", "4", "--train.steps", "3"), code=2)
    assert "its points were made with other settings: " in said["said"]
    assert "[train] steps 2 → 3, [train] batch_size unset → 4. Change them back" in said["said"]
    bench.made()
    bench.go("train.learning_rate=1e-3", flags=("--train.checkpoint_steps", "7"))  # changes no weight
    assert bench.made() == []


def test_a_point_that_diverges_is_named_and_not_tried_again(bench: Bench) -> None:
    answer = bench.go("train.learning_rate=1,1e-2,1e-3")
    assert states(answer) == {
        "learning_rate=0.01": "done",
        "learning_rate=0.001": "done",
        "learning_rate=1.0": "diverged",
    }
    assert (
        "the loss is nan and the gradient's norm 1.0 at step 2: training has diverged" in answer["points"][-1]["reason"]
    )
    assert answer["edges"] == []  # what diverged was tried
    bench.made()
    assert bench.go("train.learning_rate=1,1e-2,1e-3") == answer
    assert bench.made() == []


def test_a_point_that_is_killed_is_named_and_tried_again(bench: Bench) -> None:
    answer = bench.go("model.n_layers=7,2")
    assert states(answer) == {"n_layers=2": "done", "n_layers=7": "failed"}
    assert "ended by SIGKILL, as the system does when memory runs out" in answer["points"][1]["reason"]
    bench.made()
    bench.go("model.n_layers=7,2")
    assert bench.made() == ["train n_layers=7"]


def test_where_no_point_comes_to_its_end_that_is_an_error(bench: Bench) -> None:
    said = bench.go("model.n_layers=8", code=2)["said"]
    assert "none of its points came to its end. n_layers=8 failed: [model] n_layers: 8 is too many today." in said


def test_a_stop_ends_the_sweep_and_the_same_command_goes_on(bench: Bench) -> None:
    assert bench.go("model.n_layers=2,9,3", code=130)["said"] == "tezgah: stopped. The same command goes on from here."
    assert [line for line in bench.made() if "train" in line] == ["train n_layers=2", "train n_layers=9"]
    record = json.loads((bench.folder / "sweep.json").read_text())
    assert states(record) == {"n_layers=2": "done", "n_layers=9": "unfinished", "n_layers=3": "unfinished"}
    assert states(bench.go("model.n_layers=2,3"))["n_layers=3"] == "done"


def test_a_point_can_be_run_by_itself(bench: Bench) -> None:
    bench.go("train.learning_rate=1e-3,1e-2")
    run = bench.folder / "learning_rate=0.01"
    assert cli.main(["run", str(run / "recipe.toml"), "--run", str(run)]) == 0
    assert "train: up to date" in bench.capsys.readouterr().err


def test_the_table_is_the_answer_and_nothing_else_is_on_stdout(bench: Bench) -> None:
    words = ["--over", "train.learning_rate=1e-3,1e-2"]
    assert cli.main(["sweep", str(bench.recipe), "--run", str(bench.folder), *words]) == 0
    out, err = bench.capsys.readouterr()
    assert re.match(r"learning_rate +validation loss +bits per byte +at step +minutes\n +0\.01 .* best\n", out)
    assert out.endswith(f"best  {bench.folder / 'learning_rate=0.01'}\n")
    assert "sweep: point 2 of 2, learning_rate=0.01" in err


def test_bad_input_is_one_line_and_nothing_is_touched(bench: Bench, tmp_path: Path) -> None:
    def said(*over: str, flags: tuple[str, ...] = ()) -> str:
        answer = bench.go(*over, flags=flags, code=2)
        assert not bench.folder.exists()
        return str(answer["said"])

    assert said() == "tezgah: `sweep` needs --over FIELD=VALUE,VALUE…, as in --over train.learning_rate=1e-3,3e-3."
    assert "no such field. Did you mean train.learning_rate?" in said("train.lr=1")
    missing = f"corpus.source=['{tmp_path / 'texts'}', '{tmp_path / 'nowhere'}']"
    assert "nowhere' does not exist." in said(missing)
    assert "no tokenizer there" in said(f"tokenizer.path={tmp_path / 'nowhere'}")
    assert "--over train.seed: --train.seed sets the same field" in said("train.seed=1,2", flags=("--train.seed", "3"))
    assert "are 2 budgets at once" in said("train.tokens=100,200", flags=("--train.steps", "3"))
    bench.recipe.write_text("[train]\n")
    assert "has no budget" in said("train.seed=1")
    bench.recipe.unlink()
    assert "no such recipe" in said("train.seed=1")


def test_a_folder_of_something_else_is_refused(bench: Bench) -> None:
    bench.go("train.seed=1")
    record = bench.folder / "sweep.json"
    record.write_text("{")
    assert "sweep.json: not valid JSON" in bench.go("train.seed=1", code=2)["said"]
    record.write_text('{"format": 1, "over": {}, "shared": {}, "points": []}')
    assert "sweep.json: damaged" in bench.go("train.seed=1", code=2)["said"]
    record.write_text('{"format": 99}')
    assert "format 99 is newer" in bench.go("train.seed=1", code=2)["said"]
    bench.folder = bench.folder / "seed=1"
    assert "is a run, and a sweep needs a folder of its own" in bench.go("train.seed=1", code=2)["said"]


def test_a_launcher_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "start it without a launcher" in bench.go("train.seed=1", code=2)["said"]


def test_a_point_somebody_works_in_is_waited_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tezgah.lock import locked

    monkeypatch.setattr(points, "PATIENCE_SECONDS", 0.3)
    with locked(bench.folder / "seed=1"):
        said = bench.go("train.seed=1", code=2)["said"]
    assert "seed=1 failed: " in said and "in use by another run" in said
    with pytest.raises(InputError, match="in use"), locked(tmp_path / "a"), locked(tmp_path / "a"):
        pass
    assert states(bench.go("train.seed=1")) == {"seed=1": "done"}
