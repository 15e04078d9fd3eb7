"""A process that works when it is asked to and sleeps otherwise: contestants of one measurement take turns so."""

import json
import os
import subprocess
import sys
from typing import IO, Any


class Companion:
    """The process at the other end of a pipe: every line it gets it answers with a line of JSON."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        # Threads that wait spin for some milliseconds and then sleep, unless a policy says otherwise.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | offline
        environment.setdefault("CUDA_VISIBLE_DEVICES", "0")  # the Trainer would take every GPU there is
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, line: object) -> dict[str, Any]:
        """Its answer. Raises SystemExit where it ended instead."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} ended early; what it said stands above.")
        return dict(json.loads(answer))

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def answering() -> IO[str]:
    """Where a companion writes its answers; what libraries print goes to the standard error from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers
