"""A recipe becomes a run: its stages in order, those that are up to date left as they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tezgah.branching import begin_branch
from tezgah.changes import (
    decide,
    forget_plan,
    has_outdated_evaluation,
    is_finished,
    read_training,
    set_aside,
    settled,
    write_training,
)
from tezgah.console import say
from tezgah.crew import Crew, crew
from tezgah.errors import InputError
from tezgah.files import atomic_folder, read_json, write_text
from tezgah.lock import locked
from tezgah.recipe import Recipe, by_key, dump_recipe, filled, open_fields, recipe_tables
from tezgah.runlog import logging_to, write_versions
from tezgah.stages import STAGES, evaluation_fingerprint, is_current, stamps, write_stamp
from tezgah.training.trackers import check_trackers

# A report is drawn from these, and is up to date when it is newer.
REPORTED = (
    "recipe.toml",
    "metrics.jsonl",
    "evaluation.json",
    "corpus/card.md",
    "tokenizer/measures.json",
)


@dataclass(frozen=True)
class Stations:
    """The functions that do a stage's work; a test puts its own here."""

    folders: Mapping[str, Callable[[Recipe, Path, Path], None]]  # fill the folder given last
    train: Callable[[Recipe, Path, str], dict[str, float]]
    evaluate: Callable[[Recipe, Path, str], dict[str, Any]]
    report: Callable[[Path], None]
    check_start: Callable[[Recipe, Path], None] = lambda recipe, run: None  # before a training begins
    choose: Callable[[Recipe, Path], dict[str, Any]] = lambda recipe, run: {}  # what the recipe leaves open, by key


@dataclass
class RunResult:
    """What a run came to: its folder, the stages that were done now, and the evaluation if its model has one."""

    folder: Path
    made: list[str] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None


def run(
    recipe: Recipe,
    folder: Path,
    only: str | None = None,
    restart: bool = False,
    stations: Stations | None = None,
    branch: Path | None = None,
    is_profiled: bool = False,
) -> RunResult:
    """Bring `folder` up to date with `recipe`, or one stage of it.

    `restart` begins training anew, whatever there is of it, or makes the stage named by `only`
    once more. Earlier training is never deleted: it moves to `previous/`. With `branch`, a checkpoint
    of another run, training begins where that stands. `is_profiled` writes `profile/`, where a step's
    time goes. Raises InputError before anything is touched when the recipe does not fit an unfinished
    training, or nothing of it is left to profile.
    """
    if only is not None and only not in STAGES:
        raise InputError(f"--only {only}: no such stage. The stages are {', '.join(STAGES)}.")
    stations = stations or real_stations(is_profiled)
    with crew(recipe.train) as members:
        if not members.is_first:
            members.follow(lambda: _train_along(recipe, folder, stations))
            return RunResult(folder)
        due = _Run(recipe, folder, only, restart, stations, members)  # refuses a missing source
        with locked(folder):
            if branch is not None:
                begin_branch(branch, recipe, folder)
                due.settle()
            due.check()
            if is_profiled and not due.trains():
                raise InputError(
                    f"{folder}: --profile watches training, and there is no step left to train. "
                    "Give it a larger budget, --restart, or another --run."
                )
            return due.run()


def is_up_to_date(recipe: Recipe, folder: Path) -> bool:
    """Whether a run has nothing left to do. Raises InputError where the recipe does not fit its training."""
    run = _Run(recipe, folder, None, False, real_stations(), Crew(True, lambda word: word))
    run.check()
    return not run.is_anything_due()


def _train_along(recipe: Recipe, folder: Path, stations: Stations) -> None:
    """The part of a process that is not the first."""
    training = read_training(folder)
    assert training is not None  # written before the others are called
    stations.train(filled(recipe, training.chosen), folder, training.fingerprint)


def real_stations(is_profiled: bool = False) -> Stations:
    """The rooms' own work; with `is_profiled`, steps of the training are profiled."""
    from tezgah import stations

    def report(folder: Path) -> None:
        from tezgah.training.report import write_report

        write_report(folder, has_outdated_evaluation(folder))

    folders = {"corpus": stations.make_corpus, "tokenizer": stations.make_tokenizer, "tokens": stations.make_tokens}
    train = partial(stations.train_model, is_profiled=is_profiled)
    return Stations(folders, train, stations.evaluate_model, report, stations.check_start, stations.choose)


