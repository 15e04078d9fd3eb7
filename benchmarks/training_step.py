"""Tokens per second of the training step: ours beside nanoGPT's model and loop and transformers' Trainer.

    python benchmarks/training_step.py --nanogpt PATH/nanoGPT

All train 6 layers × 384 wide (6 heads) at context 256, batch 16, vocabulary 12,544, on the same
random ids, in bf16 and compiled. Each is a process of its own (contestants.py) that trains k steps
when it is told to and sleeps otherwise. After a warm-up the rounds begin: each contestant in turn,
every second round in reverse, so that a machine that slows down slows all of them. A pair is two
contestants in one round.
"""

import argparse
import dataclasses
import importlib.util
import json
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import contestants
import measuring
from companion import Companion
from contestants import CONTESTANTS
from task import Task, write_data

from tezgah.console import say
from tezgah.runlog import git_state

if TYPE_CHECKING:
    from tezgah.training.place import Place

PEER = "nanogpt"  # what ratios are to
WARMUP_STEPS = 5  # the first of them compile
STEPS = {"cpu": 10, "cuda": 200}  # of a round: some seconds
SIZES = ("n_layers", "width", "n_heads", "context_length", "batch_size", "vocab_size")


class Contestant:
    """One process at the other end of a pipe."""

    def __init__(self, name: str, task: Task) -> None:
        self.name, self.task = name, task
        self.process = Companion(name, [contestants.__file__, name, json.dumps(dataclasses.asdict(task))])
        self.waited = self.busy = self.peak = 0.0
        self.run(WARMUP_STEPS)
        self.waited = self.busy = 0.0

    def run(self, steps: int) -> float:
        """Tokens per second of the next `steps` steps."""
        answer = self.process.ask(steps)
        self.waited += answer["waited"]
        self.busy += answer["busy"]
        self.peak = answer["peak"]  # bytes
        return float(steps * self.task.batch_tokens / answer["seconds"])


def measure(names: list[str], task: Task, place: "Place", rounds: int, steps: int) -> dict[str, Any]:
    """Tokens per second of every contestant in every round, and the matrix rate before and after."""
    from tezgah.training.place import matrix_rate

    line: list[Contestant] = []
    try:
        for name in names:
            say(f"{name} warms up")
            line.append(Contestant(name, task))
        rates = [matrix_rate(place)]
        rows: list[dict[str, float]] = []
        for number in range(rounds):
            row = {each.name: each.run(steps) for each in (line if number % 2 == 0 else reversed(line))}
            rows.append({name: row[name] for name in names})
            say(f"round {number + 1} of {rounds}: {', '.join(f'{name} {row[name]:,.0f}' for name in names)} tokens/s")
        rates.append(matrix_rate(place))
    finally:
        for each in line:
            each.process.close()
    return {
        "matrix_rate": {"before": rates[0], "after": rates[1]},  # FLOP/s
        "tokens_per_second": {name: [row[name] for row in rows] for name in names},
        "flops_per_token": {name: contestants.flops_of(name, task) for name in names},
        "cpu_while_waiting": {each.name: each.busy / each.waited for each in line},  # cores
    }


