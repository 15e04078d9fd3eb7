"""One optimizer step: the whole way of a batch, from the numbers of its sequences to the updated weights."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler import record_function
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from tezgah.errors import Diverged
from tezgah.models.causal import CausalLM
from tezgah.nn.cross_entropy import SoftmaxSlope
from tezgah.seeds import named_seed
from tezgah.tokens.sequences import TrainingSequences
from tezgah.training.budget import measure_step
from tezgah.training.optimizer import build_optimizer
from tezgah.training.place import Place
from tezgah.training.prefetch import Prefetch
from tezgah.training.profile import CLIP, DATA
from tezgah.training.schedule import learning_rate_factor
from tezgah.training.settings import TrainSettings
from tezgah.training.sharding import own
from tezgah.training.world import World, parallel

MOST_SKIPPED = 10  # steps in a row


class Stepper:
    """A model, its optimizer and the text they learn from; `step` is a function of the step's number alone."""

    def __init__(
        self,
        model: CausalLM,
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
        self.loss = parallel(model, world, place, settings.sharding, boundary_id)
        self.optimizer = build_optimizer(model, settings, place.matrix_dtype)
        self.batches = Prefetch(sequences, settings.seed, settings.batch_size, place.device)

    def step(self, step: int, steps: int) -> dict[str, Any]:
        """Indices, ids, loss, gradients, clip, update. Returns the loss, the learning rate and the gradient's norm.

        Raises Diverged when the loss or the norm is no number; the weights are then those of the step before.
        Where such steps are to be skipped, the figures say so instead.
        """
        factor = learning_rate_factor(step, steps, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        loss = self._gradients(step)
        norm = self._clip()
        rate = self.settings.learning_rate * factor
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.optimizer.zero_grad(set_to_none=True)
            self.skipped += 1
            if self.settings.on_divergence == "stop" or self.skipped == MOST_SKIPPED:
                raise Diverged(step, loss, norm)
            return {"learning_rate": rate, "skipped": True}
        self.skipped = 0
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"loss": loss, "learning_rate": rate, "grad_norm": norm}

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """What this process reads in a step: ids and targets, each (sequences, time)."""
        share = self.settings.batch_size // self.world.size
        return self.batches.take((step - 1) * self.settings.batch_size + self.world.rank * share, share)

    def _gradients(self, step: int) -> float:
        """Accumulate the gradient of the mean loss over this step's batch tokens; returns that loss."""
        with record_function(DATA):
            taken = self.batch(step)
        torch.manual_seed(named_seed(self.settings.seed, f"dropout of rank {self.world.rank}", step))
        share = len(taken[0])
        size = self.settings.micro_batch_size or share
        total = torch.zeros((), device=self.place.device)
        for start in range(0, share, size):
            with record_function(DATA):
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
        if isinstance(self.loss, FSDPModule):
            self.loss.set_requires_gradient_sync(last)
        return nullcontext()

    @record_function(CLIP)
    def _clip(self) -> float:
        """The gradient's norm; it is scaled down where it exceeds the limit."""
        gradients = [own(parameter.grad) for parameter in self.model.parameters() if parameter.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if isinstance(self.loss, FSDPModule):  # that was the norm of this process's rows
            norm = math.sqrt(self.world.total(norm**2))
        limit = self.settings.gradient_clip
        if 0 < limit < norm:
            torch._foreach_mul_(gradients, limit / norm)
        return norm

    def measured_seconds(self) -> float:
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
