"""Does the number of shards matter? Tokens/s of the data path and of a small training, over the same ids.

    python benchmarks/shards.py --shards 1 100 10000

The same random ids are written in each number of shards; the most makes shards of 1 KB. Measured are the seconds until
a stream is open, batches drawn at random without training (as the training's thread draws them), and the
steps of a small training. Each number of shards has its turn in every round, every second round in reverse.
"""

import argparse
import contextlib
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measuring
from task import Task, config_of, write_data

SHARD_TOKENS = 448  # of two bytes, with the file's header 1,024 bytes
TASK = Task(n_layers=2, width=128, n_heads=2, context_length=256, batch_size=16, vocab_size=4_096, compiled=False)


class Contestant:
    """One number of shards: a stream, and a training on it."""

    def __init__(self, folder: Path, shards: int, most: int, run: Path, task: Task) -> None:
        self.shards, self.task = shards, task
        self.folder = folder / str(shards)
        if not self.folder.exists():
            tokens = most * SHARD_TOKENS  # one document between two separators
            write_data(self.folder, task.vocab_size, 1, tokens - 2, -(-tokens // shards))
        self.opened = [self._open_seconds() for _ in range(5)]
        before = len(os.listdir("/dev/fd"))
        self.sequences = self._sequences()
        self.drawn = self.stepped = 0
        self.trainer = self._trainer(run)
        self.draw(2)
        self.step(2)
        self.held_files = len(os.listdir("/dev/fd")) - before

    def draw(self, batches: int) -> float:
        """Tokens/s of drawing batches, no one twice."""
        begun = time.perf_counter()
        for _ in range(batches):
            self.sequences.take(1, self.drawn, self.task.batch_size)
            self.drawn += self.task.batch_size
        return batches * self.task.batch_tokens / (time.perf_counter() - begun)

    def step(self, steps: int) -> float:
        """Tokens/s of training."""
        begun = time.perf_counter()
        for _ in range(steps):
            self.stepped += 1
            self.trainer.step(self.stepped, 1_000_000)
        return steps * self.task.batch_tokens / (time.perf_counter() - begun)

    def _sequences(self) -> Any:
        from tezgah.tokens.sequences import Sequences
        from tezgah.tokens.shards import TokenStream

        return Sequences(TokenStream(self.folder / "tokens", "train"), self.task.context_length)

    def _open_seconds(self) -> float:
        begun = time.perf_counter()
        self._sequences()
        return time.perf_counter() - begun

    def _trainer(self, run: Path) -> Any:
        from tezgah.models.build import build_model
        from tezgah.training.loop import Trainer
        from tezgah.training.place import choose_place
        from tezgah.training.reader import Callbacks, Data
        from tezgah.training.settings import TrainSettings
        from tezgah.training.signals import StopWish
        from tezgah.training.world import join_world

        settings = TrainSettings(
            steps=1_000_000, batch_size=self.task.batch_size, device="cpu", compile=False, threads=self.task.threads
        )
        nothing = Callbacks(lambda model, place: {}, lambda model, place: [], lambda folder: None)
        model, data = build_model(config_of(self.task, "gpt2"), seed=1), Data(self.sequences, self.sequences, 0)
        return Trainer(model, data, settings, run, "", nothing, join_world(), choose_place(settings), StopWish())


def rounds(contestants: list[Contestant], count: int, measure: Callable[[Contestant], float]) -> dict[int, list[float]]:
    """What is measured of each, a number a round."""
    found: dict[int, list[float]] = {each.shards: [] for each in contestants}
    for number in range(count):
        for each in contestants if number % 2 == 0 else contestants[::-1]:
            found[each.shards].append(measure(each))
    return found


def table(results: list[dict[str, Any]]) -> str:
    """A row a number of shards."""
    header = ["shards", "each", "open, ms", "files held open", "tokens/s drawn", "tokens/s trained", "of one shard's"]
    base = statistics.median(results[0]["trained"])
    rows = [
        [
            f"{each['shards']:,}",
            f"{each['shard_bytes'] / 1024:,.0f} KiB",
            measuring.spread([1_000 * seconds for seconds in each["open_seconds"]]).text(1),
            str(each["held_files"]),
            measuring.spread(each["drawn"]).text(),
            measuring.spread(each["trained"]).text(),
            f"{statistics.median(each['trained']) / base:.1%}",
        ]
        for each in results
    ]
    return measuring.markdown_table(header, rows)


@contextlib.contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """The folder given, or one that is removed at the end."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as made:
        yield Path(made)


def main() -> None:
    arguments = parser().parse_args()
    begun, most = measuring.conditions(), max(arguments.shards)
    task = replace(TASK, threads=arguments.threads)
    with place(arguments.folder) as folder, TemporaryDirectory() as run:
        contestants = [Contestant(folder, shards, most, Path(run), task) for shards in arguments.shards]
        drawn = rounds(contestants, arguments.rounds, lambda each: each.draw(arguments.batches))
        trained = rounds(contestants, arguments.rounds, lambda each: each.step(arguments.steps))
        results = [
            {
                "shards": each.shards,
                "shard_bytes": max(path.stat().st_size for path in each.folder.glob("tokens/train-0*.npy")),
                "open_seconds": each.opened,
                "held_files": each.held_files,
                "drawn": drawn[each.shards],
                "trained": trained[each.shards],
            }
            for each in contestants
        ]
        for each in contestants:
            each.trainer.stepper.batches.close()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    title = f"Shards: {most * SHARD_TOKENS:,} tokens, context {task.context_length}, batches of {task.batch_size}"
    result = {"file_limit": limit, "load_at_the_end": os.getloadavg(), "results": results}
    measuring.write_results(arguments.results, "shards", title, table(results), result, begun)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--shards", type=int, nargs="+", default=[1, 100, 10_000], help="numbers of shards")
    made.add_argument("--rounds", type=int, default=7, help="rounds of each measurement")
    made.add_argument("--batches", type=int, default=100, help="batches drawn in a round")
    made.add_argument("--steps", type=int, default=10, help="steps trained in a round")
    made.add_argument("--threads", type=int, default=2, help="threads of the training")
    made.add_argument("--folder", type=Path, help="where the ids are written; without it a temporary folder")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
