"""Prompts from a file: a line each, or rows of JSON Lines with a `prompt`."""

import codecs
from pathlib import Path
from typing import NamedTuple

import msgspec

from tezgah.errors import InputError

JSON = (".jsonl", ".json")  # how the name of a file of rows ends


class Prompt(NamedTuple):
    """A prompt, where it stands, and the task it belongs to, where its row names one."""

    text: str
    where: str
    task_id: str | None = None


class _Row(msgspec.Struct):
    prompt: str
    task_id: str | None = None


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file; a `.jsonl` or `.json` has rows of JSON, any other a prompt a line.

    Raises InputError for a file that cannot be read, a row without a `prompt`, and an empty prompt, by their lines.
    """
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        text = data.decode()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Name a file of prompts.") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: is no UTF-8. Save the file as UTF-8.") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    read = _json_prompt if path.suffix in JSON else _line_prompt
    prompts = [read(line.removesuffix("\r"), f"{path}:{place}") for place, line in enumerate(lines, 1)]
    if not prompts:
        raise InputError(f"{path}: has no prompts. Write one a line.")
    return prompts


def given_prompts(texts: list[str]) -> list[Prompt]:
    """Prompts of a command line."""
    return [_line_prompt(text, f"PROMPT {place}") for place, text in enumerate(texts, 1)]


def _line_prompt(line: str, where: str) -> Prompt:
    if not line:
        raise InputError(f"{where}: the prompt is empty. Give a character or more.")
    return Prompt(line, where)


def _json_prompt(line: str, where: str) -> Prompt:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f'{where}: no row with a "prompt" ({error}). Write {{"prompt": "…"}} a line.') from error
    return _line_prompt(row.prompt, where)._replace(task_id=row.task_id)
