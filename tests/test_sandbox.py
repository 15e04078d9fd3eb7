"""The sandbox judges rightly: public solutions pass, wrong ones do not, however many workers there are."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tezgah
from tezgah.errors import InputError
from tezgah.evaluation.sandbox import Sandbox, Verdict, confinement, landlock, pool
from tezgah.evaluation.tasks import Task, read_tasks

pytestmark = pytest.mark.skipif(not landlock.interface(), reason="no Landlock here")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, seconds=1.0) as entered:
        yield entered


@pytest.fixture(scope="module")
def human_eval(shared_data: Path) -> list[Task]:
    return read_tasks(shared_data / "text" / "HumanEval.jsonl.gz")


def task(check: str, prompt: str = "def f(x):\n", entry_point: str = "f") -> Task:
    body = "".join(f"    {line}\n" for line in check.splitlines())
    return Task("one", prompt, f"def check(candidate):\n{body}", entry_point, None)


def verdict(sandbox: Sandbox, check: str, body: str, prompt: str = "def f(x):\n") -> Verdict:
    (found,) = sandbox.judge([(task(check, prompt), body)])
    return found


def test_all_canonical_solutions_of_human_eval_pass(sandbox: Sandbox, human_eval: list[Task]) -> None:
    samples = [(each, each.canonical_solution or "") for each in human_eval]
    assert [(each.task_id, found) for (each, _), found in zip(samples, sandbox.judge(samples), strict=True)] == [
        (each.task_id, Verdict(True, "passed")) for each in human_eval
    ]


def test_no_candidate_that_returns_nothing_passes_human_eval(sandbox: Sandbox, human_eval: list[Task]) -> None:
    verdicts = list(sandbox.judge((each, "    return None\n") for each in human_eval))
    assert len(verdicts) == 164 and not any(found.passed for found in verdicts)


def test_verdicts_do_not_depend_on_workers_or_load() -> None:
    bodies = ["return x + 1", "return x", "while True: pass", "import os; os._exit(0)", "raise KeyError(x)"]
    bodies += ["import random; return x + (random.random() < 0.9)", "return x + len({str(x)})", "return [x] * 10**12"]
    samples = [(task("assert candidate(1) == 2"), f"    {body}\n") for body in bodies * 2]
    found = {}
    for workers, is_busy in ((1, False), (2, False), (8, False), (2, True)):
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * is_busy)]
        try:
            with Sandbox(workers, seconds=0.4) as sandbox:
                found[workers, is_busy] = list(sandbox.judge(samples))
        finally:
            for process in load:
                process.kill()
                process.wait()
    first, *others = found.values()
    assert others == [first] * 3
    assert [each.passed for each in first] == [body in (bodies[0], bodies[5], bodies[6]) for body in bodies] * 2


def test_verdicts_come_in_the_order_of_the_samples(sandbox: Sandbox) -> None:
    samples = [
        (task(f"assert candidate(0) == {number}"), f"    import time; time.sleep({0.1 * (number == 0)}); return 0\n")
        for number in range(8)
    ]
    assert [found.passed for found in sandbox.judge(samples)] == [True] + [False] * 7


def test_a_judgement_may_be_left_in_its_middle(sandbox: Sandbox) -> None:
    samples = [(task("assert candidate(0) == 0"), "    return x\n")] * 6
    judged = sandbox.judge(samples)
    next(judged)
    judged.close()  # type: ignore[attr-defined]
    assert all(found.passed for found in sandbox.judge(samples))


def test_values_cross_as_they_are(sandbox: Sandbox) -> None:
    values = ["None", "True", "0", "-(2**200)", "0.1", "-0.0", "1e400", "3 + 4j", r"'\u011f\ud800\0'", r"b'\xff'"]
    values += ["[1, (2, {3})]", "{(1, 2): {'a': []}}", "frozenset({1})", "bytearray(b'x')", "range(3, 9, 2)"]
    check = "\n".join(f"assert repr(candidate({value})) == repr({value})" for value in values)
    assert verdict(sandbox, check, "    return x\n") == Verdict(True, "passed")


def test_exceptions_cross_as_pythons_own(sandbox: Sandbox) -> None:
    check = """
try:
    candidate(3)
    assert False
except ValueError as error:
    assert str(error) == "three"
try:
    candidate(4)
    assert False
except RuntimeError as error:
    assert str(error) == "Own: four"
