"""`Sandbox`: workers that judge samples side by side, and the verdicts in the order of the samples."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tezgah.errors import InputError
from tezgah.evaluation.sandbox import frames
from tezgah.evaluation.sandbox.confinement import NEEDED, WEAK, level
from tezgah.evaluation.sandbox.own_time import grace_seconds
from tezgah.evaluation.sandbox.self_attack import attack
from tezgah.evaluation.sandbox.verdict import Verdict, one_line
from tezgah.evaluation.tasks import Task

LAYERS = ("landlock", "seccomp", "namespaces")  # tried, in this order of worth
MEMORY_BYTES = 1 << 30
LONGEST_PROGRAM = 1_000_000  # letters of prompt and completion

# -s and -P keep the user's packages and the working folder out, -S all installed ones; -I would do so too, but it
# ignores PYTHONHASHSEED, without which the order of a set, and with it a verdict, would differ between workers.
_FLAGS = ("-s", "-P", "-S", "-B", "-X", "utf8")
_START = """
import sys
seconds, memory_bytes, home, *layers = sys.argv[1:]
sys.path.append(home)  # last: nothing that lies there may stand in for the standard library
from tezgah.evaluation.sandbox.worker import main
sys.path.remove(home)
main(float(seconds), int(memory_bytes), layers)
"""

_Sample = tuple[Task, str, float, float]  # a task, a completion of its prompt, its seconds, and those of grace


class Sandbox:
    """Judges samples in processes that can neither do harm nor decide about themselves.

    Used as a context manager. `workers` samples are judged at a time (default: a core each), each in
    `seconds` of its own time and with `memory_bytes` of address space. On entering it attacks itself;
    `isolation` is the level that held. Raises InputError where that is weak, unless `accept_weak`.
    """

    def __init__(
        self,
        workers: int | None = None,
        seconds: float = 3.0,
        memory_bytes: int = MEMORY_BYTES,
        accept_weak: bool = False,
    ) -> None:
        self.n_workers = workers or _usable_cores()
        self.seconds, self.memory_bytes, self.accept_weak = seconds, memory_bytes, accept_weak
        self.isolation = WEAK
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self.n_workers):
                self._workers.append(_Worker(self.seconds, self.memory_bytes))
            reached = [worker.hello() for worker in self._workers]
            layers = [layer for layer in LAYERS if all(layer in each for each in reached)]
            wrong = attack(self._judged_alone)
            self.isolation = WEAK if wrong else level(layers)
            if self.isolation == WEAK and not self.accept_weak:
                raise InputError(_refusal([layer for layer in NEEDED if layer not in layers], wrong))
        except BaseException:
            self._end(at_once=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(at_once=kind is not None)

    def close(self) -> None:
        """End the workers, each after the sample that it judges."""
        self._end(at_once=False)

    def judge(self, samples: Iterable[tuple[Task, str]]) -> Iterator[Verdict]:
        """A verdict for each task with a completion of its prompt, in the order given.

        `samples` is read as workers become free. One that ends soon after its time is judged once more,
        alone, and that counts. Where this is left by an error, an interrupt say, the workers are ended.
        """
        grace = grace_seconds(self.seconds, is_alone=len(self._workers) == 1)
        found: dict[int, Verdict] = {}
        told = 0
        for place, verdict in self._answers((task, completion, self.seconds, grace) for task, completion in samples):
            found[place] = verdict
            while told in found:
                yield found.pop(told)
                told += 1

    def _answers(self, samples: Iterator[_Sample]) -> Iterator[tuple[int, Verdict]]:
        """Verdicts as they come, with the places of their samples."""
        idle, waiting = list(self._workers), enumerate(samples)
        busy: dict[_Worker, tuple[int, _Sample]] = {}
        again: list[tuple[int, _Sample]] = []
        if not idle:
            raise RuntimeError("the sandbox is closed")
        with selectors.DefaultSelector() as selector:
            for worker in idle:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            try:
                while True:
                    while idle and not again and (following := next(waiting, None)):
                        if why := _too_long(*following[1][:2]):
                            yield following[0], Verdict(False, why)
                            continue
                        worker = idle.pop()
                        worker.ask(following[1])
                        busy[worker] = following
                    if not busy and again:
                        place, (task, completion, seconds, _) = again.pop()
                        yield place, _verdict(self._workers[0].judge((task, completion, seconds, 0.0)))
                    elif not busy:
                        return
                    for key, _ in selector.select() if busy else ():
                        worker = key.data
                        answer, following = worker.answer(), busy.pop(worker)
                        idle.append(worker)
                        if answer["is_close"]:
                            again.append(following)
                        else:
                            yield following[0], _verdict(answer)
            except GeneratorExit:  # whoever asked has lost interest: the workers stay of use
                for worker in busy if self._workers else ():
                    worker.answer()
                raise
            except BaseException:  # some of them may be in the middle of a message
                self._end(at_once=True)
                raise

    def _judged_alone(self, task: Task, completion: str, seconds: float) -> dict[str, Any]:
        return self._workers[0].judge((task, completion, seconds, grace_seconds(seconds, is_alone=True)))

    def _end(self, at_once: bool) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close(at_once)


class _Worker:
    """A process of `worker.py`."""

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        home = str(Path(__file__).parents[3])
        environment = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LD_BIND_NOW": "1"}  # names looked up here, not in each fork
        if "LD_LIBRARY_PATH" in os.environ:  # some builds of Python find themselves by it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        self.process = subprocess.Popen(
            [sys.executable, *_FLAGS, "-c", _START, str(seconds), str(memory_bytes), home, *LAYERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=environment,
            start_new_session=True,  # the terminal's Ctrl-C is for whoever started this
        )
        assert self.process.stdin and self.process.stdout
        self.input: IO[bytes] = self.process.stdin
        self.output: IO[bytes] = self.process.stdout

    def hello(self) -> list[str]:
        """The layers that it put on."""
        layers: list[str] = self._received()
        return layers

    def judge(self, sample: _Sample) -> dict[str, Any]:
        self.ask(sample)
        return self.answer()

    def ask(self, sample: _Sample) -> None:
        task, completion, seconds, grace = sample
        request = {
            "prompt": task.prompt,
            "test": task.test,
            "entry_point": task.entry_point,
            "program": task.prompt + completion,
            "seconds": seconds,
            "grace": grace,
        }
        frames.send(self.input.fileno(), json.dumps(request).encode(), frames.ANY_BYTES)

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._received()
        return answer

    def close(self, at_once: bool) -> None:
        """End it: now, or by the end of its input once a sample under judgement has had its time."""
        if at_once:
            self.process.kill()
        self.input.close()
        self.output.close()
        self.process.wait()

    def _received(self) -> Any:
        try:
            return json.loads(frames.receive(self.output.fileno()))
        except frames.Closed:
            raise RuntimeError("a worker of the sandbox has ended unexpectedly") from None


def _too_long(task: Task, completion: str) -> str:
    """Why a program is not judged at all, nothing where it is."""
    letters = len(task.prompt) + len(completion)
    return "" if letters <= LONGEST_PROGRAM else f"a program of {letters:,} letters; {LONGEST_PROGRAM:,} are the most"


def _verdict(answer: dict[str, Any]) -> Verdict:
    return Verdict(answer["passed"], one_line(answer["reason"]))


def _refusal(missing: list[str], wrong: str) -> str:
    why = f"no {' and no '.join(missing)}" if missing else wrong
    return (
        f"the sandbox is weak on this system: {why}. Judge on Linux 5.13 or newer, or add --accept-weak-isolation on a "
        "machine that you can lose."
    )


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