def summarize(measured: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The table, and its numbers: medians, spreads, shares of the matrix rate, ratios pair by pair."""
    speeds: dict[str, list[float]] = measured["tokens_per_second"]
    rate = max(measured["matrix_rate"].values())
    summary, rows = {}, []
    for name, values in speeds.items():
        speed, flops = measuring.spread(values), measured["flops_per_token"][name]
        share = speed.median * flops / rate
        figures: dict[str, Any] = {"tokens_per_second": dataclasses.asdict(speed), "share_of_matrix_rate": share}
        title = (CONTESTANTS[name].__doc__ or name).split("\n")[0].rstrip(".")
        cells = [title, speed.text(), f"{share:.0%}", "–"]
        if PEER in speeds and name != PEER:
            ratio = measuring.spread([ours / theirs for ours, theirs in zip(values, speeds[PEER], strict=True)])
            figures["ratio_to_nanogpt"] = dataclasses.asdict(ratio)
            cells[-1] = ratio.text(2)
        summary[name] = figures
        rows.append([*cells, f"{flops / 1e6:.1f}"])
    header = ["contestant", "tokens/s", "share of the matrix rate", "÷ nanoGPT, pair by pair", "MFLOP/token"]
    before, after = (measured["matrix_rate"][when] / 1e9 for when in ("before", "after"))
    notes = [
        f"Medians of {len(next(iter(speeds.values())))} rounds, lowest and highest in brackets.",
        f"Matrix rate {before:,.0f} GFLOP/s before, {after:,.0f} after; shares are of the higher.",
    ]
    return f"{measuring.markdown_table(header, rows)}\n\n{' '.join(notes)}", summary


def main() -> None:
    arguments = parser().parse_args()
    from tezgah.training.place import choose_place
    from tezgah.training.settings import TrainSettings

    begun = measuring.conditions()
    device, threads = arguments.device, arguments.threads
    place = choose_place(TrainSettings(device=device, threads=threads, precision="bf16", compile=False))
    chosen = {name: getattr(arguments, name) for name in SIZES}
    with TemporaryDirectory() as data:
        write_data(Path(data), arguments.vocab_size, documents=1_000)
        task = Task(
            data=data,
            nanogpt=str(arguments.nanogpt or ""),
            nanochat=str(arguments.nanochat or ""),
            device="cuda" if place.device.type == "cuda" else "cpu",
            threads=place.threads,
            compiled=arguments.compile,
            **chosen,
        )
        steps = arguments.steps or STEPS[task.device]
        measured = measure(present(arguments), task, place, arguments.rounds, steps)
    table, summary = summarize(measured)
    settings = dataclasses.asdict(task) | {"steps": steps, "rounds": arguments.rounds}
    del settings["data"], settings["nanogpt"], settings["nanochat"]
    peers: dict[str, Any] = {"transformers": metadata.version("transformers")} if "trainer" in summary else {}
    for peer in ("nanogpt", "nanochat"):
        if folder := getattr(arguments, peer):
            peers[peer] = git_state(folder)
    result = {"task": settings, "peers": peers, "summary": summary, **measured}
    size = f"{task.n_layers} × {task.width}, context {task.context_length}, batch {task.batch_size}"
    how = f"bf16, {'compiled' if task.compiled else 'uncompiled'}, {task.threads} threads"
    title = f"The training step on {place.environment()['device']}: {size}, vocabulary {task.vocab_size:,}; {how}"
    measuring.write_results(
        arguments.results, f"training_step-{arguments.name or task.device}", title, table, result, begun
    )


def present(arguments: argparse.Namespace) -> list[str]:
    """The contestants asked for that can be had here; says which cannot."""
    names: list[str] = list(arguments.contestants)
    if not arguments.nanogpt and any("nanogpt" in name for name in names):
        say("without nanoGPT: give its checkout with --nanogpt")
        names = [name for name in names if "nanogpt" not in name]
    if not arguments.nanochat and "nanochat" in names:
        say("without nanochat: give its checkout with --nanochat")
        names.remove("nanochat")
    if "trainer" in names and importlib.util.find_spec("transformers") is None:
        say("without transformers' Trainer: it is not installed")
        names = [name for name in names if name != "trainer"]
    return names


def parser() -> argparse.ArgumentParser:
    """The command line; sizes are those of the published table."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT; skipped without it")
    made.add_argument("--nanochat", type=Path, help="a checkout of nanochat; skipped without it")
    made.add_argument("--name", help="of the results, after training_step-; the device's where it is not given")
    names = ", ".join(CONTESTANTS)
    made.add_argument(
        "--contestants", nargs="+", metavar="NAME", choices=CONTESTANTS, default=list(CONTESTANTS), help=f"of {names}"
    )
    made.add_argument("--rounds", type=int, default=6, help="pairs of every two contestants")
    made.add_argument(
        "--steps",
        type=int,
        help=f"steps of a contestant in a round; else {STEPS['cpu']} on a CPU, {STEPS['cuda']} on a GPU",
    )
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train")
    made.add_argument("--threads", type=int, default=0, help="CPU threads of each; 0 takes every core")
    made.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile, for all")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    for name in SIZES:
        made.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Task, name), help="of the model")
    return made


if __name__ == "__main__":
    main()
