"""A budget becomes a number of steps: told by the recipe, or measured once, before the first step it pays for."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tezgah.files import write_json
from tezgah.training.budget import Plan, Rates, budget_steps, plan_minutes, plan_of, read_rates
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
    settings, world = stepper.settings, stepper.world
    steps = budget_steps(settings, stepper.sequences.in_epoch or 0, stepper.model.config.context_length)
    if steps is not None:
        return plan_of(steps, settings.validation_steps)
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
    return Plan(int(world.from_first(plan.steps)), int(world.from_first(plan.reading_steps)))
