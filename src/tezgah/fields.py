"""A settings type as a list of fields: what recipes, flags, help and starters are made from.

A field's name, type, default and description are stated once, in its room's `settings.py`;
everything that reads or writes them does so through here.
"""

import difflib
import math
import re
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from tezgah.errors import InputError
from tezgah.settings import Settings

Given = TypeVar("Given", bound=Settings)


@dataclass(frozen=True)
class Kind:
    """One plain type that a field takes, and its limits."""

    plain: type  # bool, int, float, str, tuple or dict
    choices: tuple[str, ...] = ()
    items: tuple[str, ...] = ()  # what each text of a list is one of
    above: float | None = None
    least: float | None = None
    most: float | None = None
    below: float | None = None

    @property
    def words(self) -> str:
        """What it takes, in words."""
        if self.choices:
            return _either(self.choices)
        if self.items:
            return f"a list of {_either(self.items)}"
        name = {bool: "true or false", int: "a whole number", float: "a number", tuple: "a list of texts", str: "text"}
        name[dict] = "numbers by name, as in {code = 0.7, prose = 0.3}"
        if self.least is not None and self.most is not None:
            return f"{name[self.plain]} from {self.least} to {self.most}"
        if self.least is not None and self.below is not None:
            return f"{name[self.plain]} from {self.least} to below {self.below}"
        if self.plain is int and self.above is not None:
            return f"{name[int]}, {self.above + 1} or more"
        if self.above is not None:
            return f"{name[self.plain]} above {self.above}"
        return name[self.plain] + ("" if self.least is None else f", {self.least} or more")

    @property
    def placeholder(self) -> str:
        """What it takes, as the short word a help line shows after a flag."""
        names = {bool: "true|false", int: "INTEGER", float: "NUMBER", tuple: "LIST", str: "TEXT", dict: "NAME=NUMBER,…"}
        return "|".join(self.choices) or names[self.plain]


@dataclass(frozen=True)
class Field:
    """One setting: `table` is the recipe's table it stands in, empty for a verb's own flag."""

    table: str
    name: str
    type: Any
    kinds: tuple[Kind, ...]
    default: Any
    description: str
    is_one_text: bool  # as a flag it is one text, commas and all; several are given as a list
    repeats: str = ""  # what help shows after a flag that may be given several times; empty where the last one counts

    @property
    def key(self) -> str:
        """How overrides name it: `train.steps`, or `max_new_tokens` for a verb's own flag."""
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def words(self) -> str:
        """What it takes, in words."""
        return " or ".join(kind.words for kind in self.kinds)

    def takes(self, plain: type) -> bool:
        """Whether a value of this plain type may stand here."""
        return any(kind.plain is plain and not kind.choices for kind in self.kinds)


def fields_of(settings: type[Settings], table: str = "") -> tuple[Field, ...]:
    """The fields of a settings type, in the order they are written.

    >>> from tezgah.training.settings import TrainTable
    >>> steps = fields_of(TrainTable, "train")[0]
    >>> steps.key, steps.words
    ('train.steps', 'a whole number, 1 or more')
    """
    return tuple(
        Field(
            table,
            info.encode_name,  # `from`, where Python needs `from_`
            info.type,
            tuple(_kinds(info.type)),
            info.default,
            description=" ".join(meta.description for meta in _notes(info.type) if meta.description),
            is_one_text=any((meta.extra or {}).get("commas") is False for meta in _notes(info.type)),
            repeats="".join((meta.extra or {}).get("repeats", "") for meta in _notes(info.type)),
        )
        for info in msgspec.structs.fields(settings)
    )


def check(field: Field, value: Any, where: str) -> Any:
    """`value` as the field's type, or an InputError that starts with `where` and says what is expected."""
    try:
        if not _is_finite(value):
            raise ValueError(value)
        return msgspec.convert(value, field.type)
    except ValueError:  # a ValidationError is one
        known = [word for kind in field.kinds for word in (*kind.choices, *kind.items)]
        given = value if isinstance(value, list | tuple) else [value]
        hint = next((hint for word in given if word not in known and (hint := suggestion(str(word), known))), "")
        raise InputError(f"{where} must be {field.words}, not {shown(value)}.{hint}") from None


def settings_from(kind: type[Given], values: Mapping[str, Any], where: str, without: Sequence[str] = ()) -> Given:
    """Settings of a kind from values by name; those `without` are for the command line alone.

    Raises InputError that starts with `where` for a name it has not, and for a value that a field does not take.
    """
    known = {field.name: field for field in fields_of(kind) if field.name not in without}
    for name in values:
        if name not in known:
            raise InputError(f"{where}: there is no setting {name}.{suggestion(name, known)}")
    return kind(**{name: check(known[name], value, f"{where}: {name}") for name, value in values.items()})


