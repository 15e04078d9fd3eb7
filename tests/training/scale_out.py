"""Tiny trainings by several processes: started by a launcher, it does one job of a list after another.

    torchrun … tests/training/scale_out.py JOBS.json

A job is a folder and what of [train] differs from `SETTINGS`. With `"killed_after"` the last process ends itself by
SIGKILL in the second step after a checkpoint: the first one named in the first start of a launcher, the second in its
restart.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import torch.distributed as dist

import tezgah.training.step as step
from tests.training import test_loop
from tezgah.console import say
from tezgah.models.settings import ModelSettings
from tezgah.training.place import choose_place
from tezgah.training.settings import TrainSettings
from tezgah.training.world import begin, end, join_world

# Heads of 4: of three processes the last holds none of these rows. No number of rows is a multiple of 3.
SHAPE = ModelSettings(n_layers=2, width=32, n_heads=8, context_length=16)
SETTINGS = TrainSettings(
    steps=20,
    batch_size=6,
    device="cpu",
    compile=False,
    threads=1,
    precision="fp32",
    checkpoint_steps=6,
    keep_checkpoints=20,
    validation_steps=20,
    validation_batches=1,
)


def do(job: dict[str, Any]) -> None:
    """One training."""
    settings = msgspec.convert({**msgspec.to_builtins(SETTINGS), **job["train"]}, TrainSettings)
    if "killed_after" in job:
        _kill_after(job["killed_after"], Path(job["folder"]))
    shape = msgspec.structs.replace(SHAPE, **job.get("model", {}))
    test_loop.train(Path(job["folder"]), settings, shape=shape)


def _kill_after(steps: list[int], folder: Path) -> None:
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    whole = step.Stepper.step

    def take(self: step.Stepper, number: int, total: int) -> dict[str, Any]:
        if self.world.rank == self.world.size - 1 and attempt < len(steps) and number == steps[attempt] + 2:
            while not (folder / "checkpoints" / f"step-{steps[attempt]:06d}").exists():
                time.sleep(0.01)  # the thread that writes it goes on
            (folder / "killed").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, number, total)

    step.Stepper.step = take  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    begin(join_world(), choose_place(SETTINGS))
    for each in json.loads(Path(sys.argv[1]).read_text()):
        say(f"job {Path(each['folder']).name}")
        do(each)
        dist.barrier()
    end()
