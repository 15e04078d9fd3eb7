"""Wall time until a model of Python is as good as nanoGPT after 400 steps of 4,096 tokens, from the first step on.

    python benchmarks/time_to_quality.py --nanogpt PATH/nanoGPT --nanochat PATH/nanochat

All learn the same tokens (python_tokens.py), at an equal number of parameters, in bf16 and compiled; the clock stands
still while they compile and while they are measured. nanoGPT's learning rate is tuned first. Then every seed has its
own mark, the loss nanoGPT reaches with it, and every contestant runs until it is as good, or gives up.
"""

import argparse
import dataclasses
import json
import math
import statistics
from importlib import metadata
from pathlib import Path
from typing import Any

import measuring
import quality_contestants
from companion import Companion
from python_tokens import PythonTokens, python_tokens
from quality_contestants import Race

from tezgah.console import say
from tezgah.runlog import git_state

RATES = (5e-4, 1e-3, 2e-3)  # of nanoGPT, tuned with the first seed
EVERY = 100  # steps between its readings; the last of them sets the mark
PARAMETERS = 0.03  # contestants differ at most by this share

# Ours, and what is left of it when its parts are taken away one after another.
PARTS: dict[str, dict[str, Any]] = {
    "tezgah": {"steps": 60},
    "… from random weights": {"start": "random", "steps": 260},
    "… and AdamW in place of Muon": {"start": "random", "steps": 400, "optimizer": "adamw"},
    "… and one table for embedding and head": {
        "start": "random",
        "steps": 400,
        "optimizer": "adamw",
        "tied": True,
        "width": 256,
        "mlp_width": 672,
    },
}


def measure(race: Race) -> dict[str, Any]:
    """One contestant, from its first step to the target or its last step."""
    process = Companion(race.name, [quality_contestants.__file__, json.dumps(dataclasses.asdict(race))])
    try:
        found = process.ask("go")
    finally:
        process.close()
    last = found["rows"][-1]
    say(f"{race.name} seed {race.seed}: {last['loss']:.4f} after {last['step']} steps, {last['seconds']:.1f} s")
    return found


def reached(found: dict[str, Any], target: float) -> float:
    """Seconds at the first reading that is as good; infinity where none is."""
    return next((row["seconds"] for row in found["rows"] if row["loss"] <= target), math.inf)


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    tokens = python_tokens(arguments.data, arguments.vocab_size)
    theirs = Race(
        "nanogpt", tokens.folder, arguments.vocab_size, peer=str(arguments.nanogpt), steps=arguments.steps, every=EVERY
    )
    theirs = dataclasses.replace(theirs, most=arguments.steps, threads=arguments.threads)
    rates = arguments.rates
    tuning = {rate: measure(dataclasses.replace(theirs, learning_rate=rate)) for rate in rates}
    best = min(rates, key=lambda rate: tuning[rate]["rows"][-1]["loss"])
    tuned = dataclasses.replace(theirs, learning_rate=best)
    runs: dict[str, list[dict[str, Any]]] = {"nanoGPT, tuned": []}
    targets = []
    others = contestants(arguments, tokens)
    for seed in range(1, arguments.seeds + 1):
        base = tuning[best] if seed == 1 else measure(dataclasses.replace(tuned, seed=seed))
        runs["nanoGPT, tuned"].append(base)
        targets.append(base["rows"][-1]["loss"])
        for title, race in others.items():
            only_once = title not in ("tezgah", "… from random weights")
            if seed == 1 or not only_once:
                runs.setdefault(title, []).append(measure(dataclasses.replace(race, seed=seed, target=targets[-1])))
    table = tabulate(runs, targets)
    result = {
        "tokens": dataclasses.asdict(tokens),
        "tuning": {str(rate): found["rows"] for rate, found in tuning.items()},
        "targets": targets,
        "runs": runs,
        "peers": {"transformers": metadata.version("transformers"), "nanogpt": git_state(arguments.nanogpt)},
    }
    tried = ", ".join(f"{rate:g}: {found['rows'][-1]['loss']:.3f}" for rate, found in tuning.items())
    notes = (
        f"nanoGPT by learning rate, seed 1: {tried}. Targets {', '.join(f'{target:.3f}' for target in targets)} nats. "
        f"{tokens.train_tokens:,} training tokens, {tokens.bytes_per_token:.2f} bytes each, vocabulary "
        f"{tokens.vocab_size:,}. `>` stands where the target was not reached."
    )
    title = f"Time to the loss of nanoGPT's {arguments.steps} steps of 4,096 tokens of Python"
    measuring.write_results(arguments.results, "time_to_quality", title, f"{table}\n\n{notes}", result, begun)


