"""A process of its own that samples and judges made-up tasks for a test that kills it; it is given a folder."""

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from tezgah.evaluation import task_run
from tezgah.evaluation.sandbox import Verdict
from tezgah.evaluation.task_results import Sampling, TaskSettings
from tezgah.evaluation.tasks import Task

TEST = "def check(candidate):\n    assert candidate(2) == 4\n"
TASKS = [Task(f"task/{number}", f"def f{number}(x):", TEST, f"f{number}", None) for number in range(30)]
BODIES = ("\n    return 2 * x\n", "\n    return (\n", "\n    raise ValueError\n", "\n    return x ** 3\nprint(1)\n")
SETTINGS = TaskSettings(
    model="made-up",
    model_hash="1" * 64,
    tasks="made-up.jsonl",
    tasks_hash="2" * 64,
    sampling=Sampling(n=5, temperature=0.5, top_p=1.0, seed=1, max_new_tokens=9, until="block"),
    isolation="none",
    versions={"python": "3"},
)


def cut(task, text):
    return text.split("\nprint")[0]


class Slow:
    """A model that draws a body by a hash, and a judge that runs it here: they take `seconds` for each sample."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.completed, self.judged = 0, 0

    def complete(self, tasks, n, seeds):
        for task, seed in zip(tasks, seeds, strict=True):
            drawn = []
            for sample in range(n):
                time.sleep(self.seconds)
                digest = hashlib.sha256(f"{task.prompt} {seed} {sample}".encode()).digest()
                drawn.append(BODIES[digest[0] % len(BODIES)])
                self.completed += 1
            yield drawn

    def judge(self, samples):
        for task, completion in samples:
            time.sleep(self.seconds)
            self.judged += 1
            held: dict[str, Any] = {}
            try:
                exec(task.prompt + completion + "\n" + task.test, held)
                held["check"](held[task.entry_point])
            except (SyntaxError, ValueError, AssertionError) as error:
                yield Verdict(False, f"{type(error).__name__} in {object()!r}")
            else:
                yield Verdict(True, "passed")


def go(folder, seconds=0.0, tasks=TASKS, settings=SETTINGS):
    slow = Slow(seconds)
    return task_run.run_tasks(tasks, settings, slow.complete, cut, slow.judge, folder), slow


if __name__ == "__main__":
    go(Path(sys.argv[1]), 0.005)
