"""The demo from nothing: how long it takes, and when its curve falls below xz -9e of the same bytes.

    python benchmarks/demo.py [--minutes N]

What `make demo` does once everything is installed: the recipe from files to a measured model, and
completions from it. The curve is read as training goes, on whole held-out documents of
`evaluate.reading_bytes` together; the last figure is of the whole held-out split, as the
compressors' are.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import measuring

from tezgah.console import say
from tezgah.training.metrics import seconds_below
from tezgah.training.record import Record, read_record

GENERATE = ("--until", "block", "--max-new-tokens", "120", "--temperature", "0.4", "--top-p", "0.95", "--seed", "1")
PROMPTS = ("def area_of_rectangle(", "class Stack:")


def tezgah(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run([sys.executable, "-m", "tezgah", *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"tezgah {' '.join(words)} ended with {done.returncode}.")
    return done.stdout


def demonstrate(recipe: Path, run: Path, flags: tuple[str, ...]) -> dict[str, Any]:
    """Run the recipe into `run` and complete the prompts, by the clock."""
    begun, started = time.time(), time.perf_counter()
    tezgah("run", str(recipe), "--run", str(run), *flags)
    trained = time.perf_counter()
    completions = json.loads(tezgah("generate", str(run), *PROMPTS, *GENERATE, "--json"))["candidates"]
    finished = time.perf_counter()
    return {
        "seconds": finished - started,
        "run_seconds": trained - started,
        "generate_seconds": finished - trained,
        # The stages before training are over when the last of them gets its place.
        "seconds_before_training": (run / "tokens" / "stage.json").stat().st_mtime - begun,
        "completions": completions,
    }


def read_run(run: Path) -> dict[str, Any]:
    """The curve, where it crosses xz's levels (None if it does not), and the figures at the end.

    Long text is easier to compress, so xz needs fewer bits for the whole split than for what a reading takes.
    """
    record = read_record(run)
    assert record.evaluation is not None
    return {
        "training_seconds": record.rows[-1].seconds,
        "steps": record.rows[-1].step,
        "curve": curve(record),
        "crossing_seconds": seconds_below(record.rows, record.reading_baselines["xz"]),
        "whole_crossing_seconds": seconds_below(record.rows, record.baselines["xz"]),
        "bits_per_byte": record.evaluation.bits_per_byte,
        "baselines": record.baselines,
        "reading_xz": record.reading_baselines["xz"],
    }


def curve(record: Record) -> list[dict[str, float]]:
    """Every reading: step, tokens, seconds of training, bits per byte."""
    return [
        {"step": row.step, "tokens": row.tokens, "seconds": row.seconds, "bits_per_byte": row.bits_per_byte}
        for row in record.rows
        if row.bits_per_byte is not None
    ]


def crossed(seconds: float | None, before: float) -> str:
    """The moment of a crossing, in words; `before` are the seconds before training."""
    if seconds is None:
        return "not in this run"
    return f"{seconds / 60:.2f} min of training, {(before + seconds) / 60:.2f} min after the start"


def table(result: dict[str, Any]) -> str:
    """Two tables: the figures, and the curve."""
    before = result["seconds_before_training"]
    figures = [
        ["from nothing to completions", f"{result['seconds']:.0f} s"],
        ["before training (corpus, tokenizer, tokens)", f"{before:.0f} s"],
        ["training", f"{result['training_seconds'] / 60:.2f} min, {result['steps']:,} steps"],
        [
            f"curve below xz -9e of the same bytes ({result['reading_xz']:.4f})",
            crossed(result["crossing_seconds"], before),
        ],
        [
            f"curve below xz -9e of the whole split ({result['baselines']['xz']:.4f})",
            crossed(result["whole_crossing_seconds"], before),
        ],
        ["held-out bits per byte at the end", f"{result['bits_per_byte']:.4f}"],
        *([name, f"{value:.4f}"] for name, value in result["baselines"].items()),
    ]
    readings = [
        [f"{row['seconds'] / 60:.2f}", f"{row['step']:,}", f"{row['tokens']:,}", f"{row['bits_per_byte']:.4f}"]
        for row in result["curve"]
    ]
    return "\n\n".join(
        (
            measuring.markdown_table(["what", "figure"], figures),
            measuring.markdown_table(["minute of training", "step", "tokens", "bits per byte"], readings),
        )
    )


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    run = arguments.run or Path(mkdtemp(prefix="tezgah-demo-")) / "run"
    if run.exists():
        raise SystemExit(f"{run} exists. The demo begins from nothing: remove it, or give another --run.")
    flags = () if arguments.minutes is None else ("--train.minutes", str(arguments.minutes))
    measured = demonstrate(arguments.recipe, run, flags)
    say(f"the run is kept in {run}")
    result = measured | read_run(run)
    measuring.write_results(
        arguments.results, "demo", f"The demo from nothing: {arguments.recipe.name}", table(result), result, begun
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    recipe = measuring.REPOSITORY / "recipes" / "stdlib-code.toml"
    made.add_argument("--recipe", type=Path, default=recipe, help="what is run")
    made.add_argument("--minutes", type=float, help="minutes of training instead of the recipe's")
    made.add_argument("--run", type=Path, help="the run folder, kept; without it one in a temporary folder")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
