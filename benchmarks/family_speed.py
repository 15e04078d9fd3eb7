"""Speed of GPT-2 small's and BERT-base's shapes beside `transformers`: forward, backward, and the whole training step.

    python benchmarks/family_speed.py

A cell is a family, a context length, a precision, eager or compiled, and a way. Each side is a process of its own
(family_contestant.py) with a random model that takes a turn when it is asked to; a pair is a turn of each, every
second pair in reverse. "forward" gives the logits, "backward" goes on through the loss to every gradient, "step" adds
AdamW. bf16 is autocast over fp32 weights on both sides.
"""

import argparse
import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import family_contestant
import measuring
from companion import Companion
from family_contestant import Cell

SIDES = ("tezgah", "transformers")
WARMUP_TURNS = 2  # the first of them compiles
CHOICES = {
    "family": ("gpt2", "bert"),
    "context": (128, 512, 1_024),
    "dtype": ("fp32", "bf16"),
    "mode": ("eager", "compiled"),
    "way": ("forward", "backward", "step"),
}


def measure(cell: Cell, pairs: int) -> dict[str, Any]:
    """Seconds of each side's turns, and its most memory."""
    command = [family_contestant.__file__]
    line = [Companion(side, [*command, side, json.dumps(dataclasses.asdict(cell))]) for side in SIDES]
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    peaks: dict[str, int] = {}
    try:
        for each in line:
            for _ in range(WARMUP_TURNS):
                each.ask("turn")
        for number in range(pairs):
            for each in line if number % 2 == 0 else reversed(line):
                answer = each.ask("turn")
                seconds[each.name].append(answer["seconds"])
                peaks[each.name] = answer["peak_bytes"]
    finally:
        for each in line:
            each.close()
    return {**dataclasses.asdict(cell), "seconds": seconds, "peak_bytes": peaks}


def row(found: dict[str, Any], matrix_rate: float) -> list[str]:
    """A cell's line; the share of the matrix rate where GPT-2 trains in bf16."""
    cell = Cell(**{field.name: found[field.name] for field in dataclasses.fields(Cell)})
    ours, theirs = found["seconds"]["tezgah"], found["seconds"]["transformers"]
    ratio = measuring.spread([b / a for a, b in zip(ours, theirs, strict=True)])
    speed = measuring.spread([cell.batch * cell.context / seconds for seconds in ours])
    memory = " against ".join(f"{found['peak_bytes'][side] / 1e6:,.0f}" for side in SIDES)
    share = "–"
    if (cell.family, cell.dtype, cell.way) == ("gpt2", "bf16", "step"):
        from tezgah.models.cost import flops_per_token

        share = f"{speed.median * flops_per_token(family_contestant.config_of(cell)) / matrix_rate:.0%}"
    names = [str(getattr(cell, name)) for name in CHOICES]
    return [*names, speed.text(), ratio.text(2), memory, share]


def main() -> None:
    arguments = parser().parse_args()
    from tezgah.training.place import choose_place, matrix_rate
    from tezgah.training.settings import TrainSettings

    begun = measuring.conditions()
    place = choose_place(TrainSettings(threads=arguments.threads, precision="bf16", compile=False))
    sizes = {name: getattr(arguments, name) for name in ("layers", "tokens", "threads")}
    rates, results = [matrix_rate(place)], []
    for values in itertools.product(*(getattr(arguments, name) for name in CHOICES)):
        cell = Cell(**dict(zip(CHOICES, values, strict=True)), **sizes)
        results.append(measure(cell, arguments.pairs))
        print(" | ".join(row(results[-1], rates[0])), file=sys.stderr)
    rates.append(matrix_rate(place))
    header = ["family", "context", "precision", "mode", "way", "tokens/s", "÷ transformers"]
    header += ["peak memory, MB, against theirs", "share of the matrix rate"]
    title = f"GPT-2 small's and BERT-base's shapes beside transformers, {arguments.layers} layers, "
    title += f"{arguments.tokens:,} tokens a turn"
    rows = [row(found, max(rates)) for found in results]
    note = f"Medians of {arguments.pairs} turns, lowest and highest in brackets; ratios are pair by pair. "
    note += f"Matrix rate {rates[0] / 1e9:,.0f} GFLOP/s before, {rates[1] / 1e9:,.0f} after."
    table = f"{measuring.markdown_table(header, rows)}\n\n{note}"
    result = {"matrix_rate": {"before": rates[0], "after": rates[1]}, "cells": results}
    measuring.write_results(arguments.results, arguments.name, title, table, result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, choices in CHOICES.items():
        made.add_argument(f"--{name}", nargs="+", type=type(choices[0]), default=list(choices), help="one or more")
    made.add_argument("--layers", type=int, default=Cell.layers, help="blocks of each model")
    made.add_argument("--tokens", type=int, default=Cell.tokens, help="tokens of a turn")
    made.add_argument("--pairs", type=int, default=5, help="turns of each side")
    made.add_argument("--threads", type=int, default=Cell.threads, help="threads; 0 leaves it to torch")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    made.add_argument("--name", default="family_speed", help="name of the result's files")
    return made


if __name__ == "__main__":
    main()
