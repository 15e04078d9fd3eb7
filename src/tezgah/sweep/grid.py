"""The grid of a sweep: fields of the recipe, the values to try of each, and the points that these make."""

import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import msgspec

from tezgah.errors import InputError
from tezgah.fields import Field, check, parse, shown, suggestion
from tezgah.files import fingerprint
from tezgah.recipe import recipe_fields

MOST_POINTS = 200
UNREADABLE = re.compile(r"[^\w.+-]+")  # in a folder's name
LONGEST_NAME = 120  # bytes; file systems take 255, and a killed writer's leftover has a longer name

Grid = dict[str, list[Any]]  # a field's key, `train.seed`, and the values to try of it
Point = dict[str, Any]  # a value of each field


def read_grid(texts: Sequence[str]) -> Grid:
    """The grid that the flags `--over FIELD=VALUE,VALUE…` name; a value with a comma in it stands in a list.

    Raises InputError where a field is unknown or named twice, a value is not its field's, or the points are too many.

    >>> read_grid(["train.learning_rate=1e-3,3e-3", 'corpus.keep_columns=[["a", "b"], []]'])
    {'train.learning_rate': [0.001, 0.003], 'corpus.keep_columns': [['a', 'b'], []]}
    """
    if not texts:
        raise InputError("`sweep` needs --over FIELD=VALUE,VALUE…, as in --over train.learning_rate=1e-3,3e-3.")
    known = recipe_fields()
    grid: Grid = {}
    for text in texts:
        name, _, values = text.partition("=")
        key = name.strip().replace("-", "_")
        if key not in known:
            raise InputError(f"--over {name}: no such field.{_near(key, known.values())}")
        if key in grid:
            raise InputError(f"--over {key} is given twice. Give all its values at once: --over {key}=VALUE,VALUE…")
        grid[key] = _values(known[key], values.strip())
    if (count := math.prod(map(len, grid.values()))) > MOST_POINTS:
        raise InputError(f"--over: the grid has {count:,} points, and {MOST_POINTS} are the most. Leave values out.")
    return grid


def points(grid: Grid) -> list[Point]:
    """Every point of a grid; the last field changes fastest.

    >>> points({"train.seed": [1, 2], "model.tied": [True]})
    [{'train.seed': 1, 'model.tied': True}, {'train.seed': 2, 'model.tied': True}]
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def point_name(point: Point) -> str:
    """What the folder of a point is called. Where its values cannot be read off its name, a hash tells it from others.

    >>> point_name({"train.learning_rate": 0.003, "model.width": 256})
    'learning_rate=0.003,width=256'
    >>> point_name({"train.batch_size": 8, "evaluate.batch_size": 16})
    'train.batch_size=8,evaluate.batch_size=16'
    >>> point_name({"corpus.source": "/data/a b.txt"})
    'source=-data-a-b.txt~72ecfda4'
    """
    names = field_names(point)
    texts = {names[key]: value_text(value) for key, value in point.items()}
    told = ",".join(f"{name}={text}" for name, text in texts.items())
    name = ",".join(f"{name}={UNREADABLE.sub('-', text)}" for name, text in texts.items())
    if name == told and len(name.encode()) <= LONGEST_NAME:
        return name
    return f"{name.encode()[:LONGEST_NAME].decode(errors='ignore')}~{fingerprint(point)[:8]}"


def field_names(keys: Iterable[str]) -> dict[str, str]:
    """A short name for each key: the field's own, or the whole key where two tables have such a field."""
    keys = list(keys)
    own = {key: key.partition(".")[2] for key in keys}
    return {key: name if list(own.values()).count(name) == 1 else key for key, name in own.items()}


def value_text(value: Any) -> str:
    """A value as `--over` takes it."""
    return value if isinstance(value, str) else "none" if value is None else shown(value)


def _values(field: Field, text: str) -> list[Any]:
    where = f"--over {field.key}"
    values = _listed(field, text, where) if text.startswith("[") else None
    if values is None:
        parts = [part.strip() for part in text.split(",")] if text else []
        if "" in parts:
            raise InputError(
                f"{where}: a value is empty in {text}. Take the comma out; empty text is written '[\"\"]'."
            )
        values = [parse(field, part, where) for part in parts]
    if not values:
        raise InputError(f"{where}: there is no value to try. Write {where}=VALUE,VALUE…")
    plain: list[Any] = msgspec.json.decode(msgspec.json.encode(values))  # tuples become lists, as a recipe has them
    if twice := [value for place, value in enumerate(plain) if value in plain[:place]]:
        raise InputError(f"{where}: {value_text(twice[0])} is given twice. Leave one of them out.")
    return plain


def _listed(field: Field, text: str, where: str) -> list[Any] | None:
    """The values of a list as TOML or JSON has it; None for a text that only begins like one, as a glob may."""
    try:
        return [check(field, value, where) for value in tomllib.loads(f"values = {text}")["values"]]
    except tomllib.TOMLDecodeError:
        if field.takes(str):
            return None
        raise InputError(f'{where}: {text} is not a list. Write one as \'["a", "b"]\'.') from None


def _near(key: str, fields: Iterable[Field]) -> str:
    """The field that was probably meant: without its table, by its initials as in `train.lr`, or near in name."""
    table, _, name = key.rpartition(".")
    for field in fields:
        if field.name == name or (table in ("", field.table) and len(name) > 1 and name == _initials(field.name)):
            return f" Did you mean {field.key}?"
    return suggestion(key, [field.key for field in fields])


def _initials(name: str) -> str:
    return "".join(part[0] for part in name.split("_"))
