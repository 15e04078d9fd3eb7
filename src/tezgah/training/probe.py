"""What this machine gives: the rate of a training step, and how many sequences fit into one pass."""

import gc
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from tezgah.models.build import build_model
from tezgah.models.config import ModelConfig
from tezgah.models.cost import flops_per_token
from tezgah.models.language import LanguageModel
from tezgah.nn.cross_entropy import IGNORED
from tezgah.training.checks import memory_bytes, ran_out
from tezgah.training.optimizer import build_optimizer
from tezgah.training.place import Place
from tezgah.training.settings import TrainSettings

PROBE_TOKENS = {"cpu": 2_048, "mps": 8_192, "cuda": 32_768}  # in a measured step: enough to keep the device busy
COMPILED_GAIN = 1.5  # a compiled step's rate over that of the same step as written, which is what is measured


def step_rate(config: ModelConfig, settings: TrainSettings, place: Place, predicted: float = 1.0) -> float:
    """FLOP/s of a training step of this model: forward, backward, optimizer. Takes a few seconds.

    Where a share of the tokens is `predicted` alone, those that scoring the others would take are counted, not done.
    The model is not compiled for it, which would take longer than measuring; the gain of that is put in.
    """
    sequences = max(1, PROBE_TOKENS[place.device.type] // config.context_length)
    step = _Step(config, settings, place, predicted)
    step.take(sequences)  # to warm up
    seconds = min(step.take(sequences) for _ in range(2))
    gain = COMPILED_GAIN if place.compiled else 1.0
    return gain * sequences * config.context_length * flops_per_token(config) / seconds


def fitting(config: ModelConfig, sizes: Sequence[int], settings: TrainSettings, place: Place) -> int:
    """The first of `sizes`, sequences in one pass, that a step has memory for; the last where none has.

    On a GPU a real step is taken with it; elsewhere the estimate that made `sizes` stands, for a CPU that runs out of
    memory ends processes and says nothing.
    """
    if place.device.type != "cuda":
        return sizes[0]
    for size in sizes:
        try:
            _Step(config, settings, place).take(size)
            return size
        except RuntimeError as error:
            if not ran_out(error):
                raise
        finally:
            gc.collect()
            torch.cuda.empty_cache()
    return sizes[-1]


def free_memory(place: Place) -> int:
    """Memory of the device that nobody uses, in bytes."""
    if place.device.type == "cuda":
        return int(torch.cuda.mem_get_info(place.device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return memory_bytes(place)
    return min(available, memory_bytes(place))


class _Step:
    """A fresh model of a configuration, and steps of it on made-up ids."""

    def __init__(self, config: ModelConfig, settings: TrainSettings, place: Place, predicted: float = 1.0) -> None:
        self.model: LanguageModel = build_model(config, seed=0).to(place.device).train()
        self.model.stack.recomputed = settings.recompute
        self.optimizer = build_optimizer(self.model, settings, place.matrix_dtype)
        self.place, self.predicted = place, predicted

    def take(self, sequences: int) -> float:
        """Take a step with so many sequences in one pass; its seconds."""
        config = self.model.config
        shape = (sequences, config.context_length)
        ids = torch.randint(config.vocab_size, shape, device=self.place.device)  # (batch, time)
        targets = ids.masked_fill(torch.rand(shape, device=self.place.device) >= self.predicted, IGNORED)
        start = time.perf_counter()
        with self.place.precision():
            loss = self.model.loss(ids, targets) / ids.numel()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        float(loss)  # waits for an asynchronous device …
        if self.place.device.type == "cuda":
            torch.cuda.synchronize(self.place.device)  # … and for all of it
        return time.perf_counter() - start
