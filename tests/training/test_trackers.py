"""A tracker holds what `metrics.jsonl` holds, as its own library reads it back, and never stops a training."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

import tezgah
from tezgah.training import trackers

Rows = dict[int, dict[str, Any]]  # of figures, and `samples` as a list of texts, by step
QUICK: dict[str, Any] = {"batch_size": 4, "compile": False, "threads": 1, "device": "cpu", "precision": "fp32"}
QUICK |= {"validation_batches": 1, "validation_steps": 3, "sample_tokens": 3, "sample_prompts": ["Bir <b>", ""]}
TEXTS = [f"Bir gün {n} kedi {n * n} fareyle karşılaştı.\n" * 3 for n in range(60)]


@pytest.fixture(autouse=True)
def _known_matrix_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tezgah.training.loop.matrix_rate", lambda place: 1e12)  # it takes seconds


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have told the trackers otherwise."""
    set_by_us = ["WANDB_ERROR_REPORTING", "WANDB_FINISH_TIMEOUT"]
    for name in [*set_by_us, *(name for name in os.environ if name.startswith(("WANDB_", "TRACKIO_")))]:
        monkeypatch.setenv(name, "")  # so that it is put back, or taken away, at the end
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def tokenizer() -> tezgah.Tokenizer:
    return tezgah.Tokenizer.train(TEXTS, vocab_size=300)


@pytest.fixture
def train(tokenizer: tezgah.Tokenizer, tmp_path: Path) -> Callable[..., Rows]:
    """Trains a tiny model in the same run folder, each time from where it stands; what its metrics hold then."""

    def train(steps: int, *names: str, **settings: Any) -> Rows:
        model = tezgah.new_model(tokenizer.vocab_size, n_layers=1, width=32, context_length=32)
        tezgah.train(model, tokenizer, TEXTS, tmp_path / "mine", steps=steps, trackers=names, **QUICK, **settings)
        lines = (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()
        rows: Rows = {row.pop("step"): row for row in map(json.loads, lines)}
        for row in rows.values():
            row["samples"] = [each["text"] for each in row.get("samples", [])]
        return rows

    return train


def read_tensorboard(run: Path) -> Rows:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "trackers" / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    rows: Rows = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            assert event.step not in rows or tag not in rows[event.step]
            rows.setdefault(event.step, {})[tag] = event.value
    for step in rows:
        rows[step]["samples"] = []
    for tag in sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("samples/")):
        for event in events.Tensors(tag):
            (text,) = event.tensor_proto.string_val
            lines = text.decode().removesuffix("\n").split("\n")
            assert all(line.startswith("    ") for line in lines)
            rows[event.step]["samples"].append("\n".join(line[4:] for line in lines))
    return rows


def read_wandb(run: Path) -> Rows:
    id = (run / "trackers" / "id").read_text()
    (folder,) = (run / "trackers" / "wandb").glob(f"offline-run-*-{id}")
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    rows: Rows = {}
    for record in wandb_records(folder):
        if record["type"] == "run":
            assert {name: record["run"][name] for name in ("project", "display_name", "run_id")} == {
                "project": "tezgah",
                "display_name": "mine",
                "run_id": id,
            }
            assert record["run"]["config"]["update"]["train"]["batch_size"] == 4
        if record["type"] == "history":
            item = record["history"]["item"]
            step = item.pop("_step")
            assert step not in rows
            rows[step] = {name: value for name, value in item.items() if not name.startswith(("_", "samples"))}
            rows[step]["samples"] = []
            if "samples.path" in item:
                page = (folder / "files" / item["samples.path"]).read_text()
                parts = page.replace("&lt;", "<").replace("&gt;", ">").split("</pre>")
                rows[step]["samples"] = [part.removeprefix("<pre>") for part in parts[:-1]]
    return rows