def contestants(arguments: argparse.Namespace, tokens: PythonTokens) -> dict[str, Race]:
    """Who runs beside tuned nanoGPT, by title."""
    ours = Race("tezgah", tokens.folder, arguments.vocab_size, every=10, threads=arguments.threads)
    line = {title: dataclasses.replace(ours, most=changes["steps"], **changes) for title, changes in PARTS.items()}
    most = arguments.most
    peer = dataclasses.replace(ours, steps=arguments.steps, most=most, every=40)
    line["nanoGPT, its default"] = dataclasses.replace(
        peer, name="nanogpt-default", peer=str(arguments.nanogpt), learning_rate=6e-4
    )
    if arguments.nanochat:
        line["nanochat"] = dataclasses.replace(peer, name="nanochat", peer=str(arguments.nanochat))
    line["transformers' Trainer"] = dataclasses.replace(peer, name="trainer", steps=most, learning_rate=0.0)
    return line


def tabulate(runs: dict[str, list[dict[str, Any]]], targets: list[float]) -> str:
    """Seconds to the target, and how many times sooner than nanoGPT tuned."""
    base = [reached(found, target) for found, target in zip(runs["nanoGPT, tuned"], targets, strict=True)]
    header = ["contestant", "parameters", "tokens per step", "steps", "seconds", "tuned nanoGPT's seconds ÷ these"]
    rows = []
    for title, founds in runs.items():
        size = founds[0]["parameters"]
        assert abs(size / runs["nanoGPT, tuned"][0]["parameters"] - 1) <= PARAMETERS, f"{title}: {size:,} parameters"
        seconds = [reached(found, target) for found, target in zip(founds, targets, strict=False)]
        ratios = [theirs / own for theirs, own in zip(base, seconds, strict=False)]
        steps = statistics.median(found["rows"][-1]["step"] for found in founds)
        cells = [title, f"{size:,}", f"{founds[0]['batch_tokens']:,}", f"{steps:g}"]
        if math.inf in seconds:
            last = founds[0]["rows"][-1]
            cells += [f"> {last['seconds']:,.0f} (at {last['loss']:.3f})", f"< {base[0] / last['seconds']:.2f}"]
        else:
            cells += [measuring.spread(seconds).text(1), measuring.spread(ratios).text(2)]
        rows.append(cells)
    return measuring.markdown_table(header, rows)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    made.add_argument("--nanochat", type=Path, help="a checkout of nanochat; skipped without it")
    made.add_argument("--data", type=Path, default=Path("runs/python-tokens"), help="folder for the tokens")
    made.add_argument("--vocab-size", type=int, default=8_192, help="of the tokenizer that all share")
    made.add_argument("--steps", type=int, default=400, help="of nanoGPT, which set the mark")
    made.add_argument(
        "--rates", type=float, nargs="+", default=list(RATES), help="learning rates nanoGPT is tuned over"
    )
    made.add_argument("--most", type=int, default=600, help="steps after which other peers give up")
    made.add_argument("--seeds", type=int, default=3, help="of nanoGPT tuned and of ours; others run once")
    made.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
