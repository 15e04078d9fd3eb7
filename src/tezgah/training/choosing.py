"""What a recipe leaves open in `[model]` and `[train]`, chosen once: from the rules, and from what is measured here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tezgah.console import say
from tezgah.errors import InputError
from tezgah.models.build import build_config
from tezgah.models.config import ModelConfig
from tezgah.models.cost import count_parameters, flops_per_token, scaling_parameters, training_bytes
from tezgah.models.settings import ModelSettings
from tezgah.models.sizing import AUTO, DEPTHS, at_depth
from tezgah.training.checks import holds_attention
from tezgah.training.place import Place, choose_place, matrix_rate
from tezgah.training.probe import COMPILED_GAIN, fitting, free_memory, step_rate
from tezgah.training.scaling import (
    MAX_EPOCHS,
    TOKENS_PER_PARAMETER,
    batch_sequences,
    batch_tokens,
    choose,
    rates,
    weight_decay,
)
from tezgah.training.settings import TrainTable, closed
from tezgah.training.world import World

IN_STEPS = 0.85  # of a budget in minutes; readings take the rest
PROBES = 3  # sizes that are measured, at most
MOST_MEMORY = 0.8  # of what is free: an estimate is none

Fields = dict[str, Any]  # by key, `train.batch_size`


@dataclass(frozen=True)
class Ask:
    """What a choice is made from: the recipe's two tables, the text at hand, and the processes that will train.

    `tokens` is the number of training tokens, None of a stream, which is not counted yet; `start` is the configuration
    of the model that training goes on from; `predicted` is the share of the tokens that one epoch asks for.
    """

    model: ModelSettings
    train: TrainTable
    vocab_size: int
    tokens: int | None
    world: World
    start: ModelConfig | None = None
    predicted: float = 1.0

    @property
    def sizes_itself(self) -> bool:
        """Whether the model's size is open."""
        return self.start is None and self.model.size == AUTO

    @property
    def batches_itself(self) -> bool:
        """Whether the batch is open."""
        return self.train.batch_size == AUTO or (self.train.batch_size is None and self.sizes_itself)

    @property
    def max_epochs(self) -> float:
        """How often the text may be read; 0 is as often as the budget has it."""
        given = self.train.max_epochs
        if given is not None:
            return given
        return round(MAX_EPOCHS / self.predicted, 1) if self.sizes_itself and self.tokens else 0.0

    @property
    def most(self) -> float | None:
        """The most tokens to train on; None where there is no limit."""
        return self.max_epochs * self.tokens if self.max_epochs and self.tokens else None

    def config(self, depth: int | None = None) -> ModelConfig:
        """The model's configuration, at a depth of the ladder where its size is open."""
        if self.start:
            return self.start
        return build_config(self.model if depth is None else at_depth(self.model, depth), self.vocab_size)


def choose_open(ask: Ask) -> Fields:
    """A value for every field that the recipe leaves open; says which, and why.

    Only a budget in minutes is measured, for a few seconds. Raises InputError where no model fits into memory.
    """
    if not (ask.sizes_itself or ask.batches_itself):
        config = ask.config()
        given = closed(ask.train)
        found = {"max_epochs": given.max_epochs, "batch_size": given.batch_size, "weight_decay": given.weight_decay}
        return _open(ask, found | rates(config.width, ask.start is not None), {})
    place = choose_place(ask.train, ask.world.local_rank)
    config, paid, told = _sized(ask, place)
    tokens = paid if ask.most is None else min(paid, ask.most)
    context = config.context_length
    rule = batch_sequences(tokens, context, ask.world.size)
    batch = rule if ask.batches_itself else closed(ask.train).batch_size
    steps = max(1.0, tokens / (batch * context))
    factor = 1.0 if batch == rule else batch * context / batch_tokens(tokens)
    found = {"max_epochs": ask.max_epochs, "batch_size": batch, **rates(config.width, ask.start is not None, factor)}
    found["weight_decay"] = weight_decay(steps)
    shape: Fields = {}
    if ask.sizes_itself:
        shape = {"n_layers": config.n_layers, "width": config.width, "n_heads": config.stack.n_heads}
    if ask.batches_itself:
        found["micro_batch_size"] = ask.train.micro_batch_size or _micro_batch(ask, config, batch, place)
    _explain(ask, config, paid, batch, told)
    return _open(ask, found, shape)


def _open(ask: Ask, found: Fields, shape: Fields) -> Fields:
    """Of what the rules found, the fields that the recipe leaves open, by key."""
    fields = {f"model.{name}": value for name, value in shape.items()}
    for name, value in found.items():
        if getattr(ask.train, name) in (None, AUTO) or name == "micro_batch_size":
            fields[f"train.{name}"] = value
    return fields


