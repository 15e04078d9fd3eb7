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
from tezgah.training.checkpoint import TrainingState
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
    passes = settings.micro_batch_size or max(1, settings.batch_size // world.size)  # sequences in one
    if settings.batch_size % (world.size * passes):
        raise InputError(
            f"[train] batch_size {settings.batch_size} is not a multiple of {world.size} processes × "
            f"micro_batch_size {passes}. Choose one that is."
        )
    if settings.sharding == "full" and place.device.type == "mps":
        raise InputError('[train] sharding = "full" works on cpu and cuda, not on mps. Use "none".')
    how = settings.optimizer == "muon", place.autocast is not None, holds_attention(config, place)
    sharded = world.size if settings.sharding == "full" else 1
    needed = training_bytes(config, passes, *how, settings.recompute, sharded)
    memory = memory_bytes(place)
    if world.is_first:
        say(
            f"model: {count_parameters(config):,} parameters, {flops_per_token(config):,} FLOPs per token, "
            f"about {needed / 1e9:.1f} GB of memory to train ({memory / 1e9:.0f} GB here)"
        )
        _notice_short_documents(config, train)
    if needed > memory:
        fits, recomputed = (_sequences_in(memory, config, how, each, sharded) for each in (settings.recompute, True))
        mend = _mend(fits, recomputed, passes, config.context_length)
        if sharded < world.size and training_bytes(config, passes, *how, settings.recompute, world.size) <= memory:
            mend = f'Set train.sharding = "full", which does. Or: {mend}'
        raise InputError(f"[train] about {needed / 1e9:.1f} GB are needed and {memory / 1e9:.1f} GB are here. {mend}")


def check_state(state: TrainingState, run: Path, fingerprint: str, place: Place) -> None:
    """Refuse a checkpoint of `run` that belongs to other settings; say when its bits may not be repeated here.

    Raises InputError.
    """
    if state.fingerprint != fingerprint:
        raise InputError(f"{run}: its checkpoints belong to another recipe. Use --restart, or another --run.")
    here = place.environment()
    differing = [name for name, value in state.environment.items() if here.get(name) != value]
    if differing:
        changes = ", ".join(f"{name} {state.environment[name]} → {here.get(name)}" for name in differing)
        warn(f"resuming where {changes}: the bits may differ from an uninterrupted run's.")


def _sequences_in(
    memory: int, config: CausalConfig, how: tuple[bool, bool, bool], recomputed: bool, sharded: int
) -> int:
    """How many sequences in one pass fit into `memory` bytes; below 0 where not even the model does."""
    fixed, one = (training_bytes(config, sequences, *how, recomputed, sharded) for sequences in (0, 1))
    return (memory - fixed) // (one - fixed)


def _mend(fits: int, fit_recomputed: int, passes: int, context_length: int) -> str:
    """What would do, given the sequences that fit into one pass as it is, and with recomputed blocks."""
    if fits >= 1:
        other = ", or train.recompute = true" if fit_recomputed >= passes else ""
        return f"Set train.micro_batch_size to {fits} or less{other}, or choose a smaller model."
    if fit_recomputed >= 1:
        fewer = f" and train.micro_batch_size to {fit_recomputed} or less" if fit_recomputed < passes else ""
        return f"Set train.recompute = true{fewer}, or choose a smaller model."
    if fits == 0:  # one sequence is too much
        return f"Set model.context_length below {context_length}, or choose a smaller model."
    return "Choose a smaller model."


def out_of_memory(error: RuntimeError, settings: TrainSettings, world: World) -> InputError | None:
    """What to say where torch ran out of memory in a step, though the estimate fit; None for another error."""
    if not ran_out(error):
        return None
    share = settings.batch_size // world.size
    passes = settings.micro_batch_size or share
    smaller = next((count for count in range(passes // 2, 0, -1) if share % count == 0), 0)
    mends = [f"train.micro_batch_size = {smaller}"] if smaller else []
    mends += [] if settings.recompute else ["train.recompute = true"]
    mend = f"Set {' or '.join(mends)}; the batch stays what it is." if mends else "Choose a smaller model."
    return InputError(f"[train] memory ran out with {passes} sequences in a pass. {mend}")


def ran_out(error: RuntimeError) -> bool:
    """Whether torch ran out of memory."""
    told = ("not enough memory", "can't allocate memory")  # by the CPU's allocator
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in told)


def check_initial_loss(loss: float, vocab_size: int) -> None:
    """Warn when a model begins worse than by guessing evenly, at ln(vocab_size); one trained before begins below it."""
    expected = math.log(vocab_size)
    if not loss < 1.15 * expected + 0.5:
        warn(
            f"the loss before training is {loss:.2f}, far above ln(vocab_size) = {expected:.2f}: "
            "the first weights are too large, or the tokenizer is not the model's."
        )


def holds_attention(config: CausalConfig, place: Place) -> bool:
    """Whether the forward pass keeps (time, time) attention weights for the backward pass.

    torch's plain products do, which stand in for a fused kernel on MPS, and on a CPU where there is dropout.
    """
    return place.device.type == "mps" or (place.device.type == "cpu" and config.stack.attention_dropout > 0)


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
