"""Samples of code tasks end with the function that was asked for, whoever begins it: the prompt or the sample."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.generation.conftest import ByteTokenizer, History
from tezgah.completing import Completer, completion_of, cut_rule, task_completer
from tezgah.evaluation.tasks import Task, read_tasks
from tezgah.generation.decode import generate_ids
from tezgah.generation.sampling import Sampling

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


PROMPTS = ["", "def a(", "x = 1\n", "ö"] * 5
SEEDS = [3, 1 << 62, *range(18)]


def ends(text: str) -> bool:
    return sum(ord(each) for each in text if each.isascii()) % 7 == 3


@pytest.mark.parametrize("is_finished", [None, [ends] * len(PROMPTS)], ids=["by length", "by their text"])
def test_samples_of_many_prompts_in_one_batch_are_those_of_each_prompt_alone(is_finished: Any) -> None:
    model: Any = History(257, 12)  # in float64; texts grow past its context
    tokenizer: Any = ByteTokenizer()
    found = list(Completer(model, tokenizer, 20, 1.0, 0.9)(PROMPTS, 3, SEEDS, is_finished))
    assert model.most_rows == 32  # of 60

    def alone(prompt: str, seed: int) -> list[str]:
        rows = generate_ids(
            model,
            tokenizer.encode(prompt).tolist() or [0],
            20,
            Sampling(temperature=1.0, top_p=0.9, seed=seed),
            range(3),
            separator_id=0,
            is_finished=is_finished and (lambda ids: ends(tokenizer.decode(ids))),
        )
        return [tokenizer.decode(row) for row in rows]

    assert found == [alone(*each) for each in zip(PROMPTS, SEEDS, strict=True)]
    assert len({text for texts in found for text in texts}) > 50


def test_a_prompt_has_its_texts_as_soon_as_they_and_those_before_are_there() -> None:
    model: Any = History(257, 12)
    tokenizer: Any = ByteTokenizer()
    is_finished = [lambda text: len(text.encode()) >= 9, lambda text: True, lambda text: True]
    told = []
    for texts in Completer(model, tokenizer, 20, 1.0, 1.0)(["a", "b", "c"], 2, [1, 2, 3], is_finished):
        told.append(model.row_steps)
        assert len(texts) == 2
    assert told[0] > 6 + 2 and len(set(told)) == 1  # all at the end: the first one's took longest
    assert not list(Completer(model, tokenizer, 20, 1.0, 1.0)([], 2, []))
