"""The learning rate as a function of the step alone."""

import math

from tezgah.training.settings import TrainSettings


def learning_rate_factor(step: int, steps: int, settings: TrainSettings) -> float:
    """The share of the peak learning rate at `step`, counted from 1, of `steps`.

    "wsd": linear warm-up, stable, linear decay over the last `decay_ratio` of the run (Hägele et
    al. 2024); "cosine": warm-up, then half a cosine (Loshchilov and Hutter 2017); both would reach
    `final_ratio` one step after the last, so that no step is spent at a rate of 0.

    >>> settings = TrainSettings(warmup_steps=2, decay_ratio=0.5, final_ratio=0.0)
    >>> [learning_rate_factor(step, 8, settings) for step in range(1, 9)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    warmup = min(settings.warmup_steps, steps)
    if step <= warmup:
        return step / warmup
    floor = settings.final_ratio
    if settings.schedule == "cosine":
        progress = (step - 1 - warmup) / max(1, steps - warmup)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    decay = round(settings.decay_ratio * steps)
    if settings.schedule == "wsd" and step > steps - decay:
        return floor + (1 - floor) * (steps + 1 - step) / decay if decay else 1.0
    return 1.0
