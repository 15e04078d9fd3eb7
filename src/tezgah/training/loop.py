"""The training loop: from sequences to a trained model, a function of the step alone.

Read `train` first: it sets the scene; then `Trainer.step`, the whole way of a batch. Which
sequences a step reads, its learning rate and its dropout follow from (seed, step), so resuming is
loading the weights and the optimizer and going on.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.nn.parallel import DistributedDataParallel

from tezgah.console import Progress, progress, say, warn
from tezgah.errors import InputError
from tezgah.files import atomic_folder, write_json
from tezgah.models.causal import CausalLM
from tezgah.models.checkpoint import save_model
from tezgah.models.cost import flops_per_token
from tezgah.nn.modes import evaluating
from tezgah.seeds import named_seed
from tezgah.tokens.sequences import Sequences, TrainingSequences
from tezgah.training.allocator import keep_freed_memory
from tezgah.training.budget import Plan, Rates, budget_steps, measure_step, plan_minutes, plan_of, read_rates
from tezgah.training.checkpoint import TrainingState, resume, save_checkpoint
from tezgah.training.checks import check_before_training, check_initial_loss
from tezgah.training.journal import Journal
from tezgah.training.optimizer import build_optimizer
from tezgah.training.place import Place, choose_place, matrix_rate
from tezgah.training.prefetch import Prefetch
from tezgah.training.readings import loss_readings
from tezgah.training.schedule import learning_rate_factor
from tezgah.training.settings import TrainSettings
from tezgah.training.signals import StopWish, stop_wish
from tezgah.training.world import World, begin, end, join_world, parallel


@dataclass(frozen=True)
class TrainResult:
    """Where training ended."""

    steps: int
    seconds: float


@dataclass(frozen=True)
class Callbacks:
    """What is done at a reading, by those who know how; training does not.

    `reading` measures the model as it stands, `samples` lets it write, `save_extras` adds files
    (the tokenizer's) to a folder that a model was written into.
    """

    reading: Callable[[CausalLM, Place], dict[str, Any]]
    samples: Callable[[CausalLM, Place], list[dict[str, str]]]
    save_extras: Callable[[Path], None]


@dataclass(frozen=True)
class Data:
    """Both splits as sequences, and the id that separates their documents, each read by itself or not."""

    train: TrainingSequences
    validation: Sequences
    separator_id: int
    reads_separately: bool = False

    @property
    def boundary_id(self) -> int | None:
        """The id at which another document begins; None where documents are read on as one text."""
        return self.separator_id if self.reads_separately else None


def train(
    model: CausalLM, data: Data, settings: TrainSettings, run: Path, fingerprint: str, callbacks: Callbacks
) -> TrainResult:
    """Train `model` in place, from the newest checkpoint in `run` if there is one, to the budget's end.

    Writes `metrics.jsonl`, `checkpoints/` and at the end `model/`. `fingerprint` names everything
    the weights depend on; a checkpoint of another one is refused. Raises InputError for settings
    or data that cannot work, or when the loss stops being a number; KeyboardInterrupt, after
    saving, when asked to stop.
    """
    world = join_world()
    place = choose_place(settings, world.local_rank)
    begun = begin(world, place)
    try:
        with stop_wish() as wish:
            trainer = Trainer(model, data, settings, run, fingerprint, callbacks, world, place)
            with closing(trainer.batches):
                result = trainer.train(wish)
        world.from_first(0.0)  # nobody leaves while another still needs the group
        return result
    finally:
        if begun:
            end()


class Trainer:
    """One run of the loop: the objects it works on, and how far it has come."""

    def __init__(
        self,
        model: CausalLM,
        data: Data,
        settings: TrainSettings,
        run: Path,
        fingerprint: str,
        callbacks: Callbacks,
        world: World,
        place: Place,
    ) -> None:
        self.data, self.settings, self.run, self.fingerprint = data, settings, run, fingerprint
        self.callbacks, self.world, self.place = callbacks, world, place
        check_before_training(model.config, data.train.sample, settings, world, place)
        if place.device.type == "cpu":
            keep_freed_memory()
        self.model = model.to(place.device).train()
        for parameter in model.parameters():  # one opened from a folder may lie in its file, and the other way round
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        self.model.stack.recomputed = settings.recompute
        self.optimizer = build_optimizer(model, settings, place.matrix_dtype)
        self.state = resume(run, model, self.optimizer)
        if place.compiled:
            for part in model.compiled_parts():
                part.compile(dynamic=False)
        self.loss = parallel(model, world, place, data.boundary_id)
        self.batches = Prefetch(data.train, settings.seed, settings.batch_size, place.device)
        self.batch_tokens = settings.batch_size * model.config.context_length
        self.started = time.perf_counter() - (self.state.seconds if self.state else 0.0)
        self.saved = time.perf_counter()  # when the newest checkpoint was written
        self.reading_seconds = 0.0  # of the reading that was timed

    def train(self, wish: StopWish) -> TrainResult:
        """From the checkpoint's step, or the reading before the first, to the last."""
        step = self.state.step if self.state else 0
        self._check_state()
        journal = Journal(self.run, step if self.state else None) if self.world.is_first else None
        if journal and not self.state:
            row = self._timed_reading()
            check_initial_loss(row["validation_loss"], self.model.config.vocab_size)
            journal.add({"step": 0, "tokens": 0, "epoch": 0.0, "seconds": self._seconds(), **row})
        self.plan = self._plan()
        steps = max(step, self.plan.steps)  # a smaller budget than was reached takes no step back
        rate = matrix_rate(self.place) if self.world.is_first and step < steps else 1.0
        if self.world.is_first:
            say(self._headline(step, steps, rate))
        with self._bar(step, steps) as bar:
            while step < steps:
                step += 1
                row = self.step(step, steps)
                stop = self.world.any(wish.made)
                if journal:
                    self._record(journal, bar, row, rate)
                    if step == steps or stop or self._checkpoint_due(step):
                        journal.sync()
                        self._save(step, steps)
                if stop and step < steps:
                    raise KeyboardInterrupt
        if journal:
            journal.close()
            self._write_model()
        return TrainResult(steps, self._seconds())

    def _record(self, journal: Journal, bar: Progress, row: dict[str, Any], rate: float) -> None:
        """Add a step's row, with a reading and samples where they are due, and move the bar."""
        step, settings, last = row["step"], self.settings, row["step"] == self.plan.steps
        sampled = last or (settings.sample_steps > 0 and step % settings.sample_steps == 0)
        if last or step % self.plan.reading_steps == 0:
            row |= self._reading(with_samples=sampled or not settings.sample_steps)
        elif sampled:
            row["samples"] = self._samples()
        journal.add(row)
        share = row["tokens_per_second"] * flops_per_token(self.model.config) / rate / self.world.size
        bar.advance(
            1, f"loss {row['loss']:.3f}, {row['tokens_per_second']:,.0f} tokens/s, {share:.0%} of the matrix rate"
        )

    def step(self, step: int, steps: int) -> dict[str, Any]:
        """The whole way of a batch: indices, ids, loss, gradients, clip, update. Returns the step's row."""
        settings = self.settings
        start = time.perf_counter()
        factor = learning_rate_factor(step, steps, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        loss = self._gradients(step)
        norm = self._clip()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise InputError(
                f"[train] the loss is {loss} and the gradient's norm {norm} at step {step:,}: training has diverged. "
                f"Lower learning_rate (and muon_learning_rate); checkpoints up to here are whole."
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {
            "step": step,
            "tokens": step * self.batch_tokens,
            "epoch": self.data.train.epochs(step * settings.batch_size),
            "seconds": self._seconds(),
            "loss": loss,
            "learning_rate": settings.learning_rate * factor,
            "grad_norm": norm,
            "tokens_per_second": self.batch_tokens / (time.perf_counter() - start),
        }

    def _gradients(self, step: int) -> float:
        """Accumulate the gradient of the mean loss over this step's batch tokens; returns that loss."""
        share = self.settings.batch_size // self.world.size  # sequences of this process
        first = (step - 1) * self.settings.batch_size + self.world.rank * share
        taken = self.batches.take(first, share)  # each (share, time)
        torch.manual_seed(named_seed(self.settings.seed, f"dropout of rank {self.world.rank}", step))
        size = self.settings.micro_batch_size or share
        total = torch.zeros((), device=self.place.device)
        for start in range(0, share, size):
            ids, targets = self.place.moved(*(each[start : start + size] for each in taken))  # (batch, time)
            with self._synchronized(start + size == share):
                with self.place.precision():
                    loss = self.loss(ids, targets) / self.batch_tokens
                (loss * self.world.size).backward()  # processes' gradients are averaged
            total += loss.detach()
        return float(self.world.sum(total))

    def _synchronized(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged in the last pass alone."""
        if isinstance(self.loss, DistributedDataParallel) and not last:
            return self.loss.no_sync()
        return nullcontext()

    def _clip(self) -> float:
        """The gradient's norm; it is scaled down where it exceeds the limit."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        limit = self.settings.gradient_clip
        if 0 < limit < norm:
            torch._foreach_mul_(gradients, limit / norm)
        return norm

    def _reading(self, with_samples: bool) -> dict[str, Any]:
        with evaluating(self.model):
            data = self.data
            row = loss_readings(
                self.model, data.train.sample, data.validation, self.settings, self.place, data.boundary_id
            )
            row |= self.callbacks.reading(self.model, self.place)
        return row | ({"samples": self._samples()} if with_samples else {})

    def _timed_reading(self) -> dict[str, Any]:
        start = time.perf_counter()
        row = self._reading(with_samples=True)
        self.reading_seconds = time.perf_counter() - start
        return row

    def _samples(self) -> list[dict[str, str]]:
        with evaluating(self.model):
            return self.callbacks.samples(self.model, self.place)

    def _plan(self) -> Plan:
        """The budget as a number of steps; minutes are turned into them once, before step 1."""
        settings = self.settings
        steps = budget_steps(settings, self.data.train.in_epoch or 0, self.model.config.context_length)
        if steps is not None:
            return plan_of(steps, settings.validation_steps)
        plan = Plan(0, 1)  # told by the first process; only that one takes readings
        if rates := self._rates():
            plan = plan_minutes(settings.minutes or 0.0, rates, settings.validation_steps)
        return Plan(int(self.world.from_first(plan.steps)), plan.reading_steps)

    def _rates(self) -> Rates | None:
        """What `plan.json` holds for this training, measured now where it holds nothing; None but in the first."""
        path, step = self.run / "checkpoints" / "plan.json", self.state.step if self.state else 0
        rates = read_rates(path, self.fingerprint, step) if self.world.is_first else None
        if self.world.from_first(float(rates is not None)):
            return rates
        if self.world.is_first and self.state:  # its first reading was another session's
            self._timed_reading()
        step_seconds = self._measure_step()
        if self.world.is_first:
            rates = Rates(
                fingerprint=self.fingerprint,
                step=step,
                spent=self._seconds(),
                step_seconds=step_seconds,
                reading_seconds=self.reading_seconds,
            )
            write_json(path, msgspec.to_builtins(rates))
        return rates

    def _measure_step(self) -> float:
        """Seconds of a step. The optimizer's state is put back: at a rate of 0 a step moves it, though no weight."""
        kept = {name: tensor.to("cpu", copy=True) for name, tensor in self.optimizer.named_state().items()}
        seconds = measure_step(self._step_that_changes_nothing, self.world.from_first)
        self.optimizer.state.clear()
        if kept:
            self.optimizer.load_named_state(kept)
        return seconds

    def _step_that_changes_nothing(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        self._gradients(1)
        self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _check_state(self) -> None:
        """Refuse a checkpoint of other settings; say when its bits may not be repeated here."""
        if self.state is None or not self.world.is_first:
            return
        if self.state.fingerprint != self.fingerprint:
            raise InputError(f"{self.run}: its checkpoints belong to another recipe. Use --restart, or another --run.")
        here = self.place.environment()
        differing = [name for name, value in self.state.environment.items() if here.get(name) != value]
        if differing:
            changes = ", ".join(f"{name} {self.state.environment[name]} → {here.get(name)}" for name in differing)
            warn(f"resuming where {changes}: the bits may differ from an uninterrupted run's.")

    def _headline(self, step: int, steps: int, rate: float) -> str:
        how = "compiled" if self.place.compiled else "uncompiled"
        at = f"resuming after step {step:,} of {steps:,}" if step else f"{steps:,} steps"
        precision = self.place.environment()["precision"]
        return (
            f"training: {at}, {self.batch_tokens:,} tokens each, on {self.place.device.type}, {precision}, {how}, "
            f"{self.world.size} process{'es' if self.world.size > 1 else ''}; matrix rate {rate / 1e9:,.0f} GFLOP/s"
        )

    def _bar(self, step: int, steps: int) -> AbstractContextManager[Progress]:
        if self.world.is_first:
            return progress("training", total=steps, unit="steps", done=step)
        return nullcontext()  # type: ignore[return-value]

    def _checkpoint_due(self, step: int) -> bool:
        settings = self.settings
        if settings.checkpoint_steps and step % settings.checkpoint_steps == 0:
            return True
        minutes = (time.perf_counter() - self.saved) / 60
        return 0 < settings.checkpoint_minutes <= minutes

    def _save(self, step: int, steps: int) -> None:
        state = TrainingState(
            step=step,
            steps=steps,
            tokens=step * self.batch_tokens,
            seconds=self._seconds(),
            fingerprint=self.fingerprint,
            environment=self.place.environment(),
        )
        extras, keep = self.callbacks.save_extras, self.settings.keep_checkpoints
        save_checkpoint(self.run, self.model, self.optimizer, state, self.data.separator_id, extras, keep)
        self.saved = time.perf_counter()

    def _write_model(self) -> None:
        with atomic_folder(self.run / "model") as folder:
            save_model(self.model, folder, self.data.separator_id)
            self.callbacks.save_extras(folder)

    def _seconds(self) -> float:
        """Seconds of training so far, earlier sessions, readings and checkpoints included."""
        return time.perf_counter() - self.started
