"""The verb that tries settings beside one another: `tezgah sweep`."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb


class SweepFlags(Plain, frozen=True):
    """Flags of `sweep` beside the recipe's fields."""

    over: Annotated[
        tuple[str, ...],
        Meta(
            description="a field of the recipe and the values to try of it; once for each field",
            extra={"repeats": "FIELD=VALUE,VALUE…"},
        ),
    ] = ()
    run: Annotated[
        str,
        Meta(description="folder of the sweep, each point a run folder in it; default runs/<recipe file name>-sweep"),
    ] = ""


def sweep(operands: list[str], flags: SweepFlags, overrides: dict[str, str]) -> Answer:
    """Try every point of a grid, and set them beside one another."""
    from tezgah.sweep.run import run_sweep
    from tezgah.sweep.standings import text

    recipe = Path(operands[0])
    folder = Path(flags.run or Path("runs") / f"{recipe.stem}-sweep")
    record = run_sweep(recipe, flags.over, folder, overrides)
    return Answer(text(folder, record), {"sweep": str(folder), **msgspec.to_builtins(record)})


SWEEP = Verb(
    "Try the points of a small grid of settings, one run after another, and say which is best. Started again, it goes "
    "on; a changed grid adds points and keeps those that are there.",
    ("RECIPE",),
    SweepFlags,
    sweep,
    "As in --over train.learning_rate=1e-3,3e-3 --over model.width=128,256; a value with a comma in it stands in a "
    'list, \'["a,b", "c"]\'. Any other field of the recipe can be set for all points. With a budget in minutes points '
    "are compared at equal time.",
    takes_recipe_fields=True,
)