def parse(field: Field, text: str, where: str) -> Any:
    """The value of a flag's text, read as the field's type; lists as TOML or JSON, or comma separated."""
    if field.default is None and text.lower() in ("none", "null"):
        return None
    if field.takes(dict):
        return check(field, _numbers_by_name(text), where)
    if field.takes(tuple) and text.startswith("["):
        try:
            return check(field, tomllib.loads(f"value = {text}")["value"], where)
        except tomllib.TOMLDecodeError:
            if not field.takes(str):  # a glob, which is text, may start with a bracket
                raise InputError(f'{where} must be {field.words}, as in \'["a", "b"]\', not {text}') from None
    if field.takes(str):
        return text
    if field.takes(tuple):
        parts = (text,) if field.is_one_text else tuple(part.strip() for part in text.split(",") if part.strip())
        return check(field, parts, where)
    if field.takes(bool):
        return check(field, {"true": True, "false": False}.get(text.lower(), text), where)
    return check(field, _number(text, whole=field.takes(int)), where)


def suggestion(name: str, known: Iterable[str]) -> str:
    """` Did you mean …?`, or nothing where no known name is near.

    >>> suggestion("stpes", ["steps", "tokens"])
    ' Did you mean steps?'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def shown(value: Any) -> str:
    """A value as a recipe would write it, short enough for one line: of a long one both ends, for paths differ last.

    >>> print(shown(True), shown("muon"), shown(("a", "b")), shown(None), shown(0.003), shown({"a": 7, "b.txt": 3.0}))
    true "muon" ["a", "b"] unset 0.003 {a = 7, "b.txt" = 3.0}
    """
    if value is None:
        return "unset"
    if isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value) + "]"
    elif isinstance(value, dict):
        pairs = (f"{_key(str(name))} = {shown(item)}" for name, item in value.items())
        text = "{" + ", ".join(pairs) + "}"
    elif isinstance(value, float):
        text = repr(value)
    else:
        text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= 80 else f"{text[:39]}…{text[-40:]}"


def _key(name: str) -> str:
    """A key as TOML has it."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else shown(name)


def _either(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]


def _number(text: str, whole: bool) -> int | float | str:
    """The number a text spells, `1e6` for a whole one too; the text itself where it spells none."""
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        return int(number) if whole and math.isfinite(number) and number == int(number) else number
    return text


def _numbers_by_name(text: str) -> Any:
    """`a=1,b=2`, or a table in braces as TOML has it; the text itself where it is neither.

    >>> _numbers_by_name("code=7,texts/a.txt=3e0"), _numbers_by_name('{"a,b" = 1}'), _numbers_by_name("7,3")
    ({'code': 7, 'texts/a.txt': 3.0}, {'a,b': 1}, '7,3')
    """
    if text.startswith("{"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        return text
    return {name.strip(): _number(number.strip(), whole=False) for name, _, number in pairs}


def _is_finite(value: Any) -> bool:
    """Neither NaN nor infinite, and a whole number within 64 bits, as TOML has it."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 2**63


def _notes(kind: Any) -> list[Meta]:
    """The notes on a type itself, not those on the members of a union."""
    return [note for note in get_args(kind)[1:] if isinstance(note, Meta)] if get_origin(kind) is Annotated else []


def _kinds(kind: Any, notes: Iterable[Meta] = ()) -> Iterable[Kind]:
    """The plain types a field's type allows, None left out."""
    if get_origin(kind) is Annotated:
        yield from _kinds(get_args(kind)[0], _notes(kind))
    elif get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _kinds(member)
    elif get_origin(kind) is Literal:
        yield Kind(str, choices=get_args(kind))
    elif kind is not type(None):
        limits = {"above": "gt", "least": "ge", "most": "le", "below": "lt"}
        found = {
            ours: getattr(note, theirs)
            for note in notes
            for ours, theirs in limits.items()
            if getattr(note, theirs) is not None
        }
        yield Kind(get_origin(kind) or kind, items=_words(kind), **found)


def _words(kind: Any) -> tuple[str, ...]:
    """What each text of a list is one of; nothing where it may be any, or where `kind` is no list."""
    item = next(iter(get_args(kind)), None)
    return get_args(item) if get_origin(item) is Literal else ()
