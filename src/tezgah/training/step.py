"""One optimizer step: the whole way of a batch, from the numbers of its sequences to the updated weights."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler import record_function
from torch.nn.parallel import DistributedDataParallel

from tezgah.errors import Diverged
from tezgah.models.language import LanguageModel
from tezgah.nn.cross_entropy import SoftmaxSlope
from tezgah.seeds import named_seed
from tezgah.tokens.sequences import NO_TARGET, TrainingSequences
from tezgah.training.budget import measure_step
from tezgah.training.loss_scale import LossScale
from tezgah.training.metrics import Row
from tezgah.training.optimizer import build_optimizer
from tezgah.training.place import Place
from tezgah.training.prefetch import Prefetch
from tezgah.training.profile import CLIP, DATA
from tezgah.training.schedule import learning_rate_factor
from tezgah.training.settings import TrainSettings
from tezgah.training.sharding import is_sharded, own
from tezgah.training.spikes import Spikes
from tezgah.training.world import World, parallel

MOST_SKIPPED = 10  # steps in a row


def why_left_out(figures: dict[str, Any]) -> str:
    """The reason for a step that its figures call skipped.

    >>> why_left_out({"loss": 9.5, "grad_norm": 31.25, "skipped": True})
    "its loss of 9.5 and its gradient's norm of 31.25 are a spike"
    """
    if "loss_scale" in figures:
        return f"its gradient left the range of fp16; losses are scaled by {figures['loss_scale']:,.0f} from here on"
    if "loss" in figures:
        return f"its loss of {figures['loss']:.4g} and its gradient's norm of {figures['grad_norm']:.4g} are a spike"
    return "its loss or its gradient is no number"


class Stepper:
    """A model, its optimizer and the text they learn from; `step` is a function of the step's number alone."""

    def __init__(
        self,
        model: LanguageModel,
        sequences: TrainingSequences,
        settings: TrainSettings,
        world: World,
        place: Place,
        boundary_id: int | None = None,
    ) -> None:
        """`boundary_id` is given where documents are read by themselves (`CausalLM.loss`)."""
        self.model, self.sequences, self.settings = model, sequences, settings
        self.world, self.place = world, place
        self.batch_tokens = settings.batch_size * model.config.context_length
        model.softmax_slope = SoftmaxSlope(settings.label_smoothing, settings.z_loss)
        self.skipped = 0  # steps in a row that were left out
        self.spikes = Spikes(settings.spike_deviations)
        self.loss_scale = LossScale() if place.autocast is torch.float16 else None
        self.loss = parallel(model, world, place, settings.sharding, boundary_id)
        self._is_sharded = is_sharded(model)
        self.optimizer = build_optimizer(model, settings, place.matrix_dtype)
        self.batches = Prefetch(sequences, settings.seed, settings.batch_size, place.device)

    def step(self, step: int, steps: int) -> dict[str, Any]:
        """Indices, ids, loss, gradients, clip, update. Returns the loss, the learning rate and the gradient's norm.

        Raises Diverged when the loss or the norm is no number, or a spike; the weights are then those of the step
        before. Where such steps are to be skipped, the figures say so instead; so does a step lost to the loss scale.
        """
        factor = learning_rate_factor(step, steps, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        loss, accuracy = self._gradients(step)
        norm = self._clip()
        rate = self.settings.learning_rate * factor
        figures = {"loss": loss, "accuracy": accuracy, "learning_rate": rate, "grad_norm": norm}
        is_finite = math.isfinite(loss) and math.isfinite(norm)
        is_spike = is_finite and self._is_spike(loss, norm)
        scale = self.loss_scale
        if scale:
            self.loss_scale = scale.after(norm)
        if not is_finite or is_spike:
            self.optimizer.zero_grad(set_to_none=True)
            left_out = (figures if is_spike else {"learning_rate": rate}) | {"skipped": True}
            if scale and scale.overflows(loss, norm):
                return left_out | {"loss_scale": self._scale}
            self.skipped += 1
            if self.settings.on_divergence == "stop" or self.skipped == MOST_SKIPPED:
                raise Diverged(step, loss, norm, is_spike)
            return left_out
        self.skipped = 0
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return figures

    def _is_spike(self, loss: float, norm: float) -> bool:
        """Whether this step is one, as the first process holds, which knows the rows of earlier sessions."""
        if not self.spikes.deviations:
            return False
        found = self.world.from_first(float(self.spikes.has(loss, norm))) > 0
        self.spikes.add(loss, norm)
        return found

    def learn_of(self, rows: Sequence[Row]) -> None:
        """What the rows of earlier sessions, known to the first process, mean for the steps to come."""
        self.spikes = Spikes(self.settings.spike_deviations, rows)
        counted = [row.skipped for row in rows if row.step and row.loss_scale is None]
        in_a_row = next((count for count, skipped in enumerate(reversed(counted)) if not skipped), len(counted))
        self.skipped = int(self.world.from_first(in_a_row))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """What this process reads in a step: ids and targets, each (sequences, time)."""
        share = self.settings.batch_size // self.world.size
        return self.batches.take((step - 1) * self.settings.batch_size + self.world.rank * share, share)

    def _gradients(self, step: int) -> tuple[float, float]:
        """Accumulate the gradient of the mean loss over this step's targets; returns that loss and the accuracy."""
        with record_function(DATA):
            taken = self.batch(step)
        torch.manual_seed(named_seed(self.settings.seed, f"dropout of rank {self.world.rank}", step))
        share = len(taken[0])
        size = self.settings.micro_batch_size or share
        targets_in_all = self._targets(taken[1])
        totals = torch.zeros(2, device=self.place.device)  # mean loss, and hits
        for start in range(0, share, size):
            with record_function(DATA):
                ids, targets = self.place.moved(*(each[start : start + size] for each in taken))  # (batch, time)
            with self._synchronized(start + size == share):
                with self.place.precision():
                    scored = self.loss(ids, targets)
                    loss = scored.loss / targets_in_all
                (loss * (self.world.size * self._scale)).backward()  # processes' gradients are averaged
            totals += torch.stack([loss.detach(), scored.hits])
        loss, hits = self.world.sum(totals).tolist()
        return loss, hits / targets_in_all

    def _targets(self, targets: Tensor) -> int:
        """How many there are in this step, in all processes; `targets` are this one's, (sequences, time)."""
        if self.sequences.predicts_all:
            return self.batch_tokens
        return max(1, int(self.world.total(int((targets != NO_TARGET).sum()))))

    def _synchronized(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged in the last pass alone."""
        if isinstance(self.loss, DistributedDataParallel) and not last:
            return self.loss.no_sync()
        if self._is_sharded:
            self.loss.set_requires_gradient_sync(last)  # type: ignore[operator]
        return nullcontext()

    @record_function(CLIP)
    def _clip(self) -> float:
        """The gradient's norm; it is scaled down where it exceeds the limit, and by what the loss was scaled up."""
        gradients = [own(parameter.grad) for parameter in self.model.parameters() if parameter.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) / self._scale
        if self._is_sharded:  # that was the norm of this process's rows
            norm = math.sqrt(self.world.total(norm**2))
        limit = self.settings.gradient_clip
        factor = (limit / norm if 0 < limit < norm else 1.0) / self._scale
        if factor != 1.0:
            torch._foreach_mul_(gradients, factor)
        return norm

    @property
    def _scale(self) -> float:
        return self.loss_scale.factor if self.loss_scale else 1.0

    def measured_seconds(self) -> float:
        """Seconds of a step. The optimizer's state is put back: at a rate of 0 a step moves it, though no weight."""
        kept = {name: tensor.to("cpu", copy=True) for name, tensor in self.optimizer.named_state().items()}
        seconds = measure_step(self._step_that_changes_nothing, self.world.from_first)
        self.optimizer.load_named_state(kept)
        return seconds

    def _step_that_changes_nothing(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        self._gradients(1)
        if math.isfinite(self._clip()):  # what is no number stays none, times a rate of 0 too
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
