"""The learning rate as a function of the step alone."""

import math

from tezgah.training.settings import TrainTable


def learning_rate_factor(step: int, steps: int, settings: TrainTable) -> float:
    """The share of the peak learning rate at `step`, counted from 1, of `steps`, after a linear warm-up.

    "wsd": stable, then linear decay over the last `decay_ratio` of the run (Hägele et al. 2024); "cosine": half a
    cosine (Loshchilov and Hutter 2017); "linear": down all the way; these reach `final_ratio` one step after the
    last, so that no step is spent at a rate of 0. "inverse_sqrt": with the root of the step (Vaswani et al. 2017,
    section 5.3), which needs no end; "constant" stays.

    >>> settings = TrainTable(warmup_steps=2, decay_ratio=0.5, final_ratio=0.0)
    >>> [learning_rate_factor(step, 8, settings) for step in range(1, 9)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    warmup = min(settings.warmup_steps, steps)
    if step <= warmup:
        return step / warmup
    if settings.schedule == "inverse_sqrt":
        return math.sqrt(max(1, warmup) / step)
    return settings.final_ratio + (1 - settings.final_ratio) * _share_left(step, steps, warmup, settings)


def _share_left(step: int, steps: int, warmup: int, settings: TrainTable) -> float:
    """How much of the way down to the final rate is left, from 1 to nearly 0."""
    gone = (step - 1 - warmup) / max(1, steps - warmup)  # of the steps after the warm-up
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * gone))
    if settings.schedule == "linear":
        return 1 - gone
    decay = round(settings.decay_ratio * steps)
    if settings.schedule == "wsd" and step > steps - decay:
        return (steps + 1 - step) / decay
    return 1.0
