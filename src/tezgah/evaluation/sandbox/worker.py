"""A process that judges samples one after the other: a small one, started before anything large is in it.

It runs nothing of a task's itself, it only compiles. For each sample it has two processes made, the candidate's and
the trial's, waits for the verdict as long as the sample may take, and ends both. It is started by
`pool.py` with nothing but the standard library and speaks JSON over its input and output.
"""

import gc
import json
import os
import select
import signal
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from tezgah.evaluation.sandbox import frames, trial
from tezgah.evaluation.sandbox.confinement import Confinement, Limits, available
from tezgah.evaluation.sandbox.forking import fork, no_hooks
from tezgah.evaluation.sandbox.keeper import Keeper
from tezgah.evaluation.sandbox.own_time import OwnTime

# What candidates and tests commonly import: here once, instead of in every process.
PRELOADED = """
abc array base64 bisect calendar cmath collections copy dataclasses datetime decimal enum fractions functools hashlib
heapq itertools json math numbers operator random re statistics string textwrap time types typing unicodedata
"""
SEED = 0  # of the `random` module in every process, so that a verdict does not hang on luck


def main(seconds: float, memory_bytes: int, wanted: list[str]) -> None:
    """Judge the samples that come over standard input, until it ends."""
    requests, answers = _own_channels()
    os.environ.clear()
    with no_hooks():
        import random

        for name in PRELOADED.split():
            import_module(name)
    random.seed(SEED)  # nothing here draws from it
    time.tzset()
    layers = available(wanted)
    confinement = Confinement(Limits(seconds, memory_bytes), layers)
    keeper = Keeper(confinement, "namespaces" in wanted)
    if "namespaces" in wanted and not keeper.is_ready:
        keeper.close()
        keeper = Keeper(confinement, with_namespaces=False)
        wanted = [layer for layer in wanted if layer != "namespaces"]
    if not keeper.is_ready:
        raise RuntimeError("the keeper did not start")
    confinement.prepare()
    _rehearse(keeper)
    gc.collect()
    gc.freeze()  # the children's collector leaves alone what all share
    reached = [layer for layer in wanted if layer in (*layers, "namespaces")]
    with suppress(frames.Closed):  # whoever asks has gone, be it in the middle of a sample
        frames.send(answers, json.dumps(reached).encode())
        while True:
            task = json.loads(frames.receive(requests, frames.ANY_BYTES))
            frames.send(answers, json.dumps(_judge(task, keeper, confinement)).encode())
    keeper.close()


def _rehearse(keeper: Keeper) -> None:
    """Do in this process what the processes of trials will do, as `cell.rehearse` does in the keeper."""
    link, *candidate = keeper.start()
    trial.rehearse(link)
    keeper.end()
    for descriptor in (link, *candidate):
        os.close(descriptor)


def _judge(task: dict[str, Any], keeper: Keeper, confinement: Confinement) -> dict[str, Any]:
    """What is found about one sample; nothing of it is left when this returns."""
    read = trial.read(task["prompt"], task["test"])
    link, *candidate = keeper.start()
    verdict, written = os.pipe()
    process = fork(lambda: trial.main(link, written, confinement, task, read))
    os.close(written)
    os.close(link)
    clock = OwnTime(process, candidate[0] if candidate else None, task["seconds"], task["grace"])
    try:
        said = _awaited(verdict, clock)
    finally:
        status = keeper.end()
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(verdict)
        for descriptor in candidate:
            os.close(descriptor)
    if said is None or clock.is_over():
        passed, reason = False, f"timed out after {task['seconds']:g} s"
    else:
        passed, reason = _read(said)
    if reason == trial.ENDED:
        reason += _how(status)
    return {"passed": passed, "reason": reason, "is_close": clock.is_close()}


def _awaited(verdict: int, clock: OwnTime) -> bytes | None:
    """What the trial said until its end, a little more than a verdict at most; None where it did not end in time."""
    poll = select.poll()
    poll.register(verdict, select.POLLIN)
    said = b""
    while (left := clock.left()) > 0:
        if poll.poll(1_000 * left):
            piece = os.read(verdict, trial.LONGEST_VERDICT)
            said += piece
            if not piece or len(said) > trial.LONGEST_VERDICT:
                clock.stop()
                return said
    clock.stop()
    return None


def _read(said: bytes) -> tuple[bool, str]:
    """Whether a sample passed, and why not; a test can write here too, and is given what it harms itself by."""
    try:
        told = json.loads(said)
        return told["passed"] is True, str(told["reason"])
    except (ValueError, RecursionError, TypeError, KeyError):
        return False, "the process of the test ended: out of memory, or of its interpreter's stack"


def _how(status: int) -> str:
    """How a process ended that nobody had ended."""
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        return f" by {signal.Signals(os.WTERMSIG(status)).name}"
    return f" with code {os.WEXITSTATUS(status)}" if os.WIFEXITED(status) else ""


def _own_channels() -> tuple[int, int]:
    """Standard input and output for this process alone; those that children have are empty."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, answers
