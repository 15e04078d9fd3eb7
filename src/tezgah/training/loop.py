"""The training loop: from sequences to a trained model, a function of the step alone.

Read `train` first: it sets the scene; then `Stepper.step` in step.py, the whole way of a batch. Which
sequences a step reads, its learning rate and its dropout follow from (seed, step), so resuming is
loading the weights and the optimizer and going on.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import record_function

from tezgah.console import Progress, progress, say, warn
from tezgah.errors import Diverged, InputError
from tezgah.files import write_json
from tezgah.models.checkpoint import save_model
from tezgah.models.cost import flops_per_token
from tezgah.models.language import LanguageModel
from tezgah.starting import checkpoints
from tezgah.training.allocator import keep_freed_memory
from tezgah.training.best import Best
from tezgah.training.checkpoint import TrainingState, resume
from tezgah.training.checks import check_before_training, check_initial_loss, check_state, out_of_memory
from tezgah.training.clock import Clock
from tezgah.training.first_weights import start_from_counts
from tezgah.training.float8 import check_float8, multiplying_in_float8
from tezgah.training.journal import Journal
from tezgah.training.metrics import read_metrics
from tezgah.training.place import Place, choose_place, matrix_rate
from tezgah.training.planning import plan_training
from tezgah.training.profile import READ, naming_kernels, profiled
from tezgah.training.reader import Callbacks, Data, Reader
from tezgah.training.saving import Checkpoints
from tezgah.training.settings import TrainSettings
from tezgah.training.sharding import whole_model
from tezgah.training.signals import StopWish, stop_wish
from tezgah.training.space import with_space
from tezgah.training.step import Stepper, why_left_out
from tezgah.training.trackers import Trackers
from tezgah.training.view import View, opening, told_epoch
from tezgah.training.world import World, begin, end, join_world, lost_process


@dataclass(frozen=True)
class TrainResult:
    """Where training ended."""

    steps: int
    seconds: float


def train(
    model: LanguageModel,
    data: Data,
    settings: TrainSettings,
    run: Path,
    fingerprint: str,
    callbacks: Callbacks,
    is_profiled: bool = False,
) -> TrainResult:
    """Train `model` in place, from the newest checkpoint in `run` if there is one, to the budget's end.

    Writes `metrics.jsonl`, `checkpoints/` and at the end `model/`. `fingerprint` names everything
    the weights depend on; a checkpoint of another one is refused. With `is_profiled` some steps
    are profiled into `profile/`. Raises InputError for settings or data that cannot work, Diverged
    when the loss stops being a number; KeyboardInterrupt, after saving, when asked to stop.
    """
    world = join_world()
    place = choose_place(settings, world.local_rank)
    if place.float8:
        check_float8(place)
    begun = begin(world, place)
    try:
        low = multiplying_in_float8(model) if place.float8 else nullcontext()
        with stop_wish() as wish, naming_kernels(is_profiled and place.compiled), low:
            trainer = Trainer(model, data, settings, run, fingerprint, callbacks, world, place, wish)
            with closing(trainer.stepper.batches), closing(trainer.trackers), closing(trainer.checkpoints):
                result = trainer.train(run / "profile" if is_profiled and world.is_first else None)
        world.from_first(0.0)  # nobody leaves while another still needs the group
        return result
    except RuntimeError as error:
        raise lost_process(error) or error from None
    finally:
        if begun:
            end()


class Trainer:
    """One run of the loop: the objects it works on, and how far it has come."""

    def __init__(
        self,
        model: LanguageModel,
        data: Data,
        settings: TrainSettings,
        run: Path,
        fingerprint: str,
        callbacks: Callbacks,
        world: World,
        place: Place,
        wish: StopWish,
    ) -> None:
        self.data, self.settings, self.run, self.fingerprint = data, settings, run, fingerprint
        self.callbacks, self.world, self.place, self.wish = callbacks, world, place, wish
        self.trackers = Trackers(settings)
        check_before_training(model.config, data.train.sample, settings, world, place)
        if place.device.type == "cpu":
            keep_freed_memory()
        self.model = model.train()
        for parameter in model.parameters():  # one opened from a folder may lie in its file, and the other way round
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        self.model.stack.recomputed = settings.recompute
        self.clock = Clock()
        if settings.start == "pairs" and not checkpoints(run):
            start_from_counts(model, data.train, place, world, settings.seed)
        self.stepper = Stepper(model, data.train, settings, world, place, data.boundary_id)
        self.state = resume(run, model, self.stepper.optimizer, world)
        if place.compiled:
            for part in model.compiled_parts():
                part.compile(dynamic=False)
        if self.state and self.stepper.loss_scale:
            self.stepper.loss_scale = self.state.loss_scale or self.stepper.loss_scale
        if self.state:
            self.clock = Clock(self.state.seconds)
        self.checkpoints = Checkpoints(
            run,
            model,
            self.stepper.optimizer,
            settings,
            data.separator_id,
            callbacks.save_extras,
            world,
            wish,
            self._seconds,
        )
        self.reader = Reader(data, settings, place, callbacks, self._seconds)

    def train(self, profile: Path | None) -> TrainResult:
        """From the checkpoint's step, or the reading before the first, to the last; a profile goes into `profile`."""
        step = self.state.step if self.state else 0
        if self.state and self.world.is_first:
            check_state(self.state, self.run, self.fingerprint, self.place)
        journal = Journal(self.run, step if self.state else None, self.trackers) if self.world.is_first else None
        model = None if self.state else self._whole_model()
        if journal and model:
            row = self.reader.timed_reading(model)
            check_initial_loss(row["validation_loss"], self.model.config.vocab_size)
            journal.add({"step": 0, "tokens": 0, "epoch": 0.0, "seconds": self._seconds(), **row})
        self.plan = plan_training(
            self.stepper, self.run, self.fingerprint, step, self._known_reading_seconds, self._seconds
        )
        steps = max(step, self.plan.steps)  # a smaller budget than was reached takes no step back
        rate = matrix_rate(self.place) if self.world.is_first and step < steps else 1.0
        if self.world.is_first:
            say(opening(step, steps, self.stepper.batch_tokens, self.world.size, self.place, rate))
        rows = read_metrics(self.run) if journal else []
        self.stepper.learn_of(rows)
        best = Best(self.run, self.fingerprint, rows) if journal else None
        self.view = View(rows, self.place)
        profiling = profiled(profile, step, self.plan, self.stepper.batch_tokens, rate, self.place)
        with self._bar(step, steps) as bar, profiling as stepped:
            while step < steps:
                step += 1
                row = self.step(step, steps)
                due = self.world.is_first and self.checkpoints.is_due(step)
                stop, failed, due = self.world.any(self.wish.made, self.checkpoints.has_failed, due)
                if failed:
                    self.checkpoints.wait()
                model = self._whole_model() if self.reader.is_due(step, self.plan) else None
                if journal and best:
                    self._record(journal, bar, row, rate, model)
                    self._weigh(best, row, model)
                over = self._is_over(best)
                if step == steps or stop or over or due:
                    if journal:
                        self._write(journal.sync)
                    self.checkpoints.begin(self._state(step, steps))
                stepped()
                if over:
                    break
                if stop and step < steps:
                    self.checkpoints.wait()
                    raise KeyboardInterrupt
        self.checkpoints.wait()
        if journal:
            journal.close()
            self._write(partial(self.checkpoints.write_model, step))
        return TrainResult(step, self._seconds())

    def _write(self, write: Callable[[], None]) -> None:
        """Write when there is space, and let nothing be lost until then."""
        with_space(write, lambda: self.wish.made)

    def _whole_model(self) -> LanguageModel | None:
        """The model as a reading needs it, in the first process. Every process must call this."""
        return whole_model(self.model, self.world.is_first, self.place.device)

    def _weigh(self, best: Best, row: dict[str, Any], model: LanguageModel | None) -> None:
        """Keep the model of a reading that is the best so far, where one is wanted."""
        if "validation_loss" in row and best.add(row["step"], row["validation_loss"]) and self.settings.keep_best:
            assert model is not None
            self._write(partial(best.keep, partial(self._write_folder, model)))

    def _is_over(self, best: Best | None) -> bool:
        """Whether too many readings have come since the best one; known to the first process, agreed on by all."""
        patience = self.settings.patience
        over = patience > 0 and self.world.any(best is not None and best.waited >= patience)[0]
        if over and best and best.reading:
            say(
                f"training ends early: the validation loss of step {best.reading.step:,}, "
                f"{best.reading.validation_loss:.4f}, is the lowest, and {best.waited} readings have come since."
            )
        return over

    @record_function(READ)
    def _record(
        self, journal: Journal, bar: Progress, row: dict[str, Any], rate: float, model: LanguageModel | None
    ) -> None:
        """Add a step's row, with a reading and samples of `model` where they are due, and move the bar."""
        if model:
            row |= self.reader.due(model, row["step"], self.plan)
        self._write(partial(journal.add, row))
        share = row["tokens_per_second"] * flops_per_token(self.model.config) / rate / self.world.size
        loss = "step left out" if "skipped" in row else f"loss {row['loss']:.3f}"
        note = f"{loss}, {row['tokens_per_second']:,.0f} tokens/s, {share:.0%} of the matrix rate"
        note = told_epoch(self.data.train, row["step"], self.plan.steps, self.settings.batch_size) + note
        bar.advance(1, note, self.view.lines(row))

    def step(self, step: int, steps: int) -> dict[str, Any]:
        """Take a step. Returns its row."""
        settings, tokens = self.settings, self.stepper.batch_tokens
        start = self._seconds()
        try:
            figures = self.stepper.step(step, steps)
        except Diverged as error:
            self._keep_batch(error)
            raise
        except RuntimeError as error:
            raise out_of_memory(error, settings, self.world) or error from None
        if "skipped" in figures:
            warn(f"step {step:,} is left out: {why_left_out(figures)}.")
        seconds = self._seconds()
        return {
            "step": step,
            "tokens": step * tokens,
            "epoch": self.data.train.epochs(step * settings.batch_size),
            "seconds": seconds,
            **figures,
            "tokens_per_second": tokens / (seconds - start) if seconds > start else 0.0,
        }

    def _keep_batch(self, error: Diverged) -> None:
        """Leave what the model diverged on in the run folder, for those who look for the reason."""
        if self.world.is_first:
            ids, _ = self.stepper.batch(error.step)
            batch = {"step": error.step, "loss": str(error.loss), "grad_norm": str(error.norm), "ids": ids.tolist()}
            try:
                write_json(self.run / "diverged.json", batch)
            except InputError as refused:  # says less than what happened
                warn(str(refused))

    def _known_reading_seconds(self) -> float:
        """Seconds of a reading; one is taken where the first was another session's."""
        model = self._whole_model() if self.state else None
        if model:
            self.reader.timed_reading(model)
        return self.reader.seconds

    def _bar(self, step: int, steps: int) -> AbstractContextManager[Progress]:
        if self.world.is_first:
            return progress("training", total=steps, unit="steps", done=step)
        return nullcontext()  # type: ignore[return-value]

    def _state(self, step: int, steps: int) -> TrainingState:
        return TrainingState(
            step=step,
            steps=steps,
            tokens=step * self.stepper.batch_tokens,
            seconds=self._seconds(),
            fingerprint=self.fingerprint,
            environment=self.place.environment(),
            loss_scale=self.stepper.loss_scale,
        )

    def _write_folder(self, model: LanguageModel, folder: Path) -> None:
        save_model(model, folder, self.data.separator_id)
        self.callbacks.save_extras(folder)

    def _seconds(self) -> float:
        """Seconds of training so far, earlier sessions, readings and checkpoints included."""
        return self.clock.seconds()
