"""The mistakes every beginner makes, found before the first step; one sentence each, with the numbers."""

import math
import os
from pathlib import Path

import torch

from tezgah.console import say, warn
from tezgah.errors import InputError
from tezgah.models.config import CausalConfig
from tezgah.models.cost import count_parameters, flops_per_token, training_bytes
from tezgah.tokens.sequences import Sequences
from tezgah.training.place import Place
from tezgah.training.settings import TrainSettings
from tezgah.training.world import World


def check_before_training(
    config: CausalConfig, train: Sequences, settings: TrainSettings, world: World, place: Place
) -> None:
    """Print what the model costs and refuse what cannot work.

    Raises InputError when the batch does not divide, or memory will not do. (A split too small for one sequence is
    refused where it is opened, by `Sequences`.)
    """
    passes = settings.micro_batch_size or settings.batch_size // world.size
    if settings.batch_size % (world.size * passes):
        raise InputError(
            f"[train] batch_size {settings.batch_size} is not a multiple of {world.size} processes × "
            f"micro_batch_size {passes}. Choose one that is."
        )
    needed = training_bytes(config, passes, settings.optimizer == "muon", place.autocast is not None)
    memory = memory_bytes(place)
    if world.is_first:
        say(
            f"model: {count_parameters(config):,} parameters, {flops_per_token(config):,} FLOPs per token, "
            f"about {needed / 1e9:.1f} GB of memory to train ({memory / 1e9:.0f} GB here)"
        )
        _notice_short_documents(config, train)
    if needed > memory:
        fits = max(1, int(passes * memory / needed / 2))
        raise InputError(
            f"[train] about {needed / 1e9:.1f} GB are needed and {memory / 1e9:.1f} GB are here. "
            f"Set train.micro_batch_size to {fits} or less, or choose a smaller model."
        )


def check_initial_loss(loss: float, vocab_size: int) -> None:
    """Warn when an untrained model does not guess evenly: its first loss belongs near ln(vocab_size)."""
    expected = math.log(vocab_size)
    if not abs(loss - expected) < 0.15 * expected + 0.5:
        warn(
            f"the loss before training is {loss:.2f}, far from ln(vocab_size) = {expected:.2f}: "
            "the first weights are too large, or the tokenizer is not the data's."
        )


def memory_bytes(place: Place) -> int:
    """Memory of the device, in bytes."""
    if place.device.type == "cuda":
        return int(torch.cuda.get_device_properties(place.device).total_memory)
    limit = Path("/sys/fs/cgroup/memory.max")
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(limit.read_text()))
    except (OSError, ValueError):
        return physical


def _notice_short_documents(config: CausalConfig, train: Sequences) -> None:
    lengths = train.stream.offsets[1:] - train.stream.offsets[:-1]
    shorter = float((lengths < config.context_length).mean())
    if shorter > 0.5:
        say(
            f"note: {shorter:.0%} of the documents are shorter than context_length {config.context_length:,}; "
            "several are packed into a sequence."
        )
