"""How a training step's time and memory grow with the vocabulary and with the context, ours beside the peers'.

    python benchmarks/step_growth.py --nanogpt PATH/nanoGPT --nanochat PATH/nanochat

4 layers × 256, always 4,096 tokens a step, bf16, compiled. Each point is a process of its own, which tells the most
memory it ever held; contestants take turns, and a point is measured in three rounds of steps.
"""

import argparse
import dataclasses
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measuring
import training_step
from contestants import CONTESTANTS
from task import Task, write_data

from tezgah.console import say
from tezgah.runlog import git_state

TOKENS = 4_096  # of a step
IDS = 8_192  # different ones in the data; a larger vocabulary is larger all the same
POINTS = [(IDS, 256), (32_768, 256), (131_072, 256), (IDS, 1_024), (IDS, 4_096)]  # vocabulary, context
NAMES = ("tezgah-gpt2", "tezgah-default", "nanogpt", "nanochat", "trainer")


def measure(names: list[str], task: Task, rounds: int, steps: int) -> dict[str, dict[str, Any]]:
    """Seconds of a step in every round and the peak memory of each contestant, one process at a time."""
    found = {}
    for name in names:
        contestant = training_step.Contestant(name, task)
        try:
            seconds = [task.batch_tokens / contestant.run(steps) for _ in range(rounds)]
        finally:
            contestant.process.close()
        found[name] = {"seconds": seconds, "peak_bytes": contestant.peak}
        say(f"{name}: {statistics.median(seconds):.3f} s a step, at most {contestant.peak / 1e6:,.0f} MB")
    return found


def tabulate(points: list[dict[str, Any]], names: list[str]) -> str:
    """A row for each point: seconds and megabytes of each contestant."""
    header = ["vocabulary", "context", *(f"{name}, s a step" for name in names), *(f"{name}, MB" for name in names)]
    rows = []
    for point in points:
        found = point["found"]
        seconds = [f"{statistics.median(found[name]['seconds']):.3f}" for name in names]
        memory = [f"{found[name]['peak_bytes'] / 1e6:,.0f}" for name in names]
        rows.append([f"{point['vocab_size']:,}", f"{point['context_length']:,}", *seconds, *memory])
    return measuring.markdown_table(header, rows)


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    names = [name for name in arguments.contestants if getattr(arguments, name, True)]
    points = []
    with TemporaryDirectory() as data:
        write_data(Path(data), IDS, documents=200, length=8_191)
        for vocab_size, context_length in POINTS:
            say(f"vocabulary {vocab_size:,}, context {context_length:,}")
            task = Task(
                data=data,
                nanogpt=str(arguments.nanogpt or ""),
                nanochat=str(arguments.nanochat or ""),
                threads=arguments.threads,
                vocab_size=vocab_size,
                batch_size=TOKENS // context_length,
                n_layers=4,
                width=256,
                n_heads=4,
                context_length=context_length,
            )
            found = measure(names, task, arguments.rounds, arguments.steps)
            points.append({"vocab_size": vocab_size, "context_length": context_length, "found": found})
    peers = {peer: git_state(getattr(arguments, peer)) for peer in ("nanogpt", "nanochat") if getattr(arguments, peer)}
    table = tabulate(points, names)
    notes = f"Medians of {arguments.rounds} rounds of {arguments.steps} steps; memory is the whole process's."
    result = {"points": points, "peers": peers, "task": dataclasses.asdict(task) | {"data": "", "nanogpt": ""}}
    title = "The training step as vocabulary and context grow: 4 layers × 256, 4,096 tokens a step, bf16, compiled"
    measuring.write_results(arguments.results, "step_growth", title, f"{table}\n\n{notes}", result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT; skipped without it")
    made.add_argument("--nanochat", type=Path, help="a checkout of nanochat; skipped without it")
    made.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(NAMES), metavar="NAME")
    made.add_argument("--rounds", type=int, default=3, help="of each contestant at each point")
    made.add_argument("--steps", type=int, default=3, help="in a round")
    made.add_argument("--threads", type=int, default=2, help="CPU threads of each")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
