"""Task files are read in both public forms, and what is wrong with one is told in a line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tezgah.errors import InputError
from tezgah.evaluation.sandbox import Sandbox, landlock
from tezgah.evaluation.tasks import Task, read_tasks

OURS = {
    "task_id": "own/0",
    "prompt": "def double(x):\n",
    "entry_point": "double",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "canonical_solution": "    return 2 * x\n",
}
CODE = """class Pair(object):\r
    def __init__(self, a):\r
        self.a = a\r
def count(pairs):\r
    return len(pairs)"""
MBPP: dict[str, Any] = {
    "task_id": 601,
    "text": 'Write a function to count pairs. Not C:\\new, not """this""".',
    "code": CODE,
    "test_setup_code": "import math",
    "test_list": ["assert count([Pair(1), Pair(2)]) == 2", "assert count([]) == math.floor(0.5)"],
}


def write(path: Path, *rows: Any) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["tasks.jsonl", "tasks.jsonl.gz"])
def test_a_file_is_read_plain_or_gzipped(name: str, tmp_path: Path) -> None:
    without = {key: value for key, value in OURS.items() if key != "canonical_solution"} | {"task_id": "own/1"}
    path = write(tmp_path / name, OURS, "", without)
    assert read_tasks(path) == [Task(**OURS), Task(**without, canonical_solution=None)]


def test_human_eval_is_read_as_it_is(shared_data: Path) -> None:
    path = shared_data / "text" / "HumanEval.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [vars(task) for task in read_tasks(path)] == rows


def test_a_task_of_mbpp_is_a_docstring_and_its_tests_are_one_check(tmp_path: Path) -> None:
    (task,) = read_tasks(write(tmp_path / "mbpp.jsonl", MBPP))
    assert (task.task_id, task.entry_point, task.canonical_solution) == ("601", "count", MBPP["code"])
    told: dict[str, Any] = {}
    exec(f"text = {task.prompt}", told)
    assert told["text"] == f"\n{MBPP['text']}\n{MBPP['test_list'][0]}\n{MBPP['test_list'][1]}\n"
    if landlock.interface():
        with Sandbox(1, seconds=1.0) as sandbox:
            wrong = CODE.replace("len(pairs)", "3")
            assert [found.passed for found in sandbox.judge([(task, CODE), (task, wrong)])] == [True, False]


def test_a_sanitized_task_of_mbpp_is_read_too(tmp_path: Path) -> None:
    row = {key: value for key, value in MBPP.items() if key not in ("text", "test_setup_code")}
    (task,) = read_tasks(write(tmp_path / "mbpp.jsonl", row | {"prompt": "Count.", "test_imports": ["import math"]}))
    assert task.prompt.startswith('"""\nCount.\nassert') and task.test.startswith("import math")


WRONG = {
    "no prompt": (OURS | {"prompt": None}, "line 1: `prompt` is missing"),
    "test is a list": (OURS | {"test": []}, "line 1: `test` is list, not text"),
    "prompt": (OURS | {"prompt": "def double(x:\n"}, "`prompt` is no Python code ("),
    "test": (OURS | {"test": "def check(candidate:\n"}, "`test` is no Python code ("),
    "null": (OURS | {"test": "\0"}, "`test` is no Python code ("),
    "solution": (OURS | {"canonical_solution": "  return ("}, "`canonical_solution` is no Python code ("),
    "a name of new lines": (OURS | {"task_id": "a\nb"}, "line 1: `task_id` 'a\\nb' cannot be printed"),
    "a name of colours": (OURS | {"task_id": "\x1b[2J"}, "`task_id` '\\x1b[2J' cannot be printed"),
    "half a letter": (MBPP | {"task_id": "\ud800"}, "`task_id` '\\ud800' cannot be printed"),
    "a null in the text": (MBPP | {"text": "a\0b"}, "`text` is no Python code ("),
    "half a letter in the text": (MBPP | {"text": "a\ud800b"}, "`text` is no Python code ("),
    "no check": (OURS | {"test": "assert True"}, "`test` defines no check. It must define check(candidate)."),
    "entry point": (OURS | {"entry_point": "a b"}, "`entry_point` 'a b' is no name"),
    "not json": ("{", "line 1: not valid JSON"),
    "a list": ([1], "line 1: is no JSON object"),
    "no tests": (MBPP | {"test_list": []}, "`test_list` is empty"),
    "tests are numbers": (MBPP | {"test_list": [1]}, "`test_list` must be a list of texts"),
    "tests call nothing": (
        MBPP | {"test_list": ["assert other(1)"]},
        "`test_list` calls no function that `code` defines",
    ),
    "mbpp code": (MBPP | {"code": "def"}, "`code` is no Python code ("),
}


@pytest.mark.parametrize(("row", "message"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_line_is_told_in_one(row: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "tasks.jsonl", row)
    with pytest.raises(InputError) as told:
        read_tasks(path)
    assert str(told.value).startswith(str(path)) and message in str(told.value) and "\n" not in str(told.value)


def test_a_file_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "plain.jsonl.gz").write_text("{}")
    whole = write(tmp_path / "cut.jsonl.gz", OURS).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-9])
    write(tmp_path / "twice.jsonl", OURS, OURS)
    told = {"missing": "cannot be read", "empty": "holds no task", "twice": "line 2: `task_id` own/0 was there before"}
    for name, message in told.items():
        with pytest.raises(InputError, match=f"{name}.jsonl.*{message}"):
            read_tasks(tmp_path / f"{name}.jsonl")
    for name in ("plain", "cut"):
        with pytest.raises(InputError, match=f"{name}.jsonl.gz: cannot be read"):
            read_tasks(tmp_path / f"{name}.jsonl.gz")


def test_a_prompt_may_end_before_its_body(tmp_path: Path) -> None:
    (task,) = read_tasks(write(tmp_path / "tasks.jsonl", OURS | {"prompt": "def double(x):\n    "}))
    assert task.prompt.endswith("    ")
