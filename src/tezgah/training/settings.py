"""The `[train]` table: budget, optimizer, schedule, hardware, and what is recorded when."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from tezgah.settings import Decay, NaturalFloat, NaturalInt, PositiveFloat, PositiveInt, Settings, Share


class TrainTable(Settings, frozen=True):
    """The table as it is written; fields that are None are left open, and follow from rules (scaling.py).

    Exactly one of steps, tokens, epochs, minutes, flops is the budget.
    """

    steps: Annotated[PositiveInt | None, Meta(description="budget: optimizer steps")] = None
    tokens: Annotated[PositiveInt | None, Meta(description="budget: training tokens")] = None
    epochs: Annotated[PositiveFloat | None, Meta(description="budget: passes over the training split")] = None
    minutes: Annotated[PositiveFloat | None, Meta(description="budget: minutes, turned into steps before step 1")] = (
        None
    )
    flops: Annotated[
        PositiveFloat | None, Meta(description="budget: floating-point operations, as `inspect` counts them")
    ] = None

    max_epochs: Annotated[
        NaturalFloat | None,
        Meta(description='passes after which any budget ends; 0 is off; default 4 with model.size = "auto", else 0'),
    ] = None

    start: Annotated[
        Literal["random", "pairs"],
        Meta(description="pairs: before step 1, the model learns from counts which token stands beside which"),
    ] = "random"

    batch_size: Annotated[
        PositiveInt | Literal["auto"] | None,
        Meta(description="sequences per optimizer step, over all processes; auto follows from the budget; default 8"),
    ] = None
    micro_batch_size: Annotated[
        NaturalInt,
        Meta(description="sequences per forward pass (gradient accumulation); 0 is all at once, or what fits if auto"),
    ] = 0

    recompute: Annotated[
        bool, Meta(description="keep only what enters each block, and compute the rest anew: slower, in less memory")
    ] = False

    sharding: Annotated[
        Literal["none", "full"],
        Meta(description="of several processes: each holds the whole model, or an equal part of it and its optimizer"),
    ] = "none"

    optimizer: Annotated[
        Literal["muon", "adamw", "sgd"], Meta(description="muon (hidden matrices; AdamW for the rest), adamw or sgd")
    ] = "muon"
    learning_rate: Annotated[
        PositiveFloat | None,
        Meta(description="peak learning rate, of all but Muon's matrices; default 0.003 at width 256, by width"),
    ] = None
    muon_learning_rate: Annotated[
        PositiveFloat | None, Meta(description="peak learning rate of Muon's matrices; default 0.02")
    ] = None
    weight_decay: Annotated[
        NaturalFloat | None, Meta(description="decoupled weight decay of matrices; default 0.1")
    ] = None
    beta1: Annotated[Decay, Meta(description="AdamW's first moment decay")] = 0.9
    beta2: Annotated[Decay, Meta(description="AdamW's second moment decay")] = 0.95
    momentum: Annotated[Decay, Meta(description="momentum of muon and sgd")] = 0.95
    gradient_clip: Annotated[NaturalFloat, Meta(description="largest norm of the gradient; 0 is off")] = 1.0

    schedule: Annotated[
        Literal["wsd", "cosine", "linear", "inverse_sqrt", "constant"],
        Meta(description="after a warm-up: stable and then decay (wsd), or one curve to the end"),
    ] = "wsd"
    warmup_steps: Annotated[NaturalInt, Meta(description="steps of linear warm-up")] = 20
    decay_ratio: Annotated[Share, Meta(description="share of the run that decays (wsd)")] = 0.4
    final_ratio: Annotated[
        Share, Meta(description="share of the peak where the decay ends, one step after the last")
    ] = 0.0

    label_smoothing: Annotated[
        Share, Meta(description="share of each target spread over all ids, in training's loss alone")
    ] = 0.0
    z_loss: Annotated[
        NaturalFloat,
        Meta(description="weight of log²(sum of exponentials), which keeps logits small, in training's loss"),
    ] = 0.0
    on_divergence: Annotated[
        Literal["stop", "skip"],
        Meta(description="where loss or gradient is no number: stop, or leave the step out (ten in a row stop)"),
    ] = "stop"
    spike_deviations: Annotated[
        NaturalFloat,
        Meta(description="a loss or gradient norm so many deviations above the last 128 steps diverges too; 0 is off"),
    ] = 0.0
    patience: Annotated[
        NaturalInt, Meta(description="readings without a lower validation loss that end training; 0 is off")
    ] = 0
    keep_best: Annotated[
        bool, Meta(description="the model is the reading's with the lowest validation loss, not the last step's")
    ] = False

    seed: Annotated[NaturalInt, Meta(description="names every random stream of the run")] = 1
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Meta(description="where to train")] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16", "fp8"],
        Meta(description="auto takes bf16 where the hardware multiplies it faster, else fp32"),
    ] = "auto"
    compile: Annotated[bool, Meta(description="torch.compile, where a compiler exists")] = True
    threads: Annotated[NaturalInt, Meta(description="CPU threads; 0 takes every core this process may use")] = 0

    validation_steps: Annotated[NaturalInt, Meta(description="steps between readings; 0 is a tenth of the run")] = 0
    validation_batches: Annotated[PositiveInt, Meta(description="batches of each split in a reading's losses")] = 8
    sample_steps: Annotated[NaturalInt, Meta(description="steps between samples; 0 is with every reading")] = 0
    sample_prompts: Annotated[
        tuple[str, ...],
        Meta(description="prompts sampled as training goes; none is an empty one", extra={"commas": False}),
    ] = ()
    sample_tokens: Annotated[NaturalInt, Meta(description="new tokens of such a sample; 0 is off")] = 50
    checkpoint_steps: Annotated[NaturalInt, Meta(description="steps between checkpoints; 0 leaves it to minutes")] = 0
    checkpoint_minutes: Annotated[NaturalFloat, Meta(description="minutes between checkpoints; 0 is off")] = 5.0
    keep_checkpoints: Annotated[PositiveInt, Meta(description="newest checkpoints kept")] = 3
    trackers: Annotated[
        tuple[Literal["tensorboard", "wandb", "trackio"], ...],
        Meta(description="who else is told of every row of metrics.jsonl: tensorboard, wandb, trackio"),
    ] = ()


class TrainSettings(TrainTable, frozen=True):
    """The table with nothing left open: what training is told. The defaults are those of width 256."""

    max_epochs: NaturalFloat = 0.0
    batch_size: PositiveInt = 8
    learning_rate: PositiveFloat = 3e-3
    muon_learning_rate: PositiveFloat = 0.02
    weight_decay: NaturalFloat = 0.1


def closed(table: TrainTable, **values: Any) -> TrainSettings:
    """The settings that a table comes to: `values`, what it states, and the defaults for the rest.

    >>> closed(TrainTable(steps=5, batch_size=2), learning_rate=0.1).batch_size
    2
    """
    stated = {name: getattr(table, name) for name in table.__struct_fields__}
    return TrainSettings(**{name: value for name, value in (stated | values).items() if value is not None})
