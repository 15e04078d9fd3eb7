"""The sandbox judges rightly: public solutions pass, wrong ones do not, however many workers there are."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tezgah
from tezgah.errors import InputError
from tezgah.evaluation.sandbox import Sandbox, Verdict, confinement, landlock, own_time, pool, self_attack
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


def test_chance_begins_the_same_in_every_process(sandbox: Sandbox) -> None:
    first = random.Random(0).random()
    body = f"    import random; return {{{first!r}: x * {first!r}}}[random.random()]\n"
    for _ in range(3):
        assert verdict(sandbox, "import random\nassert random.random() == candidate(1)", body).passed


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
    assert verdict(sandbox, check, "    raise SystemExit(0)\n") == Verdict(
        False, "its answer is unfit: it raised SystemExit"
    )


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
        "main(", "from tezgah.evaluation.sandbox import landlock\nlandlock.restriction = lambda rules: print\nmain("
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


OVERLOOK = "try:\n    candidate(1)\nexcept BaseException:\n    pass"
OWN = "    import sys\n    raise sys.modules['tezgah.evaluation.sandbox.codec'].NotPlain"
BY_HAND = """    import os
    text = {text!r}.encode()
    for number in range(3, 32):
        try:
            os.write(number, len(text).to_bytes(4, "big") + text)
        except OSError:
            pass
    os._exit(0)
"""


def by_hand(text: str) -> str:
    """A candidate that writes an answer of its own making to every file that it has."""
    return BY_HAND.format(text=text)


@pytest.mark.parametrize("said", ["passed", "", "a\x1b[2J"])
def test_a_candidates_words_about_its_answer_are_no_verdict(sandbox: Sandbox, said: str) -> None:
    frame = by_hand(f'["tuple", "unfit", 1, "NotPlain", {json.dumps(said)}]')
    for check in (OVERLOOK, "assert candidate(1) == 2"):
        found = verdict(sandbox, check, frame)
        assert not found.passed and found.reason.startswith("its answer is unfit: ") and found.reason.isprintable()
        assert not verdict(sandbox, check, f"{OWN}({said!r})\n").passed


def test_what_ends_a_loop_does_not_cross_as_such(sandbox: Sandbox) -> None:
    for check in (
        "assert all(map(lambda x: candidate(x) == x + 1, range(5)))",
        "assert [candidate(x) for x in range(3)] == list(map(candidate, range(3))) and candidate(1) == 2",
        "for found in map(candidate, range(5)):\n    assert found == 2",
        "for found in iter(lambda: candidate(1), 2):\n    assert False",
    ):
        found = verdict(sandbox, check, "    raise StopIteration\n")
        assert found == Verdict(False, "RuntimeError: StopIteration")
    for kind in ("StopAsyncIteration", "ExceptionGroup", "StopIteration"):
        frame = by_hand(f'["tuple", "raised", 1, "{kind}", "passed"]')
        found = verdict(sandbox, "list(map(candidate, [1]))", frame)
        assert found == Verdict(False, f"RuntimeError: {kind}: passed")


@pytest.mark.parametrize(
    "look",
    ["pair.a = 3", "pair.a", "hasattr(pair, 'a')", "del pair.a", "pair == pair", "pair != 3", "bool(pair)", "{pair}"],
)
def test_a_test_that_looks_into_what_it_has_not_fails_and_says_so(sandbox: Sandbox, look: str) -> None:
    body = "    return x\nclass Pair:\n    pass\n"
    found = verdict(sandbox, f"pair = Pair()\ntry:\n    {look}\nexcept BaseException:\n    pass", body)
    assert found == Verdict(False, "the test looks into what only the candidate has")


TO_THE_WORKER = """
import os, time
for number in range(3, 32):
    try:
        os.write(number, {said})
    except OSError:
        pass
{then}
"""


def test_a_test_that_writes_a_verdict_ends_its_own_sample_alone() -> None:
    said = ["b'\\0'", "b'[' * 3_000", "b'[' * 60_000", "b'3'", "b'{}'", "b'[]'", "b'\\xff'"]
    checks = [
        TO_THE_WORKER.format(said=each, then=then)
        for each in said
        for then in ("time.sleep(1_000)", "os._exit(0)", "pass")
    ]
    with Sandbox(workers=2, seconds=0.3) as sandbox:
        samples = [(task(check), "    return x\n") for check in (*checks, "assert candidate(1) == 1")]
        assert [found.passed for found in sandbox.judge(samples)] == [False] * len(checks) + [True]


def test_a_sample_slowed_down_by_others_is_judged_again_alone() -> None:
    def samples() -> list[tuple[Task, str]]:
        until = time.time() + 0.45  # the first time it takes more than 1.25 times its limit, the second time nothing
        sleep = f"import time; time.sleep(max(0, {until} - time.time()))"
        return [(task("assert candidate(1) == 1"), f"    {sleep}; return x\n")]

    with Sandbox(workers=2, seconds=0.3) as sandbox:
        assert [found.passed for found in sandbox.judge(samples())] == [True]
    with Sandbox(workers=1, seconds=0.3) as sandbox:
        assert [found.reason for found in sandbox.judge(samples())] == ["timed out after 0.3 s"]


def test_a_sample_too_long_to_send_is_never_sent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool._Worker, "ask", lambda *_: pytest.fail("it was sent"))
    assert not verdict(sandbox, "pass", f"    return x\n#{'x' * 1_000_000}\n").passed


INTERRUPTED = """
import os, signal, sys, threading, time
from tezgah.evaluation.sandbox import Sandbox
from tezgah.evaluation.tasks import Task
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
task = Task("one", "def f(x):\\n", "def check(candidate):\\n    candidate(1)\\n", "f", None)
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
with Sandbox(2, 60.0) as sandbox:
    for found in sandbox.judge([(task, "    while True: pass\\n")] * 9):
        pass
