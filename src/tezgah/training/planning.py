"""A budget becomes a number of steps: told by the recipe, or measured once, before the first step it pays for."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tezgah.files import write_json
from tezgah.models.cost import flops_per_token
from tezgah.training.budget import Plan, Rates, budget_steps, limited, most_steps, plan_minutes, plan_of, read_rates
from tezgah.training.step import Stepper


def plan_training(
    stepper: Stepper,
    run: Path,
    fingerprint: str,
    step: int,
    reading_seconds: Callable[[], float],
    spent: Callable[[], float],
) -> Plan:
    """The plan of the training that stands at `step`.

    Minutes are turned into steps by the first process, from what a step takes here and `reading_seconds` gives, which
    every process calls, and what was `spent` by then; `checkpoints/plan.json` keeps that for every later session.
    """
    settings, world, config = stepper.settings, stepper.world, stepper.model.config
    in_epoch = stepper.sequences.in_epoch or 0
    steps = budget_steps(settings, in_epoch, config.context_length, flops_per_token(config))
    most = most_steps(settings, in_epoch)
    if steps is not None:
        return limited(plan_of(steps, settings.validation_steps), most, settings.validation_steps)
    path = run / "checkpoints" / "plan.json"
    rates = read_rates(path, fingerprint, step) if world.is_first else None
    if not world.from_first(float(rates is not None)):
        reading = reading_seconds()
        step_seconds = stepper.measured_seconds()
        if world.is_first:
            rates = Rates(
                fingerprint=fingerprint,
                step=step,
                spent=spent(),
                step_seconds=step_seconds,
                reading_seconds=reading,
            )
            write_json(path, msgspec.to_builtins(rates))
    plan = plan_minutes(settings.minutes or 0.0, rates, settings.validation_steps) if rates else Plan(0, 1)
    plan = limited(plan, most, settings.validation_steps)
    return Plan(int(world.from_first(plan.steps)), int(world.from_first(plan.reading_steps)))
