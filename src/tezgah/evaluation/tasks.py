"""Task files: a prompt, what completes it, and a test that tells whether it does what was asked.

Two public forms are read, HumanEval's (Chen et al. 2021, "Evaluating Large Language Models Trained on
Code") and MBPP's (Austin et al. 2021, "Program Synthesis with Large Language Models"), and files of
one's own in either. Lines of JSON, plain or gzipped. Nothing of a file is run here.
"""

import ast
import gzip
import json
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tezgah.errors import InputError
from tezgah.evaluation.prompt_code import complete

_HUMAN_EVAL = ("task_id", "prompt", "entry_point", "test")
_UNFIT = (SyntaxError, ValueError, RecursionError, MemoryError)  # what parsing a stranger's code may raise


@dataclass(frozen=True)
class Task:
    """A prompt to complete. `test` defines `check`, which is given the function `entry_point` and raises if it errs."""

    task_id: str
    prompt: str
    test: str
    entry_point: str
    canonical_solution: str | None


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a file, in its order.

    A task of MBPP has its description and its tests as a docstring for prompt, so that the function's
    name is told. Raises InputError, with the line and the field, for a file that cannot be read, a missing
    field, code that does not parse, or a task that is there twice.
    """
    tasks: dict[str, Task] = {}
    for place, row in read_rows(path):
        task = _mbpp(row, place) if "test_list" in row else _human_eval(row, place)
        if task.task_id in tasks:
            raise InputError(f"{place}: `task_id` {task.task_id} was there before. Name each task once.")
        tasks[task.task_id] = task
    if not tasks:
        raise InputError(f"{path}: holds no task. Give a file of JSON Lines, one task a line.")
    return list(tasks.values())


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file of JSON Lines, plain or gzipped, each with its place: file and line.

    Raises InputError for what cannot be read.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    place = f"{path}, line {number}"
                    yield place, _object(line, place)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({why}). Give a file of JSON Lines, plain or .gz.") from None


def read_text(row: dict[str, Any], field: str, place: str) -> str:
    """A field that must hold text; `task_id` may be a number too, as in MBPP, and is printed. Raises InputError."""
    value = row.get(field)
    if field == "task_id" and type(value) is int:
        return str(value)
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {type(value).__name__}, not text"
        raise InputError(f"{place}: `{field}` {found}. Each line needs it.")
    if field == "task_id" and not value.isprintable():
        raise InputError(f"{place}: `task_id` {value!r} cannot be printed as it is. Give it letters that can.")
    return value


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error}). Give one JSON object a line.") from None
    if not isinstance(row, dict):
        raise InputError(f"{place}: is no JSON object. Give one a line.")
    return row


def _human_eval(row: dict[str, Any], place: str) -> Task:
    task_id, prompt, entry_point, test = (read_text(row, field, place) for field in _HUMAN_EVAL)
    if not entry_point.isidentifier():
        raise InputError(f"{place}: `entry_point` {entry_point!r} is no name of a function. Give the function's name.")
    try:
        _quietly(complete, prompt)
    except _UNFIT as error:
        raise _no_code(place, "prompt", error) from None
    functions = [node.name for node in _parsed(test, place, "test").body if isinstance(node, ast.FunctionDef)]
    if "check" not in functions:
        raise InputError(f"{place}: `test` defines no check. It must define check(candidate).")
    solution = None
    if row.get("canonical_solution") is not None:
        solution = read_text(row, "canonical_solution", place)
        _parsed(prompt + solution, place, "canonical_solution")
    return Task(task_id, prompt, test, entry_point, solution)


def _mbpp(row: dict[str, Any], place: str) -> Task:
    task_id, code = read_text(row, "task_id", place), read_text(row, "code", place)
    described = read_text(row, "prompt" if "prompt" in row else "text", place)
    tests, imports = _texts(row, "test_list", place), _texts(row, "test_imports", place)
    setup = "\n".join([*imports, read_text({"test_setup_code": ""} | row, "test_setup_code", place)])
    if not tests:
        raise InputError(f"{place}: `test_list` is empty. Give at least one test.")
    asserts = _parsed("\n".join(tests), place, "test_list")
    called = [
        node.func.id for node in ast.walk(asserts) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    defined = [node.name for node in _parsed(code, place, "code").body if isinstance(node, ast.FunctionDef)]
    entry_point = next((name for name in defined if name in called), None)
    if entry_point is None:
        raise InputError(f"{place}: `test_list` calls no function that `code` defines. Call one.")
    check = ast.parse("def check(candidate):\n    pass")
    assert isinstance(check.body[0], ast.FunctionDef)
    check.body[0].body = asserts.body
    _parsed(setup, place, "test_setup_code")
    prompt = _docstring("\n".join([described, *tests]))
    _parsed(prompt, place, "prompt" if "prompt" in row else "text")
    return Task(task_id, prompt, f"{setup}\n{ast.unparse(check)}\n", entry_point, code)


def _texts(row: dict[str, Any], field: str, place: str) -> list[str]:
    found = row.get(field, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InputError(f"{place}: `{field}` must be a list of texts. Give lines of code.")
    return found


def _docstring(text: str) -> str:
    """The text as a program that is only a docstring; escaped where it would not be read back as it is.

    >>> _docstring("Add two.")
    '\"\"\"\\nAdd two.\\n\"\"\"\\n'
    """
    plain = f'"""\n{text}\n"""\n'
    try:
        if ast.literal_eval(plain.strip()) == f"\n{text}\n":
            return plain
    except _UNFIT:
        pass
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""\n{escaped}\n"""\n'


def _parsed(code: str, place: str, field: str) -> ast.Module:
    try:
        parsed: ast.Module = _quietly(ast.parse, code)
    except _UNFIT as error:
        raise _no_code(place, field, error) from None
    return parsed


def _quietly(read: Any, code: str) -> Any:
    with warnings.catch_warnings(action="ignore"):  # an old escape in somebody's string is not ours to tell
        return read(code)


def _no_code(place: str, field: str, error: BaseException) -> InputError:
    line = f" in its line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return InputError(f"{place}: `{field}` is no Python code ({message}{line}). Mend the code.")
