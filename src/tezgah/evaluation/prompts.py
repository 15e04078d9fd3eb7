"""Files of prompts, one a line, and families of prompts that differ in one word."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tezgah.errors import InputError

CHOICE = re.compile(r"\{([^{}|]+(?:\|[^{}|]+)+)\}")


@dataclass(frozen=True)
class Family:
    """A line of a file: its prompts, and in what word each differs from the others; one prompt has the word ""."""

    line: str
    words: tuple[str, ...]
    prompts: tuple[str, ...]


def read_prompts(path: Path) -> list[Family]:
    """The prompts of a file of text; an empty line is none, one in double quotes has the escapes of JSON.

    Raises InputError, with the line, for one that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give a file of prompts, one a line.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start:,}). Save it as UTF-8.") from None
    found = [
        read_family(line.rstrip(), f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not found:
        raise InputError(f"{path}: holds no prompt. Give one a line.")
    return found


def read_family(line: str, place: str) -> Family:
    r"""A line as a family: `{a|b}` in it stands for one of several words.

    >>> read_family("{He|She} works as", "").prompts
    ('He works as', 'She works as')
    >>> read_family('"\\nWhen they came back"', "").prompts
    ('\nWhen they came back',)
    """
    text = line
    if len(line) > 1 and line.startswith('"') and line.endswith('"'):
        try:
            text = json.loads(line)
        except ValueError as error:
            raise InputError(f"{place}: not a text in JSON's quotes ({error}). Mend its escapes.") from None
    choices = CHOICE.findall(text)
    if len(choices) > 1:
        raise InputError(f"{place}: has {len(choices)} places with words to choose from. Leave one: a line for each.")
    if not choices:
        return Family(line, ("",), (text,))
    words = tuple(word.strip() for word in choices[0].split("|"))
    if len(set(words)) < len(words) or "" in words:
        raise InputError(f"{place}: {{{choices[0]}}} names a word twice, or none. Name different words.")
    return Family(line, words, tuple(word.join(CHOICE.split(text)[::2]) for word in words))
