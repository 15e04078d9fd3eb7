"""Two sizes of one recipe, about 1M and 8M parameters: which learns more per token, per minute, per operation.

    python benchmarks/two_sizes.py [--minutes N]

Both train one after the other on the same tokens for as many minutes, at a constant learning rate, so that no curve
depends on when its own training ends; `tezgah curves` sets them over one another. A few steps of each are done before,
so that what the compiler makes is in its cache on both sides.
"""

import argparse
import io
import json
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import measuring
from demo import tezgah
from PIL import Image

from tezgah.console import say
from tezgah.files import write_bytes

SIZES = {"small": (2, 96, 50), "large": (4, 320, 10)}  # blocks, width, steps between readings
# Short readings without samples, for they are on the clock; nothing is saved on the way.
FLAGS = (
    *("--train.schedule", "constant", "--train.sample_tokens", "0", "--train.checkpoint_minutes", "0"),
    *("--train.validation_batches", "4", "--evaluate.reading_bytes", "50000"),
)
COLOURS = 128  # of the picture, which is a third as large with so few


def train_sizes(recipe: Path, folder: Path, minutes: float) -> list[Path]:
    """Train every size in a run folder of its own, on one corpus."""
    for stage in ("corpus", "tokenizer", "tokens"):
        tezgah("run", str(recipe), "--run", str(folder / "data"), "--only", stage, *FLAGS)
    for name in SIZES:
        for run, budget in ((f"warm-{name}", ("--train.steps", "3")), (name, ("--train.minutes", str(minutes)))):
            shutil.copytree(folder / "data", folder / run)
            n_layers, width, steps = SIZES[name]
            shape = ("--model.n_layers", str(n_layers), "--model.width", str(width))
            often = ("--train.validation_steps", str(steps))
            tezgah("run", str(recipe), "--run", str(folder / run), *shape, *often, *budget, *FLAGS)
    return [folder / name for name in SIZES]


def table(found: dict[str, Any]) -> str:
    """What each came to, and where they cross."""
    runs = [
        [
            name,
            f"{run['parameters']:,}",
            f"{run['flops_per_token']:,}",
            f"{run['tokens']:,}",
            f"{run['seconds'] / 60:.2f}",
            f"{run['tokens_per_second']:,.0f}",
            f"{run['validation_loss']:.3f}",
            f"{run['held_out_bits_per_byte']:.4f}",
        ]
        for name, run in found["runs"].items()
    ]
    head = ["run", "parameters", "FLOPs per token", "tokens", "minutes", "tokens/s, median step", "validation loss"]
    crossings = [[each["over"], each["words"]] for each in found["crossings"]]
    return "\n\n".join(
        (
            measuring.markdown_table([*head, "held-out bits per byte"], runs),
            measuring.markdown_table(["over", f"by {found['measure'].replace('_', ' ')}"], crossings),
            "![The curves of both over tokens, time and FLOPs, on logarithmic axes.](two_sizes.png)",
        )
    )


def keep_picture(picture: Path, output: Path) -> None:
    """Keep a picture with few colours."""
    small = io.BytesIO()
    Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    write_bytes(output, small.getvalue())


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    folder = Path(mkdtemp(prefix="tezgah-two-sizes-")) if arguments.folder is None else arguments.folder
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty. Name another --folder.")
    runs = train_sizes(arguments.recipe, folder, arguments.minutes)
    found = json.loads(tezgah("curves", *map(str, runs), "-o", str(folder / "curves.html"), "--json"))
    say(f"the runs and the page of both are kept in {folder}")
    keep_picture(folder / "curves.png", arguments.results / "two_sizes.png")
    del found["page"], found["picture"]  # where they lie
    title = f"Two sizes of {arguments.recipe.name}, {arguments.minutes:g} minutes each, constant learning rate"
    measuring.write_results(arguments.results, "two_sizes", title, table(found), found, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    recipe = measuring.REPOSITORY / "recipes" / "stdlib-code.toml"
    made.add_argument("--recipe", type=Path, default=recipe, help="what is run")
    made.add_argument("--minutes", type=float, default=6, help="of training, for each size")
    made.add_argument("--folder", type=Path, help="folder for the runs, kept; without it a temporary one")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
