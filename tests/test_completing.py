"""Samples of code tasks end with the function that was asked for, whoever begins it: the prompt or the sample."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tezgah.completing import completion_of, cut_rule, task_completer
from tezgah.evaluation.tasks import Task, read_tasks

CODES = {
    "plain": "def count(pairs):\n    return len(pairs)",
    "after a newline": "\r\ndef count (pairs):\r\n    return len(pairs)",
    "helpers": """import math
@staticmethod
def one(x):
    return 1
class Pair:
    n = 1
# Counts.
def count(pairs):
    if pairs:
        return len(pairs)
    return 0""",
}


def mbpp(folder: Path) -> list[Task]:
    told = {"text": "Count.\ndef count(pairs): counts.", "test_list": ["assert count([]) == 0"]}
    rows = [{"task_id": place, "code": code, **told} for place, code in enumerate(CODES.values())]
    path = folder / "mbpp.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_tasks(path)


def check_solutions(tasks: Sequence[Task]) -> None:
    for task in tasks:
        assert task.canonical_solution is not None
        whole = task.canonical_solution.rstrip()
        assert completion_of(task, task.canonical_solution) == whole
        assert completion_of(task, f"{whole}\n\n\nprint(1)\ndef more():\n    pass") == whole


def test_every_solution_of_mbpp_survives_its_cut(tmp_path: Path) -> None:
    check_solutions(mbpp(tmp_path))


def test_every_solution_of_human_eval_survives_its_cut(shared_data: Path) -> None:
    tasks = read_tasks(shared_data / "text" / "HumanEval.jsonl.gz")
    assert cut_rule(tasks) == "block"
    check_solutions(tasks)


def test_the_rule_has_another_name_where_a_prompt_does_not_begin_its_function(tmp_path: Path) -> None:
    begun = Task("own", "def count(pairs):\n", "", "count", None)
    assert cut_rule([begun]) == "block"
    assert cut_rule([begun, *mbpp(tmp_path)]) == "block_after_def"
    assert completion_of(begun, "    return 1\n\ndef count(pairs):\n    return 2") == "    return 1"


def test_a_sample_goes_on_until_its_own_function_has_ended(tmp_path: Path) -> None:
    """A model that writes text letter by letter, and stops where it is told to."""

    def write(
        prompts: Sequence[str], n: int, seeds: Sequence[int], is_finished: Sequence[Callable[[str], bool]]
    ) -> Iterator[list[str]]:
        text = f"{CODES['helpers']}\nprint(count([]))\n"
        for ends in is_finished:
            yield [next(text[:size] for size in range(len(text)) if ends(text[:size]))]

    tasks = mbpp(tmp_path)
    model: Any = write
    for task, (sample,) in zip(tasks, task_completer(model)(tasks, 1, [1, 2, 3]), strict=True):
        assert completion_of(task, sample) == CODES["helpers"]
