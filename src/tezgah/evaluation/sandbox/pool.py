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
from tezgah.evaluation.sandbox.self_attack import attack
from tezgah.evaluation.sandbox.verdict import Verdict, one_line
from tezgah.evaluation.tasks import Task

LAYERS = ("landlock", "seccomp", "namespaces")  # tried, in this order of worth
MEMORY_BYTES = 1 << 30
PASSED = "passed"

# -s and -P keep the user's packages and the working folder out, -S all installed ones; -I would do so too, but it
# ignores PYTHONHASHSEED, without which the order of a set, and with it a verdict, would differ between workers.
_FLAGS = ("-s", "-P", "-S", "-B", "-X", "utf8")
_START = """
import sys
seconds, memory_bytes, home, *layers = sys.argv[1:]
sys.path.insert(0, home)
from tezgah.evaluation.sandbox.worker import main
sys.path.remove(home)
main(float(seconds), int(memory_bytes), layers)
"""


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
            self._workers = [_Worker(self.seconds, self.memory_bytes) for _ in range(self.n_workers)]
            reached = [worker.hello() for worker in self._workers]
            layers = [layer for layer in LAYERS if all(layer in each for each in reached)]
            broken = attack(lambda task, completion: self._workers[0].judge(_request(task, completion, 0.4)))
            self.isolation = WEAK if broken else level(layers)
            if self.isolation == WEAK and not self.accept_weak:
                raise InputError(_refusal([layer for layer in NEEDED if layer not in layers], broken))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def judge(self, samples: Iterable[tuple[Task, str]]) -> Iterator[Verdict]:
        """A verdict for each task with a completion of its prompt, in the order given.

        `samples` is read as workers become free. One that ends soon after its time is judged once more,
        alone, and that counts.
        """
        requests = (_request(task, completion, self.seconds) for task, completion in samples)
        found: dict[int, Verdict] = {}
        told = 0
        for place, verdict in self._answers(requests):
            found[place] = verdict
            while told in found:
                yield found.pop(told)
                told += 1

    def _answers(self, requests: Iterator[dict[str, Any]]) -> Iterator[tuple[int, Verdict]]:
        """Verdicts as they come, with the places of their samples."""
        idle, waiting = list(self._workers), enumerate(requests)
        busy: dict[_Worker, tuple[int, dict[str, Any]]] = {}
        again: list[tuple[int, dict[str, Any]]] = []
        with selectors.DefaultSelector() as selector:
            for worker in idle:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            try:
                while True:
                    while idle and not again and (following := next(waiting, None)):
                        worker = idle.pop()
                        busy[worker] = following
                        worker.ask(following[1])
                    if not busy and again:
                        place, request = again.pop()
                        yield place, _verdict(self._workers[0].judge(request))
                    elif not busy:
                        return
                    for key, _ in selector.select() if busy else ():
                        worker = key.data
                        answer, (place, request) = worker.answer(), busy.pop(worker)
                        idle.append(worker)
                        if answer["is_close"]:
                            again.append((place, request))
                        else:
                            yield place, _verdict(answer)
            finally:
                for worker in busy:  # whoever asked has lost interest: the workers stay of use
                    worker.answer()


class _Worker:
    """A process of `worker.py`."""

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        home = str(Path(__file__).parents[3])
        environment = {"PYTHONHASHSEED": "0", "TZ": "UTC"}
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

    def judge(self, request: dict[str, Any]) -> dict[str, Any]:
        self.ask(request)
        return self.answer()

    def ask(self, request: dict[str, Any]) -> None:
        frames.send(self.input.fileno(), json.dumps(request).encode(), frames.ANY_BYTES)

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._received()
        return answer

    def close(self) -> None:
        """End it: its input ends, and it with that once a sample under judgement has had its time."""
        self.input.close()
        self.output.close()
        self.process.wait()

    def _received(self) -> Any:
        try:
            return json.loads(frames.receive(self.output.fileno()))
        except frames.Closed:
            raise RuntimeError("a worker of the sandbox has ended unexpectedly") from None


def _request(task: Task, completion: str, seconds: float) -> dict[str, Any]:
    return {
        "prompt": task.prompt,
        "test": task.test,
        "entry_point": task.entry_point,
        "program": task.prompt + completion,
        "seconds": seconds,
    }


def _verdict(answer: dict[str, Any]) -> Verdict:
    return Verdict(answer["reason"] == PASSED, one_line(answer["reason"]))


def _refusal(missing: list[str], broken: list[str]) -> str:
    why = f"no {' and no '.join(missing)}" if missing else f"attacks on it came through: {', '.join(broken)}"
    return (
        f"the sandbox is weak on this system: {why}. Judge on Linux 5.13 or newer, or add --accept-weak-isolation on a "
        "machine that you can lose."
    )


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