"""


def test_an_interrupt_ends_everything_at_once_and_prints_nothing_of_the_workers() -> None:
    begun = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(Path(tezgah.__file__).parents[1])}
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    assert time.monotonic() - begun < 20
    assert done.stderr.count("Traceback") == 1 and done.stderr.endswith("KeyboardInterrupt\n")


def test_workers_whose_caller_is_gone_end_silently(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox(workers=2, seconds=0.5) as sandbox:
        judged = sandbox.judge(
            (task("candidate(1)"), f"    import time; time.sleep({seconds})\n") for seconds in (0.0, 0.3)
        )
        next(judged)
        sandbox.close()
        judged.close()  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="the sandbox is closed"):
            next(sandbox.judge([]))
    assert capfd.readouterr().err == ""


def test_a_warning_about_a_task_is_not_printed_by_its_worker(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox(workers=1, seconds=1.0) as sandbox:
        assert verdict(sandbox, "'\\d'\nassert candidate(1) is 1", "    return x\n", "'\\d'\ndef f(x):\n").passed
    assert capfd.readouterr().err == ""


def test_a_self_attack_that_does_not_finish_is_called_so() -> None:
    asked = []

    def judge(_: Task, completion: str, seconds: float) -> dict[str, Any]:
        asked.append((completion, seconds))
        return {"passed": False, "reason": "timed out after 3 s", "is_close": seconds == 3}

    assert self_attack.attack(judge) == "it did not finish its self-attack (timed out after 3 s)"
    assert [seconds for _, seconds in asked] == [3, 3] + [0.4] * len(self_attack._FORGERIES)


def test_the_self_attack_notices_a_verdict_that_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    start = pool._START.replace(
        "main(float",
        "from tezgah.evaluation.sandbox import trial\n"
        "trial._found = lambda link, task, read, found=trial._found: (lambda said: "
        "(said[0] or said[1].endswith(': passed'), said[1]))(found(link, task, read))\nmain(float",
    )
    monkeypatch.setattr(pool, "_START", start)
    with pytest.raises(InputError, match="attacks on it came through: names_its_own_verdict"), Sandbox(workers=1):
        pass


def test_nothing_beside_the_package_stands_in_for_the_standard_library() -> None:
    told = pool._START.partition("main(float")[0] + "print(sys.path[-1])"
    told = told.replace("sys.path.remove(home)", "")
    command = [sys.executable, "-S", "-c", told, "1", "1", str(Path(tezgah.__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Path(tezgah.__file__).parents[1])


def test_a_system_without_namespaces_or_descriptors_of_processes_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = """
import os
from tezgah.evaluation.sandbox import system
class Without:
    def __getattr__(self, name):
        if name in ("unshare", "mount"): raise AttributeError(name)
        return getattr(libc, name)
libc, system._libc = system._libc, Without()
def pidfd_open(process): raise OSError(38, "none here")
os.pidfd_open = pidfd_open
main(float"""
    monkeypatch.setattr(pool, "_START", pool._START.replace("main(float", missing))
    with Sandbox(workers=1, seconds=0.5) as sandbox:
        assert sandbox.isolation == "landlock+seccomp"
        samples = [(task("assert candidate(1) == 1"), body) for body in ("    return x\n", "    while 1: pass\n")]
        assert [found.passed for found in sandbox.judge(samples)] == [True, False]


@pytest.mark.parametrize(
    ("told", "own"),
    [
        ({1: (0.1, 3.0), 2: (0.2, 3.0)}, 4.0),  # they waited in turn
        ({1: (2.5, 5.0), 2: (2.5, 5.0)}, 5.0),  # and at the same time
        ({1: (0.1, 0.0), 2: (0.1, 0.0)}, 10.0),  # asleep
    ],
)
def test_waiting_twice_for_the_same_time_stretches_no_time_out(
    told: dict[int, tuple[float, float]], own: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = own_time.OwnTime(1, 7, limit=3.0, grace=0.0)
    monkeypatch.setattr(own_time, "_process_of", {7: 2}.get)
    clock.began = time.monotonic() - 10.0
    monkeypatch.setattr(own_time, "_computed_and_waited", told.__getitem__)
    clock.stop()
    assert clock.total == pytest.approx(own, abs=0.1) and clock.is_over()
