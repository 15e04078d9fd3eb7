"""A run does what is due and nothing else, and never loses what was trained before.

The stages' work is done by small fakes here; the real rooms are in test_whole_run.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tezgah.changes import has_weights, read_training
from tezgah.errors import InputError
from tezgah.files import write_json, write_text
from tezgah.lock import locked
from tezgah.pipeline import Stations, run
from tezgah.recipe import Recipe, make_recipe, recipe_fields
from tezgah.stages import BUDGET, DISPLAY, STAGES, stamps

ALL = list(STAGES)
FROM_TRAINING = ["train", "evaluate", "report"]


class Fakes:
    """Stations that write a file each and remember that they were asked; `stops_at` interrupts one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stops_at = ""
        self.chooses: dict[str, Any] = {}
        self.times_chosen = 0
        self.trained: Recipe | None = None

    def stations(self) -> Stations:
        """These fakes, as the pipeline takes them."""
        folders = {stage: self._folder(stage) for stage in ("corpus", "tokenizer", "tokens")}
        return Stations(folders, self._train, self._evaluate, self._report, choose=self._choose)

    def _choose(self, recipe: Recipe, run: Path) -> dict[str, Any]:
        self.times_chosen += 1
        return self.chooses

    def _folder(self, stage: str) -> Any:
        def make(recipe: Recipe, run: Path, folder: Path) -> None:
            self._ask(stage)
            write_text(folder / "made", stage)
            self._stop(stage)

        return make

    def _train(self, recipe: Recipe, run: Path, fingerprint: str) -> dict[str, float]:
        self._ask("train")
        self.trained = recipe
        before = len(list((run / "checkpoints").glob("step-*")))
        write_json(run / "checkpoints" / f"step-{before + 1:06d}" / "config.json", {})
        write_text(run / "metrics.jsonl", '{"step": 1}\n' * (before + 1))
        self._stop("train")
        write_json(run / "model" / "config.json", {})
        told = recipe.train
        steps = told.steps or (told.tokens or 0) / 100 or 10 * (told.epochs or 0)
        return {"steps": steps, "tokens": steps * 100, "epochs": steps / 10, "minutes": steps / 60}

    def _evaluate(self, recipe: Recipe, run: Path, fingerprint: str) -> dict[str, Any]:
        self._ask("evaluate")
        evaluation = {"format": 1, "fingerprint": fingerprint, "bits_per_byte": 2.0, "baselines": {}}
        write_json(run / "evaluation.json", evaluation)
        return {}

    def _report(self, run: Path) -> None:
        self._ask("report")
        write_text(run / "report.html", "")

    def _ask(self, stage: str) -> None:
        self.asked.append(stage)

    def _stop(self, stage: str) -> None:
        if stage == self.stops_at:
            raise KeyboardInterrupt


class Bench:
    """A run folder, a source folder, and a recipe to change."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.source = folder / "texts"
        self.source.mkdir()
        (self.source / "a.txt").write_text("bir iki üç\n")
        self.tables: dict[str, Any] = {
            "corpus": {"source": str(self.source)},
            "model": {"n_layers": 2, "width": 32},
            "train": {"steps": 10},
        }
        self.chooses: dict[str, Any] = {}
        self.last = Fakes()

    def go(self, only: str | None = None, restart: bool = False, stops_at: str = "", **changed: Any) -> list[str]:
        """Run with fields changed (`train__seed=2`), and say which stages were asked to work."""
        self.last = fakes = Fakes()
        fakes.stops_at, fakes.chooses = stops_at, self.chooses
        overrides = {key.replace("__", "."): value for key, value in changed.items()}
        try:
            run(make_recipe(self.tables, overrides), self.run, only, restart, fakes.stations())
        except KeyboardInterrupt:
            assert stops_at
        return fakes.asked

    def files(self) -> dict[str, bytes]:
        """Every file of the run folder but the lock and the log."""
        found = (path for path in sorted(self.run.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.run)): path.read_bytes() for path in found if path.name != ".lock"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_run_does_every_stage_once_and_then_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.go() == ALL
    before = bench.files()
    capsys.readouterr()
    assert bench.go() == []
    assert bench.files() == before
    assert capsys.readouterr().err.splitlines() == [f"{stage}: up to date" for stage in STAGES]


def test_the_run_folder_says_how_it_was_made(bench: Bench) -> None:
    bench.go()
    recipe = make_recipe(bench.tables)
    assert make_recipe(tomllib.loads((bench.run / "recipe.toml").read_text())) == recipe
    versions = json.loads((bench.run / "versions.json").read_text())
    assert versions["python"] == sys.version.split()[0]
    assert {"torch", "numpy", "pyarrow"} <= set(versions["packages"])
    log = [json.loads(line) for line in (bench.run / "log.jsonl").read_text().splitlines()]
    assert [row["event"] for row in log] == ["start", *["message"] * 6, "done"]
    stamp = json.loads((bench.run / "tokens" / "stage.json").read_text())
    assert set(stamp) == {"format", "fingerprint", "inputs"}
    assert stamp["inputs"]["settings"] == {"tokens.shard_tokens": 100_000_000}


# What a change of each table's fields redoes, with what follows; display settings and budgets redo nothing.
REDONE = {"corpus": ALL[:4], "tokenizer": ALL[1:4], "tokens": ALL[2:4], "model": ["train"], "train": ["train"]}
REDONE |= {"tokens.mode": ALL[:4], "tokens.documents": ["train"], "tokens.stride": ["train"]}
REDONE |= {"tokens.fim_rate": ALL[1:4]}
OTHER: dict[str, Any] = {
    "corpus.on_error": "skip",
    "corpus.split": "hash",
    "tokenizer.algorithm": "characters",
    "tokenizer.split": "digits",
    "tokenizer.normalize": "nfc",
    "tokenizer.path": __file__,
}
OTHER |= {"tokens.mode": "stream", "tokens.documents": "separate"}
OTHER |= {"model.shape": "gpt2", "model.size": "tiny", "model.tied": True, "train.optimizer": "adamw"}
OTHER |= {"train.schedule": "cosine", "train.device": "cpu", "train.precision": "fp32", "train.on_divergence": "skip"}
OTHER |= {"train.trackers": ["wandb"], "train.sharding": "full", "train.start": "pairs", "corpus.temperature": 2.0}
REDONE |= {"corpus.weights": ["train"], "corpus.temperature": ["train"]}
OTHER |= {"model.objective": "mlm", "masking.unit": "span", "masking.span_length": 2.0}
REDONE |= {"masking": [], "model.objective": ["tokenizer", "tokens", "train"]}  # masks matter where they are learned
OTHER |= {"corpus.include": ["*.txt"], "corpus.keep_columns": ["x"], "corpus.split_key": "x", "corpus.text_column": "x"}


@pytest.mark.parametrize("key", [key for key in recipe_fields() if key not in ("corpus.source", "model.from")])
def test_a_changed_field_redoes_what_depends_on_it_and_nothing_before(bench: Bench, key: str) -> None:
    field = recipe_fields()[key]
    changed: Any = OTHER.get(key, not field.default if field.takes(bool) else ["x"] if field.takes(tuple) else 0.25)
    if key not in OTHER and field.takes(int):
        changed = 7
    if key == "corpus.weights":
        changed = {str(bench.source): 2.0}
    before = stamps(make_recipe(bench.tables))
    after = stamps(make_recipe(bench.tables, {key: changed}))
    redone = [stage for stage in before if before[stage] != after[stage]]
    if key in DISPLAY | BUDGET:
        assert redone == []
    else:
        assert redone == REDONE.get(key, REDONE[field.table])


def test_the_seed_matters_to_tokens_where_it_chooses_what_is_to_be_filled_in(bench: Bench) -> None:
    bench.tables["tokens"] = {"fim_rate": 0.5}
    before = stamps(make_recipe(bench.tables))
    after = stamps(make_recipe(bench.tables, {"train.seed": 7}))
    assert [stage for stage in before if before[stage] != after[stage]] == ["tokens", "train"]
    other = stamps(make_recipe(bench.tables, {"tokens.fim_rate": 0.6}))
    assert [stage for stage in before if before[stage] != other[stage]] == ["tokens", "train"]


@pytest.mark.parametrize(("first", "then", "said"), [("0", "0.5", "0.0 → 0.5"), ("0.5", "0", "0.5 → 0.0")])
def test_an_unfinished_training_names_a_changed_share_of_filling_in(
    bench: Bench, first: str, then: str, said: str
) -> None:
    bench.go(stops_at="train", tokens__fim_rate=first)
    with pytest.raises(InputError, match=re.escape(f"[tokens] fim_rate {said}.")):
        bench.go(tokens__fim_rate=then)


def test_an_unfinished_training_from_before_a_field_existed_goes_on(bench: Bench) -> None:
    bench.go(stops_at="train")
    path = bench.run / "checkpoints" / "stage.json"
    record = json.loads(path.read_text())
    del record["recipe"]["tokens"]["fim_rate"]
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="has changed: .train. seed 1 → 7. Change"):
        bench.go(train__seed="7")
    assert bench.go() == FROM_TRAINING


def test_a_display_setting_leaves_a_finished_run_as_it_is(bench: Bench) -> None:
    bench.go()
    assert bench.go(train__keep_checkpoints=1, train__sample_prompts="Bir", evaluate__batch_size=4) == []


@pytest.mark.parametrize("stops_at", [None, "train"])
def test_a_tracker_that_is_not_installed_stops_a_training_before_anything_is_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stops_at: str | None
) -> None:
    monkeypatch.setattr("tezgah.training.trackers.find_spec", lambda name: None)
    if stops_at:  # one that would go on
        bench.go(stops_at=stops_at)
    before = bench.files()
    with pytest.raises(InputError, match=r"\[train\] trackers: trackio is not installed."):
        bench.go(train__trackers="trackio")
    assert bench.files() == before


def test_a_changed_input_file_is_seen(bench: Bench) -> None:
    bench.go()
    (bench.source / "b.txt").write_text("dört\n")
    assert bench.go() == ALL
    os.utime(bench.source / "b.txt", ns=(1, 1))
    assert bench.go() == ALL
    assert bench.go() == []


def test_the_contents_of_a_ready_tokenizer_count_and_its_time_does_not(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    bench.tables["tokenizer"] = {"path": str(path)}
    bench.go()
    os.utime(path, ns=(1, 1))
    assert bench.go() == []
    assert bench.go(tokenizer__vocab_size=300) == []  # nothing is trained, so it does not matter
    path.write_text("{} ")
    assert bench.go() == ALL[1:]
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')  # it decides the separator
    assert bench.go() == ALL[1:]
    bench.tables["tokenizer"] = {"path": str(tmp_path)}
    assert bench.go() == ALL[1:]
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "[SEP]"}')
    assert bench.go() == ALL[1:]
    assert bench.go() == []
    with pytest.raises(InputError, match="no tokenizer there"):
        bench.go(tokenizer__path=str(tmp_path / "nowhere"))


def test_a_finished_training_is_set_aside_before_another_begins(bench: Bench) -> None:
    bench.go()
    first = bench.files()
    assert bench.go(train__seed=2) == FROM_TRAINING
    moved = bench.files()
    for name in ("metrics.jsonl", "evaluation.json", "report.html", "checkpoints/stage.json", "model/config.json"):
        assert moved[f"previous/1/{name}"] == first[name]
    assert moved["previous/1/recipe.toml"] == first["recipe.toml"]
    bench.go(train__seed=3)
    assert tomllib.loads((bench.run / "previous/2/recipe.toml").read_text())["train"]["seed"] == 2


def test_a_larger_budget_goes_on(bench: Bench) -> None:
    bench.go()
    assert bench.go(train__steps=20) == FROM_TRAINING
    assert bench.go(train__steps=20) == []
    assert not (bench.run / "previous").exists()
    assert len(list((bench.run / "checkpoints").glob("step-*"))) == 2


@pytest.mark.parametrize(
    ("unit", "amount", "goes_on"), [("epochs", 1.1, True), ("tokens", 1200, True), ("epochs", 0.9, False)]
)
def test_a_budget_in_another_unit_is_held_to_what_was_reached(
    bench: Bench, unit: str, amount: float, goes_on: bool
) -> None:
    bench.go()
    budget: Any = {f"train__{unit}": amount}
    assert bench.go(**budget) == FROM_TRAINING
    assert (bench.run / "previous" / "1").exists() is not goes_on


def test_an_evaluation_is_shown_for_its_own_model_alone(bench: Bench) -> None:
    def shown(only: str, steps: int) -> bool:
        recipe = make_recipe(bench.tables, {"train.steps": steps})
        return run(recipe, bench.run, only, stations=Fakes().stations()).evaluation is not None

    bench.go()
    assert shown("report", 10)
    bench.go(train__steps=20, stops_at="train")
    assert not shown("report", 20)
    assert not shown("train", 20)
    assert not shown("report", 20)
    assert shown("evaluate", 20)
    assert shown("report", 20)


def test_a_smaller_budget_is_a_change(bench: Bench) -> None:
    bench.go()
    assert bench.go(train__steps=5) == FROM_TRAINING
    assert (bench.run / "previous" / "1" / "model").is_dir()


def test_an_unfinished_training_goes_on_with_the_same_recipe(bench: Bench) -> None:
    assert bench.go(stops_at="train") == ALL[:4]
    assert bench.go() == FROM_TRAINING
    assert not (bench.run / "previous").exists()


@pytest.mark.parametrize("changed", [{"train__steps": 20}, {"train__keep_checkpoints": 1, "train__threads": 2}])
def test_an_unfinished_training_goes_on_with_a_larger_budget_or_another_display(bench: Bench, changed: Any) -> None:
    bench.go(stops_at="train")
    assert bench.go(**changed) == FROM_TRAINING
    assert not (bench.run / "previous").exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"train__seed": 2}, "[train] seed 1 → 2."),
        ({"train__steps": 5}, "[train] steps = 10 → steps = 5."),
        ({"train__minutes": 5}, "[train] steps = 10 → minutes = 5.0."),
        ({"model__n_heads": 4, "train__seed": 2}, "[model] n_heads unset → 4, [train] seed 1 → 2."),
        ({"corpus__validation_ratio": 0.2}, "[corpus] validation_ratio 0.1 → 0.2."),
    ],
)
def test_an_unfinished_training_refuses_a_changed_recipe_and_nothing_is_touched(
    bench: Bench, changed: dict[str, Any], named: str
) -> None:
    bench.go(stops_at="train")
    before = bench.files()
    with pytest.raises(InputError) as refusal:
        bench.go(**changed)
    line = str(refusal.value)
    assert line.startswith(f"{bench.run}: its training has not finished, and the recipe has changed: {named}")
    assert "--restart" in line and "--run" in line and "\n" not in line
    assert bench.files() == before


def test_an_unfinished_training_refuses_other_input_files(bench: Bench) -> None:
    bench.go(stops_at="train")
    (bench.source / "b.txt").write_text("dört\n")
    with pytest.raises(InputError, match="the input files are others than they were"):
        bench.go()


def test_a_training_without_a_checkpoint_is_nothing_to_lose(bench: Bench) -> None:
    bench.go(stops_at="train")
    (bench.run / "checkpoints" / "step-000001" / "config.json").unlink()
    (bench.run / "checkpoints" / "step-000001").rmdir()
    assert not has_weights(bench.run)
    assert bench.go(train__seed=2) == FROM_TRAINING
    assert not (bench.run / "previous").exists()


def test_restart_begins_training_anew_and_keeps_the_earlier_one(bench: Bench) -> None:
    bench.go(stops_at="train")
    assert bench.go(restart=True, train__seed=2) == FROM_TRAINING
    assert bench.go(restart=True, train__seed=2) == FROM_TRAINING
    assert sorted(folder.name for folder in (bench.run / "previous").iterdir()) == ["1", "2"]


def test_restart_forgets_the_plan_of_a_training_that_left_no_weights(bench: Bench) -> None:
    bench.go(stops_at="train")
    shutil.rmtree(bench.run / "checkpoints" / "step-000001")
    plan = bench.run / "checkpoints" / "plan.json"
    write_json(plan, {})
    bench.go(stops_at="train")
    assert plan.exists()  # the same training keeps its number of steps
    shutil.rmtree(bench.run / "checkpoints" / "step-000001")
    assert bench.go(restart=True) == FROM_TRAINING
    assert not plan.exists()


def test_setting_aside_goes_on_where_it_was_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.go()
    replace, moves = os.replace, []

    def stopping(source: Any, target: Any) -> None:
        if ".1.part" in str(target) and Path(source).parent == bench.run:
            moves.append(source)
            if len(moves) == 3:
                raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(make_recipe(bench.tables, {"train.seed": 2}), bench.run, stations=Fakes().stations())
    monkeypatch.undo()
    assert bench.go(train__seed=2) == FROM_TRAINING
    (previous,) = (bench.run / "previous").iterdir()
    assert {path.name for path in previous.iterdir()} == {
        "checkpoints",
        "model",
        "metrics.jsonl",
        "evaluation.json",
        "report.html",
        "recipe.toml",
    }


def test_checkpoints_may_be_deleted_after_training(bench: Bench) -> None:
    bench.go()
    shutil.rmtree(bench.run / "checkpoints")
    assert bench.go() == []
    training = read_training(bench.run)
    assert training and training.reached and training.reached["steps"] == 10


@pytest.mark.parametrize("deleted", ["checkpoints", "checkpoints/step-000001"])
def test_a_larger_budget_without_a_checkpoint_keeps_the_finished_training(bench: Bench, deleted: str) -> None:
    bench.go()
    first = bench.files()
    shutil.rmtree(bench.run / deleted)
    assert bench.go(train__steps=20) == FROM_TRAINING
    moved = bench.files()
    for name in ("metrics.jsonl", "evaluation.json", "model/config.json", "model/stage.json", "recipe.toml"):
        assert moved[f"previous/1/{name}"] == first[name]


def test_a_model_is_kept_where_going_on_lost_its_checkpoints(bench: Bench) -> None:
    bench.go()
    first = bench.files()
    bench.go(train__steps=20, stops_at="train")
    for folder in (bench.run / "checkpoints").glob("step-*"):
        shutil.rmtree(folder)
    assert bench.go(train__steps=20) == FROM_TRAINING
    assert bench.files()["previous/1/model/config.json"] == first["model/config.json"]


def test_a_stage_that_was_stopped_leaves_the_one_before_whole(bench: Bench) -> None:
    bench.go()
    before = bench.files()
    bench.go(stops_at="tokenizer", tokenizer__vocab_size=300)
    after = bench.files()
    for name in before:
        if name not in ("recipe.toml", "log.jsonl"):
            assert after[name] == before[name]
    assert not [path for path in bench.run.iterdir() if path.name.endswith(".part")]


def test_only_does_one_stage_and_needs_those_before(bench: Bench) -> None:
    with pytest.raises(InputError, match="tokens needs the corpus stage"):
        bench.go(only="tokens")
    assert bench.go(only="corpus") == ["corpus"]
    assert bench.go(only="tokenizer") == ["tokenizer"]
    assert bench.go(only="tokenizer") == []
    assert bench.go(only="tokenizer", restart=True) == ["tokenizer"]
    with pytest.raises(InputError, match="evaluate needs the tokens stage"):
        bench.go(only="evaluate")
    with pytest.raises(InputError, match="no such stage"):
        bench.go(only="trian")
    assert bench.go() == ["tokens", "train", "evaluate", "report"]
    assert bench.go(only="report", restart=True) == ["report"]


def test_only_an_early_stage_still_guards_an_unfinished_training(bench: Bench) -> None:
    bench.go(stops_at="train")
    with pytest.raises(InputError, match="has not finished"):
        bench.go(only="corpus", corpus__validation_ratio=0.3)


def test_a_run_in_use_is_refused(bench: Bench) -> None:
    bench.go()
    code = "import sys; from pathlib import Path; from tezgah.lock import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); input()"
    holder = [sys.executable, "-c", code, str(bench.run)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="in use by another run"):
            bench.go()
        process.communicate("\n")
    with locked(bench.run):
        pass


def test_a_stage_of_a_newer_format_is_refused(bench: Bench) -> None:
    bench.go()
    path = bench.run / "tokens" / "stage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(InputError, match="format 99 is newer"):
        bench.go()


def test_a_stage_whose_stamp_is_damaged_is_made_anew(bench: Bench) -> None:
    bench.go()
    (bench.run / "corpus" / "stage.json").write_text("{")
    assert bench.go() == ["corpus", "report"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_model_that_no_run_left_is_never_moved(bench: Bench, restart: bool) -> None:
    write_text(bench.run / "model" / "mine", "")
    with pytest.raises(InputError, match="did not write"):
        bench.go(restart=restart)
    assert (bench.run / "model" / "mine").is_file()


def test_a_missing_source_makes_no_run_folder(bench: Bench) -> None:
    with pytest.raises(InputError, match="does not exist"):
        bench.go(corpus__source=str(bench.source / "nowhere"))
    assert not bench.run.exists()


def test_what_went_wrong_stands_in_the_log(bench: Bench) -> None:
    fakes = Fakes().stations()
    full = InputError(os.fsdecode(b"caf\xe9") + ": the disk is full.")

    def fail(recipe: Recipe, run: Path, folder: Path) -> None:
        raise full

    failing = Stations({**fakes.folders, "tokens": fail}, fakes.train, fakes.evaluate, fakes.report)
    with pytest.raises(InputError):
        run(make_recipe(bench.tables), bench.run, stations=failing)
    log = [json.loads(line) for line in (bench.run / "log.jsonl").read_text().splitlines()]
    assert [row["event"] for row in log[-2:]] == ["error", "failed"]
    assert log[-2]["message"] == "InputError: caf\udce9: the disk is full."


def test_every_field_named_as_display_exists() -> None:
    assert set(recipe_fields()) >= DISPLAY | BUDGET


@pytest.fixture
def open_bench(bench: Bench) -> Bench:
    """A recipe that leaves size, batch and rates open, and what is chosen for it."""
    bench.tables |= {"model": {"size": "auto"}, "train": {"tokens": 1_000}}
    bench.chooses = {"model.n_layers": 3, "model.width": 192, "model.n_heads": 3, "train.batch_size": 4}
    bench.chooses |= {"train.micro_batch_size": 0, "train.learning_rate": 3e-3, "train.muon_learning_rate": 0.02}
    bench.chooses |= {"train.weight_decay": 0.1, "train.max_epochs": 4.0}
    return bench


def test_what_is_left_open_is_chosen_once_and_stands_in_the_run_folder(open_bench: Bench) -> None:
    assert open_bench.go() == ALL
    assert open_bench.last.times_chosen == 1
    trained = open_bench.last.trained
    assert trained and (trained.model.size, trained.model.width, trained.train.batch_size) == ("", 192, 4)
    written = make_recipe(tomllib.loads((open_bench.run / "recipe.toml").read_text()))
    assert written == trained
    record = read_training(open_bench.run)
    assert record and record.chosen == open_bench.chooses
    before = open_bench.files()
    assert open_bench.go() == [] and open_bench.last.times_chosen == 0
    run(written, open_bench.run, stations=open_bench.last.stations())  # its own resolved recipe is the same training
    assert open_bench.files() == before and open_bench.last.asked == []


@pytest.mark.parametrize("changed", [{}, {"train__tokens": 2_000}, {"train__threads": 2}])
def test_a_training_that_goes_on_never_chooses_again(open_bench: Bench, changed: Any) -> None:
    open_bench.go(stops_at="train")
    first = open_bench.last.trained
    open_bench.chooses = {"model.n_layers": 9}
    assert open_bench.go(**changed) == FROM_TRAINING
    assert open_bench.last.times_chosen == 0
    assert first and open_bench.last.trained and open_bench.last.trained.model == first.model
    assert open_bench.go(**changed) == [] and open_bench.go(train__tokens=3_000) == FROM_TRAINING
    assert open_bench.last.times_chosen == 0


def test_a_training_killed_before_its_first_checkpoint_keeps_what_was_chosen(open_bench: Bench) -> None:
    open_bench.go(stops_at="train")
    shutil.rmtree(open_bench.run / "checkpoints" / "step-000001")
    assert open_bench.go() == FROM_TRAINING and open_bench.last.times_chosen == 0
    assert open_bench.last.trained and open_bench.last.trained.model.width == 192


def test_another_training_chooses_for_itself(open_bench: Bench) -> None:
    open_bench.go()
    open_bench.chooses = open_bench.chooses | {"model.n_layers": 5}
    changes: list[Any] = [{"train__seed": 2}, {"train__seed": 2, "train__tokens": 500}]
    for changed in changes:
        assert open_bench.go(**changed) == FROM_TRAINING and open_bench.last.times_chosen == 1
        assert open_bench.last.trained and open_bench.last.trained.model.n_layers == 5
    assert open_bench.go(restart=True) == FROM_TRAINING and open_bench.last.times_chosen == 1
    (open_bench.source / "b.txt").write_text("dört\n")
    assert open_bench.go() == ALL and open_bench.last.times_chosen == 1


def test_of_an_open_recipe_a_refusal_names_what_has_changed_and_no_more(open_bench: Bench) -> None:
    open_bench.go(stops_at="train")
    with pytest.raises(InputError, match=r"the recipe has changed: \[train\] seed 1 → 2\. Change"):
        open_bench.go(train__seed=2)
    with pytest.raises(InputError, match=r"the recipe has changed: \[train\] batch_size 4 → 8\. Change"):
        open_bench.go(train__batch_size=8)
    assert open_bench.go(train__batch_size=4) == FROM_TRAINING  # stated as it was chosen


def test_checkpoints_deleted_to_save_space_leave_a_chosen_run_done(open_bench: Bench) -> None:
    open_bench.go()
    shutil.rmtree(open_bench.run / "checkpoints")
    assert open_bench.go() == [] and open_bench.last.times_chosen == 0
