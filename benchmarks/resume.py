"""Twenty times SIGKILL, twenty times the same command again: are the bits those of an uninterrupted run?

    python benchmarks/resume.py

A recipe runs once undisturbed, and once more in another folder, where it is killed at random: when
`metrics.jsonl` reaches a step drawn by lot, and then up to two steps' time later, so that kills fall into
steps, readings and the writing of checkpoints alike. Compared are the weights, the optimizer's
tensors, and every number in `metrics.jsonl` that no clock has a part in. Exits with 1 where anything differs.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import measuring

from tezgah.console import say
from tezgah.files import hash_file
from tezgah.starting import checkpoints
from tezgah.training.checkpoint import read_state

CLOCKED = ("seconds", "tokens_per_second")


@dataclass(frozen=True)
class Restart:
    """What one kill left, and where the next start went on."""

    killed_after: int  # the last step in metrics.jsonl
    checkpoint: int | None  # the newest one's step
    next_row: int  # the first step that the next start recorded
    torn: tuple[str, ...] = ()  # what it was writing


def uninterrupted(command: Sequence[str]) -> None:
    """Run `command` to its end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        if process.wait():
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")


def interrupted(command: Sequence[str], run: Path, steps: int, kills: int, seed: int) -> list[Restart]:
    """Run `command`, which trains in `run`, to its end, killed `kills` times."""
    lot, left = random.Random(seed), []
    for step in sorted(lot.sample(range(1, steps * 9 // 10), kills)):
        kill_at_step(command, run, max(step, len(metrics(run))), later=2 * lot.random())  # at least a row further
        left.append((metrics(run), newest_checkpoint(run), torn(run)))
        rows, checkpoint, writing = left[-1]
        during = f" while it wrote {', '.join(writing)}" if writing else ""
        say(f"killed after step {len(rows) - 1:,}{during}; the newest checkpoint is of step {checkpoint}")
    uninterrupted(command)
    afterwards = [rows for rows, _, _ in left[1:]] + [metrics(run)]
    return [
        Restart(len(before) - 1, checkpoint, first_new_row(before, after), writing)
        for (before, checkpoint, writing), after in zip(left, afterwards, strict=True)
    ]


def torn(run: Path) -> tuple[str, ...]:
    """What a killed process was writing, by the name that it would have had."""
    return tuple(sorted({path.name[1:].rsplit(".", 2)[0] for path in run.rglob(".*.part")}))


def kill_at_step(command: Sequence[str], run: Path, step: int, later: float = 0.0) -> None:
    """Run `command` until `metrics.jsonl` has a row of `step`, then end it and its children by SIGKILL.

    The kill falls `later` × the time of that step after its row was seen.
    """
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            while len(metrics(run)) <= step:
                if process.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} ended with {process.returncode} before step {step:,}.")
                time.sleep(0.005)
            if later:
                seconds = [json.loads(line)["seconds"] for line in metrics(run)[-6:]]
                time.sleep(later * median(b - a for a, b in pairwise(seconds)))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def metrics(run: Path) -> list[bytes]:
    """The whole lines of `metrics.jsonl`; the first is of step 0."""
    with contextlib.suppress(FileNotFoundError):
        return [line for line in (run / "metrics.jsonl").read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"]
    return []


def newest_checkpoint(run: Path) -> int | None:
    """Its step, None where there is none."""
    folders = checkpoints(run)
    return read_state(folders[-1]).step if folders else None


def first_new_row(before: list[bytes], after: list[bytes]) -> int:
    """The first step whose row a later start wrote: rows that were kept are the same to the byte.

    A row written again has other seconds.

    >>> first_new_row([b"0: 1 s", b"1: 2 s", b"2: 3 s"], [b"0: 1 s", b"1: 2 s", b"2: 9 s", b"3: 9 s"])
    2
    """
    kept = zip(before, after, strict=False)
    return next((step for step, (old, new) in enumerate(kept) if old != new), len(before))


def compare(expected: Path, run: Path) -> dict[str, bool]:
    """What of two finished runs is equal, bit for bit."""
    losses, others = zip(*(split_row(json.loads(line)) for line in metrics(expected)), strict=True)
    own_losses, own_others = zip(*(split_row(json.loads(line)) for line in metrics(run)), strict=True)
    weights = Path("model/model.safetensors")
    states = [checkpoints(each)[-1] / "training_state" / "optimizer.safetensors" for each in (expected, run)]
    return {
        "model.safetensors": hash_file(expected / weights) == hash_file(run / weights),
        "every step's loss": losses == own_losses,
        "optimizer.safetensors": hash_file(states[0]) == hash_file(states[1]),
        "every other figure but the clock's": others == own_others,
    }


def split_row(row: dict[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """A row's loss, and the rest of it that is not time."""
    return row.get("loss"), {name: value for name, value in row.items() if name not in ("loss", *CLOCKED)}


def report(restarts: list[Restart], equal: dict[str, bool]) -> tuple[str, bool]:
    """The table, and whether all is as it must be."""
    rows, good = [], all(equal.values())
    for number, restart in enumerate(restarts, start=1):
        follows = restart.next_row == (0 if restart.checkpoint is None else restart.checkpoint + 1)
        good &= follows
        during = f" while it wrote {', '.join(restart.torn)}" if restart.torn else ""
        went = f"killed after step {restart.killed_after:,}{during}, went on from checkpoint {restart.checkpoint}"
        rows.append([f"restart {number}", f"{went} with step {restart.next_row:,}", "yes" if follows else "**no**"])
    rows += [[name, "as in the uninterrupted run", "yes" if value else "**no**"] for name, value in equal.items()]
    return measuring.markdown_table(["what", "how", "holds"], rows), good


def main() -> None:
    arguments = parser().parse_args()
    begun = measuring.conditions()
    folder = arguments.folder or Path(mkdtemp(prefix="tezgah-resume-"))
    checkpoint_steps = arguments.checkpoint_steps or max(1, arguments.steps // 40)
    flags: dict[str, Any] = {
        "train.steps": arguments.steps,
        "train.checkpoint_steps": checkpoint_steps,
        "train.threads": arguments.threads,
        "train.precision": "bf16",
        "train.compile": str(arguments.compile).lower(),
    }
    flags |= dict(each.split("=", 1) for each in arguments.set)
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tezgah", "run", str(arguments.recipe), *words, "--run"]
    whole, killed = folder / "uninterrupted", folder / "killed"
    for each in (whole, killed):
        if each.exists():
            raise SystemExit(f"{each} exists. Both runs begin from nothing: remove it, or give another --folder.")
    say(f"the uninterrupted run, in {whole}")
    uninterrupted([*command, str(whole)])
    say(f"the run that is killed, in {killed}")
    restarts = interrupted([*command, str(killed)], killed, arguments.steps, arguments.kills, arguments.seed)
    equal = compare(whole, killed)
    table, good = report(restarts, equal)
    how = f"bf16, {'compiled' if arguments.compile else 'uncompiled'}, {arguments.threads} threads"
    title = (
        f"{arguments.kills} kills: {arguments.recipe.name}, {arguments.steps:,} steps, "
        f"a checkpoint every {checkpoint_steps}; {', '.join([how, *arguments.set])}"
    )
    result = {"flags": flags, "restarts": [asdict(restart) for restart in restarts], "equal": equal, "holds": good}
    measuring.write_results(arguments.results, "resume", title, table, result, begun)
    sys.exit(0 if good else 1)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    description = (__doc__ or "").split("\n")[0]
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    recipe = measuring.REPOSITORY / "recipes" / "stdlib-code.toml"
    made.add_argument("--recipe", type=Path, default=recipe, help="what is run")
    made.add_argument("--steps", type=int, default=400, help="steps of training")
    made.add_argument("--checkpoint-steps", type=int, default=0, help="steps between checkpoints; 0 is a fortieth")
    made.add_argument("--kills", type=int, default=20, help="how often it is killed")
    made.add_argument("--seed", type=int, default=1, help="of the lot that says when")
    made.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of the recipe, told anew")
    made.add_argument("--threads", type=int, default=2, help="CPU threads")
    made.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile")
    made.add_argument("--folder", type=Path, help="where both runs are kept; without it a temporary folder")
    made.add_argument("--results", type=Path, default=measuring.RESULTS, help="folder for the results")
    return made


if __name__ == "__main__":
    main()