"""
    body = "    class Own(Exception): pass\n    raise ValueError('three') if x == 3 else Own('four')\n"
    assert verdict(sandbox, check, body).passed
    assert verdict(sandbox, check, "    raise SystemExit(0)\n") == Verdict(False, "it raised SystemExit")


def test_a_test_cannot_overlook_that_the_candidate_has_ended(sandbox: Sandbox) -> None:
    check = "try:\n    candidate(1)\nexcept BaseException:\n    pass"
    assert verdict(sandbox, check, "    import os; os._exit(3)\n").reason == "the candidate's process ended with code 3"
    assert verdict(sandbox, check, "    import ctypes; ctypes.string_at(0)\n").reason.endswith("ended by SIGSEGV")


def test_an_argument_is_a_copy_unless_the_function_returns_nothing(sandbox: Sandbox) -> None:
    check = "items = [3, 1, 2]\ncandidate(items)\nassert items == [1, 2, 3]"
    assert verdict(sandbox, check, "    x.sort()\n").passed
    assert not verdict(sandbox, check, "    x.sort()\n    return x\n").passed
    assert not verdict(
        sandbox, "items = [1]\nassert candidate(items) == sum(items)", "    x.clear()\n    return 0\n"
    ).passed


def test_the_name_of_the_entry_point_and_helpers_of_the_prompt_are_there(sandbox: Sandbox) -> None:
    prompt = "import math\ndef twice(x):\n    return 2 * x\ndef f(x):\n    '''Half.'''\n"
    assert verdict(sandbox, "assert f(twice(4)) == 4 and math.pi > 3", "    return x // 2\n", prompt).passed


def test_what_the_candidate_overwrites_in_the_prompt_changes_nothing_for_the_test(sandbox: Sandbox) -> None:
    prompt = "def right(x):\n    return x + 1\ndef f(x):\n"
    body = "    return 0\ndef right(x):\n    return 0\n"
    assert not verdict(sandbox, "assert candidate(3) == right(3)", body, prompt).passed


def test_instances_of_a_candidates_class_can_be_handed_back(sandbox: Sandbox) -> None:
    check = "assert candidate([Pair(5, 24), Pair(39, 60)]) == 2\nassert isinstance(Pair(1, 2), object)"
    body = "    return len([each.a for each in x])\nclass Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\n"
    assert verdict(sandbox, check, body).passed
    assert not verdict(sandbox, "assert candidate(1) == 1", "    return Pair()\nclass Pair: pass\n").passed


def test_a_test_that_never_ends_is_ended(sandbox: Sandbox) -> None:
    assert verdict(sandbox, "while candidate(1): pass", "    return True\n") == Verdict(False, "timed out after 1 s")


def test_a_task_can_do_no_more_than_a_candidate(sandbox: Sandbox, tmp_path: Path) -> None:
    found = verdict(sandbox, f"open({str(tmp_path / 'written')!r}, 'w')", "    return x\n")
    assert found.reason.startswith("PermissionError") and not list(tmp_path.iterdir())


def test_a_program_that_is_too_long_fails(sandbox: Sandbox) -> None:
    found = verdict(sandbox, "assert candidate(1) == 1", f"    return x\n#{'x' * 1_000_000}\n")
    assert found == Verdict(False, "a program of 1,000,025 letters; 1,000,000 are the most")


def test_one_worker_after_another_leaves_no_file_open(sandbox: Sandbox) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with Sandbox(workers=2, seconds=0.5) as other:
        assert all(found.passed for found in other.judge([(task("assert candidate(1) == 1"), "    return x\n")] * 20))
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ((), "no landlock and no seccomp"),
        (("landlock",), "no seccomp"),
        (("seccomp", "namespaces"), "no landlock"),
    ],
)
def test_a_weak_sandbox_is_refused_unless_accepted(
    layers: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LAYERS", layers)
    with pytest.raises(InputError, match=f"weak on this system: {why}.*--accept-weak-isolation"), Sandbox(workers=1):
        pass
    with Sandbox(workers=1, seconds=0.5, accept_weak=True) as weak:
        assert weak.isolation == "weak"
        samples = [(task("assert candidate(1) == 1"), body) for body in ("    return x\n", "    while 1: pass\n")]
        assert [found.passed for found in weak.judge(samples)] == [True, False]


def test_the_self_attack_notices_a_layer_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    start = pool._START.replace(
        "main(", "from tezgah.evaluation.sandbox import landlock\nlandlock.restrict = print\nmain("
    )
    monkeypatch.setattr(pool, "_START", start)
    with pytest.raises(InputError, match="attacks on it came through: reads_a_file"), Sandbox(workers=1):
        pass


def test_a_worker_loads_the_standard_library_alone() -> None:
    heavy = ("torch", "numpy", "msgspec", "subprocess")
    test = f"from tezgah.evaluation.sandbox import worker\nprint([name for name in {heavy} if name in sys.modules])"
    home = str(Path(tezgah.__file__).parents[1])
    command = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {home!r})\n{test}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_levels_are_named() -> None:
    assert confinement.level(["landlock", "seccomp"]) == "landlock+seccomp"
    assert confinement.level(["landlock", "namespaces"]) == "weak"