def wandb_records(folder: Path) -> list[dict[str, Any]]:
    """What `wandb leet inspect` says is in a run's file."""
    program = "from wandb.cli.cli import cli; cli()"
    done = subprocess.run(
        [sys.executable, "-c", program, "leet", "inspect", "--json", str(folder)], capture_output=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def read_trackio(run: Path) -> Rows:
    program = (
        "import json, sys; from trackio.sqlite_storage import SQLiteStorage as s; [name] = s.get_runs('tezgah');"
        "json.dump([name, s.get_logs('tezgah', name), s.get_run_config('tezgah', name)], sys.stdout)"
    )
    environment = os.environ | {"TRACKIO_DIR": str(run / "trackers" / "trackio")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    name, logs, config = json.loads(done.stdout)
    assert name == "mine"
    assert config["train"]["batch_size"] == 4
    rows: Rows = {}
    for row in logs:
        step = row.pop("step")
        assert step not in rows and row.pop("timestamp")
        samples = row.pop("samples", {"_type": "trackio.table", "_value": []})
        assert samples["_type"] == "trackio.table"
        rows[step] = row | {"samples": [each["text"] for each in samples["_value"]]}
    return rows


READ = {"tensorboard": read_tensorboard, "wandb": read_wandb, "trackio": read_trackio}


@pytest.fixture(params=READ)
def tracker(request: pytest.FixtureRequest) -> str:
    """The name of each tracker that is installed."""
    pytest.importorskip(request.param)
    return str(request.param)


def assert_equal(found: Rows, expected: Rows) -> None:
    """The same steps, figures (to a float of 32 bits, as TensorBoard keeps them) and texts."""
    assert sorted(found) == sorted(expected)
    for step, row in expected.items():
        assert found[step].pop("samples") == row["samples"], step
        assert found[step] == pytest.approx({name: each for name, each in row.items() if name != "samples"}, rel=1e-6)


def test_a_tracker_holds_every_row_and_after_a_cut_the_rows_that_stand(
    train: Callable[..., Rows], tmp_path: Path, tracker: str
) -> None:
    rows = train(5, tracker, checkpoint_steps=2)
    assert len(rows) == 6
    assert len(rows[3]["samples"]) == 2  # of two prompts
    assert_equal(READ[tracker](tmp_path / "mine"), rows)
    id = (tmp_path / "mine" / "trackers" / "id").read_text()
    shutil.rmtree(tmp_path / "mine" / "checkpoints" / "step-000005")
    again = train(7, tracker, checkpoint_steps=2)
    assert again[4] == rows[4]
    assert again[5] != rows[5]  # done again: it took another time
    assert_equal(READ[tracker](tmp_path / "mine"), again)
    assert (tmp_path / "mine" / "trackers" / "id").read_text() == id


class Recorder:
    """A tracker that keeps what it is told, and breaks where it is told to."""

    shown_by = "nobody"
    breaks_at: Any = None  # "making", a step, or "closing"

    def __init__(self, run: trackers.TrackedRun) -> None:
        self.run, self.closed = run, 0
        self.rows: list[dict[str, Any]] = []
        made.append(self)
        if self.breaks_at == "making":
            raise OSError("no\nspace")

    def add(self, row: trackers.Row) -> None:
        self.rows.append(json.loads(json.dumps(row)))
        if self.breaks_at == row["step"]:
            raise OSError("no\nspace")

    def close(self) -> None:
        self.closed += 1
        if self.breaks_at == "closing":
            raise OSError("no\nspace")


made: list[Recorder] = []  # by a test


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """Stands where TensorBoard's tracker does, whether that is installed or not."""
    monkeypatch.setattr(trackers, "find_spec", lambda name: ModuleSpec(name, None, origin=__file__))
    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", Recorder)
    monkeypatch.setattr(Recorder, "breaks_at", None)
    made.clear()
    return Recorder


def test_one_that_is_chosen_later_is_told_of_every_row_once(
    train: Callable[..., Rows], tmp_path: Path, recorder: type[Recorder], capsys: pytest.CaptureFixture[str]
) -> None:
    train(2)
    assert not (tmp_path / "mine" / "trackers").exists()
    train(4, "tensorboard", "tensorboard")
    (one,) = made
    lines = (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()
    assert one.rows == [json.loads(line) for line in lines]
    assert one.closed == 1
    assert (one.run.name, one.run.folder) == ("mine", tmp_path / "mine" / "trackers" / "tensorboard")
    assert one.run.settings["train"]["steps"] == 4
    assert "trackers: tensorboard, shown by nobody" in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("breaks_at", ["making", 0, 2, "closing"])
def test_one_that_fails_is_let_go_with_one_warning(
    train: Callable[..., Rows],
    tmp_path: Path,
    recorder: type[Recorder],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    breaks_at: Any,
) -> None:
    monkeypatch.setattr(recorder, "breaks_at", breaks_at)
    assert sorted(train(4, "tensorboard")) == [0, 1, 2, 3, 4]
    assert (tmp_path / "mine" / "model" / "model.safetensors").is_file()
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    said = "trackers: tensorboard has failed and is told no more; training goes on. (OSError: no space)"
    assert warnings == [f"warning: {said}"]
    assert len(made[0].rows) == {"making": 0, "closing": 5}.get(breaks_at, breaks_at + 1 if breaks_at in (0, 2) else 0)


def test_a_training_that_ends_badly_closes_them(train: Callable[..., Rows], recorder: type[Recorder]) -> None:
    wild = {"learning_rate": 1e30, "muon_learning_rate": 1e30, "gradient_clip": 0.0, "warmup_steps": 0}
    with pytest.raises(tezgah.InputError, match="training has diverged"):
        train(9, "tensorboard", **wild)
    assert made[0].rows
    assert made[0].closed == 1


def test_another_training_in_the_folder_has_another_id(
    train: Callable[..., Rows], tmp_path: Path, recorder: type[Recorder]
) -> None:
    train(2, "tensorboard")
    for name in ("checkpoints", "model"):
        shutil.rmtree(tmp_path / "mine" / name)
    train(2, "tensorboard", seed=2)
    first, second = made
    assert first.run.id != second.run.id
    assert len(second.rows) == 3


@pytest.mark.parametrize("spec", [None, ModuleSpec("wandb", None)], ids=["absent", "a mere folder"])
def test_one_that_is_not_installed_is_named_before_anything_is_done(
    train: Callable[..., Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: Any
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: spec if name == "wandb" else ModuleSpec(name, None))
    with pytest.raises(tezgah.InputError) as refusal:
        train(2, "wandb")
    said = "[train] trackers: wandb is not installed. `pip install 'tezgah[wandb]'`, or leave it out."
    assert str(refusal.value) == said
    assert not (tmp_path / "mine").exists()


def test_what_a_server_of_wandb_has_is_not_sent_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    asked: dict[str, Any] = {}
    logged: list[int] = []

    class Online:
        step, dir, offline, url = 3, str(tmp_path), False, "https://wandb.test/mine"

        def log(self, values: dict[str, Any], step: int, commit: bool) -> None:
            logged.append(step)

    def init(**settings: Any) -> Online:
        asked.update(settings)
        return Online()

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_MODE", "online")
    tracker = trackers.WeightsAndBiases(trackers.TrackedRun(tmp_path / "wandb", "mine", "1234", {}, 0.0))
    for step in range(5):
        tracker.add({"step": step, "seconds": 0.1 * step})
    assert logged == [3, 4]
    assert tracker.shown_by == "https://wandb.test/mine"
    assert [asked[name] for name in ("mode", "id", "resume")] == ["online", "1234", "allow"]
