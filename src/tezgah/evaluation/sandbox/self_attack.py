"""A second of attacks on the sandbox by itself, before it is trusted with anything.

The first candidate is honest and tells what it could do; the others try for a verdict.
"""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tezgah.evaluation.tasks import Task

Judge = Callable[[Task, str, float], dict[str, Any]]

_FAILED = "AssertionError: "
_PROMPT = "def attack(secret, folder, port, process):\n"
_ATTEMPTS = """
    import os, resource, socket
    def reads_a_file():
        open(secret).read()
    def reads_a_process():
        open(f"/proc/{process}/environ").read()
    def writes_a_file():
        open(folder + "/written", "w")
    def links_a_file():
        os.link(secret, folder + "/linked")
    def connects():
        socket.create_connection(("127.0.0.1", port), 0.1)
    def forks():
        if os.fork() == 0:
            os._exit(0)
    def signals():
        os.kill(process, 0)
    def raises_a_limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
    def executes():
        os.execv("/bin/true", ["true"])
    def tried(attempt):
        try:
            attempt()
        except Exception:
            return False
        return True
    attempts = [
        reads_a_file, reads_a_process, writes_a_file, links_a_file, connects, forks, signals, raises_a_limit, executes
    ]
    return [attempt.__name__ for attempt in attempts if tried(attempt)]
"""
_FORGERIES = {
    "equals_everything": """
    class Equal:
        __eq__ = lambda self, other: True
        __sub__ = __abs__ = lambda self, *other: self
    return Equal()
""",
    "names_its_own_verdict": """
    import os
    said = b'["tuple", "unfit", 1, "NotPlain", "passed"]'
    for number in range(3, 32):
        try:
            os.write(number, len(said).to_bytes(4, "big") + said)
        except OSError:
            pass
    return 0
""",
    "ends_with_success": "\n    import os\n    os._exit(0)\n",
    "never_ends": "\n    while True:\n        pass\n",
}
SECONDS = 3.0  # for the honest one, whatever the samples have: it does the same everywhere
FORGERY_SECONDS = 0.4  # one of them takes all it is given


def attack(judge: Judge) -> str:
    """What is wrong with the sandbox, in words; nothing where it holds.

    `judge` tells what is found about a completion in so many seconds.
    """
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        secret = Path(folder, "secret")
        secret.write_text("secret")
        known = (str(secret), folder, server.getsockname()[1], os.getpid())
        honest = _task(f"found = candidate{known!r}\n    assert not found, ', '.join(found)")
        told = judge(honest, _ATTEMPTS, SECONDS)
        if told["is_close"]:  # the machine was busy
            told = judge(honest, _ATTEMPTS, SECONDS)
    through, is_finished = [], told["passed"] or told["reason"].startswith(_FAILED)
    if is_finished and not told["passed"]:
        through.append(told["reason"].removeprefix(_FAILED))
    forged = _task("assert candidate(1, 2, 3, 4) == 5")
    through += [name for name, body in _FORGERIES.items() if judge(forged, body, FORGERY_SECONDS)["passed"]]
    if through:
        return f"attacks on it came through: {', '.join(through)}"
    return "" if is_finished else f"it did not finish its self-attack ({told['reason']})"


def _task(test: str) -> Task:
    return Task("self-attack", _PROMPT, f"def check(candidate):\n    {test}\n", "attack", None)