class _Run:
    """One pass over the stages of a run folder that is ours for the time being."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        only: str | None,
        restart: bool,
        stations: Stations,
        crew: Crew,
    ) -> None:
        self.told, self.folder, self.only, self.restart = recipe, folder, only, restart
        self.stations, self.crew = stations, crew
        self.result = RunResult(folder)
        self.settle()

    def settle(self) -> None:
        """Take what the recipe leaves open from the training in the folder, unless another is to begin."""
        begins = self.restart and self.only in (None, "train")
        self._take(self.told if begins else settled(self.told, self.folder))

    def check(self) -> None:
        """Refuse a recipe that the folder's training may not go on with, before anything is touched."""
        if self.only not in ("evaluate", "report") and not (self.restart and self.only in (None, "train")):
            decide(self.folder, self.recipe, self.stamps["train"])

    def _take(self, recipe: Recipe) -> None:
        """Go by this recipe from here on."""
        self.recipe, self.stamps = recipe, stamps(recipe, self.folder)

    def run(self) -> RunResult:
        """Do what is due, and say in one line each what is not."""
        wanted = STAGES if self.only is None else (self.only,)
        if self.only:
            self._check_before(self.only)
        if not self.is_anything_due():
            for stage in wanted:
                say(f"{stage}: up to date")
        else:
            if "train" in wanted and self._is_due("train"):
                check_trackers(self.recipe.train)
                if self._begins_anew():
                    self.stations.check_start(self.recipe, self.folder)
            if self.only != "report":
                self._write_recipe()
            with logging_to(self.folder):
                for stage in wanted:
                    self._do(stage)
        if (self.folder / "evaluation.json").is_file() and not has_outdated_evaluation(self.folder):
            self.result.evaluation = read_json(self.folder / "evaluation.json")
        return self.result

    def is_anything_due(self) -> bool:
        """Whether one of the stages wanted has work to do."""
        return any(self._is_due(stage) for stage in (STAGES if self.only is None else (self.only,)))

    def trains(self) -> bool:
        """Whether there is training to do."""
        return self.only in (None, "train") and self._is_due("train")

    def _do(self, stage: str) -> None:
        if not self._is_due(stage):
            say(f"{stage}: up to date")
            return
        say(f"{stage}: begins")
        if stage in self.stations.folders:
            with atomic_folder(self.folder / stage) as made:
                self.stations.folders[stage](self.recipe, self.folder, made)
                write_stamp(made, self.stamps[stage])
        elif stage == "train":
            self._train()
        elif stage == "evaluate":
            self.stations.evaluate(self.recipe, self.folder, self._evaluation_fingerprint())
        else:
            self.stations.report(self.folder)
        self.result.made.append(stage)

    def _train(self) -> None:
        if self._begins_anew():
            aside = set_aside(self.folder)
            if aside:
                say(f"train: the earlier training is kept in {aside}")
            self.settle()
        if self.restart:
            forget_plan(self.folder)
        chosen = self._choose()
        stamp = self.stamps["train"]
        write_training(self.folder, self.recipe, stamp, chosen)
        reached = self.crew.together(lambda: self.stations.train(self.recipe, self.folder, stamp.fingerprint))
        write_training(self.folder, self.recipe, stamp, chosen, reached)

    def _choose(self) -> dict[str, Any]:
        """What was chosen for this training where its recipe leaves a field open: now, or when it began."""
        if not open_fields(self.recipe):
            before = None if self.restart else read_training(self.folder)
            stands = by_key(recipe_tables(self.recipe))
            return {key: value for key, value in (before.chosen if before else {}).items() if stands.get(key) == value}
        chosen = self.stations.choose(self.recipe, self.folder)
        if chosen:
            self._take(filled(self.recipe, chosen))
            self._write_recipe()
        return chosen

    def _begins_anew(self) -> bool:
        return self.restart or decide(self.folder, self.recipe, self.stamps["train"]) == "anew"

    def _is_due(self, stage: str) -> bool:
        if self.restart and stage == (self.only or "train"):
            return True
        if stage in self.stations.folders:
            return not is_current(self.folder / stage, self.stamps[stage])
        if stage == "train":
            return not self._is_trained()
        if stage == "evaluate":
            return not self._is_trained() or not self._is_evaluated()
        return bool(self.result.made) or self._is_older("report.html")

    def _is_trained(self) -> bool:
        if not is_finished(self.folder, read_training(self.folder)):
            return False
        return decide(self.folder, self.recipe, self.stamps["train"]) == "done"

    def _is_evaluated(self) -> bool:
        path = self.folder / "evaluation.json"
        if not path.is_file():
            return False
        found = read_json(path)
        return isinstance(found, dict) and found.get("fingerprint") == self._evaluation_fingerprint()

    def _evaluation_fingerprint(self) -> str:
        training = read_training(self.folder)
        assert training is not None and training.reached is not None
        return evaluation_fingerprint(self.stamps["train"].fingerprint, int(training.reached["steps"]))

    def _is_older(self, name: str) -> bool:
        path = self.folder / name
        sources = [self.folder / source for source in REPORTED if (self.folder / source).exists()]
        return not path.exists() or any(source.stat().st_mtime_ns > path.stat().st_mtime_ns for source in sources)

    def _check_before(self, only: str) -> None:
        """Refuse to do one stage where an earlier one is not what the recipe says."""
        before = () if only == "report" else STAGES[: STAGES.index(only)]
        for stage in before:
            if self._is_due(stage):
                raise InputError(
                    f"{self.folder}: {only} needs the {stage} stage, which is not there or was made by another recipe. "
                    f"Run without --only, or with --only {stage} first."
                )

    def _write_recipe(self) -> None:
        """`recipe.toml` and `versions.json` of what is about to be done; left as they are where equal."""
        path, text = self.folder / "recipe.toml", dump_recipe(self.recipe)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
        write_versions(self.folder)
