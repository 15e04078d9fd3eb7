"""Flags and help of the command line, made from settings types: no list of flags stands anywhere else.

`--table.field VALUE` sets a recipe's field, `--flag VALUE` a verb's own; dashes and underscores
are the same in a name, `--flag=VALUE` is the same as two words, `--n` the same as `-n`, and after `--`
all are operands.
"""

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tezgah.errors import InputError
from tezgah.fields import Field, shown, suggestion


@dataclass(frozen=True)
class Usage:
    """How a verb is called: its operands as help shows them, in order, and its flags.

    An operand in brackets may be absent, one that ends in `…` may be given several times.
    """

    verb: str
    summary: str
    operands: tuple[str, ...]
    flags: tuple[Field, ...]
    notes: str = ""


def read_arguments(usage: Usage, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The operands, and the flags given as texts by key.

    The last one counts where a flag is repeated, unless it may be: then all are one list, as JSON has it.

    >>> usage = Usage("show", "", ("RUN…",), ())
    >>> read_arguments(usage, ["a", "--", "-b"])
    (['a', '-b'], {})
    """
    known = {field.key: field for field in usage.flags}
    operands: list[str] = []
    given: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if word == "--":
            operands.extend(words)
        elif not word.startswith("-") or word == "-":
            operands.append(word)
        else:
            flag, equals, value = word.partition("=")
            key = flag.lstrip("-").replace("-", "_")
            if key not in known or (len(key) > 1 and not flag.startswith("--")):
                raise InputError(f"`{usage.verb}` has no flag {flag}.{_near(flag, usage.flags)}")
            text = value if equals else "true" if is_switch(known[key]) else _next(words, flag, known[key])
            given[key] = _one_more(given.get(key, "[]"), text) if known[key].repeats else text
    _check_operands(usage, operands)
    return operands, given


def help_text(usage: Usage) -> str:
    """The help of one verb: its operands, then every flag, grouped by the recipe's tables."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = textwrap.wrap(f"Usage: tezgah {usage.verb} {' '.join(usage.operands)} [--flag VALUE …]", width)
    lines += ["", *textwrap.wrap(usage.summary, width)]
    if usage.notes:
        lines += ["", *(line for part in usage.notes.split("\n") for line in textwrap.wrap(part, width))]
    table = None
    for field in usage.flags:
        if field.table != table:
            table = field.table
            lines += ["", f"[{table}]" if table else "Flags"]
        lines += _flag_lines(field, width)
    return "\n".join(lines)


def flag_name(field: Field) -> str:
    """A flag as it is typed: `-n`, `--max-new-tokens`, `--train.batch_size`."""
    if field.table:
        return f"--{field.key}"
    return ("--" if len(field.name) > 1 else "-") + field.name.replace("_", "-")


def is_switch(field: Field) -> bool:
    """Whether a flag stands alone: a verb's own true-or-false. A recipe's takes `true` or `false`."""
    return not field.table and field.takes(bool)


def _flag_lines(field: Field, width: int) -> list[str]:
    value = "" if is_switch(field) else " " + (field.repeats or "|".join(kind.placeholder for kind in field.kinds))
    default = (
        "" if is_switch(field) or field.default in (None, "", ()) else f" [{shown(field.default)}]".replace('"', "")
    )
    head = f"  {flag_name(field)}{value}"
    body = textwrap.wrap(
        f"{field.description}{default}",
        width,
        initial_indent=" " * 6,
        subsequent_indent=" " * 6,
        break_on_hyphens=False,
    )
    return [head, *body]


def _one_more(texts: str, text: str) -> str:
    """A JSON list with a text more.

    >>> _one_more('["a"]', "b=1,2")
    '["a", "b=1,2"]'
    """
    return json.dumps([*json.loads(texts), text], ensure_ascii=False)


def _next(words: Iterator[str], flag: str, field: Field) -> str:
    value = next(words, None)
    if value is None or value.startswith("--"):
        raise InputError(f"{flag} needs a value: {field.repeats or field.words}.")
    return value


def _near(flag: str, fields: Sequence[Field]) -> str:
    """The flag that was probably meant, also where its table was left out."""
    name = flag.lstrip("-").replace("-", "_")
    homes = [flag_name(field) for field in fields if field.table and field.name == name]
    return f" Did you mean {homes[0]}?" if homes else suggestion(flag, map(flag_name, fields))


def _check_operands(usage: Usage, operands: list[str]) -> None:
    needed = [name for name in usage.operands if not name.startswith("[")]
    if len(operands) < len(needed):
        raise InputError(f"`{usage.verb}` needs {needed[len(operands)].rstrip('…')}. See `tezgah {usage.verb} --help`.")
    if len(operands) > len(usage.operands) and not any("…" in name for name in usage.operands):
        extra = operands[len(usage.operands)]
        raise InputError(f"`{usage.verb}` takes {' '.join(usage.operands)} and no more: {extra} is too many.")