def _sized(ask: Ask, place: Place) -> tuple[ModelConfig, float, str]:
    """The model, the tokens it is trained on, and how they were found."""
    table = ask.train
    if table.minutes is None:
        tokens = partial(_tokens_paid, ask)
        ladder = _ladder(ask, place)
        return (chosen := choose(ladder, tokens, ask.most)), tokens(chosen), ""
    seconds = 60 * table.minutes * IN_STEPS
    matrix = matrix_rate(place)
    seconds *= _machines(ask, place)
    rate, ladder = 0.4 * matrix, _ladder(ask, place)
    chosen = choose(ladder, _paid_by(rate * seconds), ask.most)
    for _ in range(PROBES):
        rate = step_rate(chosen, closed(table, batch_size=1), place, ask.predicted)
        earlier, chosen = chosen, choose(ladder, _paid_by(rate * seconds), ask.most)
        if chosen == earlier:
            break
    flops = rate * seconds
    gain = f" (a step as it is written, × {COMPILED_GAIN} for compiling)" if place.compiled else ""
    told = (
        f"measured here: {rate / 1e9:,.0f} GFLOP/s in training steps{gain}, {matrix / 1e9:,.0f} in matrix products; "
        f"{table.minutes:g} minutes pay for about {flops:.1e} FLOPs"
    )
    return chosen, _paid_by(flops)(chosen), told


def _tokens_paid(ask: Ask, config: ModelConfig) -> float:
    """The tokens of a budget in tokens, epochs or FLOPs."""
    if ask.train.tokens is not None:
        return float(ask.train.tokens)
    if ask.train.epochs is not None and ask.tokens:
        return ask.train.epochs * ask.tokens
    assert ask.train.flops is not None, "the recipe was checked"
    return _paid_by(ask.train.flops)(config)


def _paid_by(flops: float) -> Callable[[ModelConfig], float]:
    return lambda config: flops / flops_per_token(config)


def _machines(ask: Ask, place: Place) -> int:
    """How many times this process's rate is there. Processes on one machine's CPU share what was measured."""
    return ask.world.size if place.device.type == "cuda" else ask.world.machines


def _ladder(ask: Ask, place: Place) -> list[ModelConfig]:
    """The sizes that can be trained here, smallest first; the one there is where the size is stated."""
    if not ask.sizes_itself:
        return [ask.config()]
    room, rungs = MOST_MEMORY * free_memory(place), []
    for depth in DEPTHS:
        config = ask.config(depth)
        if _needed(ask, config, 1, place) > room:
            break
        rungs.append(config)
    if not rungs:
        raise InputError(
            f'[model] size "auto": not even the smallest model fits into {room / 1e9:.1f} GB with {ask.vocab_size:,} '
            "ids. Choose a smaller tokenizer.vocab_size or model.context_length."
        )
    return rungs


def _needed(ask: Ask, config: ModelConfig, sequences: int, place: Place) -> int:
    is_low, holds = place.autocast is not None, holds_attention(config, place)
    return training_bytes(config, sequences, ask.train.optimizer == "muon", is_low, holds, ask.train.recompute)


def _micro_batch(ask: Ask, config: ModelConfig, batch: int, place: Place) -> int:
    """The most sequences in one pass that fit here and divide the batch; 0 where it fits at once."""
    share = max(1, batch // ask.world.size)
    room = MOST_MEMORY * free_memory(place)
    sizes = [size for size in range(share, 0, -1) if share % size == 0 and _needed(ask, config, size, place) <= room]
    found = fitting(config, sizes or [1], closed(ask.train, batch_size=batch), place)
    return 0 if found == share else found


def _explain(ask: Ask, config: ModelConfig, paid: float, batch: int, told: str) -> None:
    """Say what was chosen, and why; `paid` is the tokens that the budget would pay for."""
    per_token, most = flops_per_token(config), ask.most
    tokens = paid if most is None else min(paid, most)
    if told:
        say(f"size: {told}")
    amount = f"{tokens / 1e6:,.3g} million" if tokens >= 1e6 else f"{tokens:,.0f}"
    epochs = f", {tokens / ask.tokens:.2g} epochs of the text" if ask.tokens else ""
    shape = ratio = ""
    if ask.sizes_itself:
        shape = f"{config.n_layers} layers × {config.width}, {count_parameters(config):,} parameters, "
        ratio = f"; {tokens / scaling_parameters(config):.2g} tokens a parameter that multiplies, "
        ratio += f"{TOKENS_PER_PARAMETER} are sought"
    say(
        f"size: {shape}{amount} tokens{epochs}, {batch} × {config.context_length:,} in a step: "
        f"{tokens * per_token:.1e} FLOPs{ratio}"
    )
    if tokens < 0.9 * paid:
        say(
            f"note: training ends after {ask.max_epochs:g} epochs (max_epochs), at {tokens / paid:.0%} of the budget; "
            "more text would use the rest."
        )
    head = 6 * config.vocab_size * config.width / per_token
    if ask.sizes_itself and head > 1 / 2:
        say(f"note: scoring {config.vocab_size:,} ids is {head:.0%} of that; a smaller vocab_size leaves more.")
