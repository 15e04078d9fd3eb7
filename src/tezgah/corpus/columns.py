"""The columns of a document on its way, and the user's own columns beside ours.

While reading, kept columns travel as strings, because a column's type is not known before its
last value was seen (rows of JSON need not agree). At the end a column whose values were all
integers, numbers or booleans becomes one of these again; everything else stays text. Nested
values are JSON.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError

BEGINS = "(begins)"  # true where a row is the first of its text; gone from the corpus on disk
OURS = ("text", "source", "path", "license")
TYPES = {
    frozenset({"integer"}): pa.int64(),
    frozenset({"number"}): pa.float64(),
    frozenset({"integer", "number"}): pa.float64(),
    frozenset({"boolean"}): pa.bool_(),
}


class KeptColumns:
    """The recipe's `keep_columns`, and which kinds of values each has had.

    A kept `path`, `license` or `source` replaces ours; `size` is always ours, the bytes of the
    row's text, since a cut text would carry a wrong one.
    """

    def __init__(self, settings: CorpusSettings) -> None:
        asked = tuple(dict.fromkeys(settings.keep_columns))
        if clash := {"text", "part", BEGINS} & set(asked) - {settings.text_column}:
            raise InputError(f"corpus.keep_columns: {min(clash)!r} is a name of ours. Rename that column, or leave it.")
        self.names = tuple(each for each in asked if each not in (settings.text_column, "size"))
        self.extras = tuple(each for each in self.names if each not in OURS)
        self._kinds: dict[str, set[str]] = {each: set() for each in self.names}
        if settings.split_key and settings.split_key not in (*OURS, *self.extras):
            raise InputError(
                f"corpus.split_key: {settings.split_key!r} is not a column of the corpus. "
                f"Add it to corpus.keep_columns, or take one of: {', '.join((*OURS, *self.extras))}."
            )

    @property
    def schema(self) -> pa.Schema:
        """Columns of a document while the corpus is built."""
        strings = [pa.field(each, pa.string()) for each in (*OURS, *self.extras)]
        return pa.schema([*strings, pa.field(BEGINS, pa.bool_())])

    def from_values(self, name: str, values: Sequence[Any]) -> pa.Array:
        """Values out of JSON as strings."""
        self._kinds[name].update({_kind(each) for each in values if each is not None})
        strings = [each if isinstance(each, str) or each is None else _json(each) for each in values]
        return pa.array(strings, pa.string())

    def from_arrow(self, name: str, values: pa.Array) -> pa.Array:
        """A column of a table as strings."""
        kind = values.type
        if pa.types.is_nested(kind) or pa.types.is_duration(kind) or kind in (pa.binary(), pa.large_binary()):
            return self.from_values(name, values.to_pylist())
        if len(values) > values.null_count:
            self._kinds[name].add(_arrow_kind(kind))
        if pa.types.is_floating(kind):
            values = values.cast(pa.float64())  # a float16 or float32 has more digits than its own text
        return values.cast(pa.string())

    def final_type(self, name: str) -> pa.DataType:
        """The one type that holds every value this column has had."""
        return TYPES.get(frozenset(self._kinds[name]), pa.string())

    def absent(self) -> list[str]:
        """Columns that no row had."""
        return [each for each, kinds in self._kinds.items() if not kinds]

    def batch(
        self, texts: pa.Array, columns: dict[str, pa.Array], source: str, path: str, license: str | None
    ) -> pa.RecordBatch:
        """Rows of one file as documents; where a kept column says nothing, the file's own facts stand."""
        rows = len(texts)
        facts = {"source": source, "path": path, "license": license}
        for name, value in facts.items():
            fact = pa.scalar(value, pa.string())
            columns[name] = pc.fill_null(columns[name], fact) if name in columns else pa.repeat(fact, rows)
        columns |= {each: pa.nulls(rows, pa.string()) for each in self.extras if each not in columns}
        columns |= {"text": texts, BEGINS: pa.repeat(True, rows)}
        return pa.record_batch([columns[each] for each in self.schema.names], schema=self.schema)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "integer"
    return "number" if isinstance(value, float) else "string"


def _arrow_kind(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return "integer"
    return "number" if pa.types.is_floating(kind) else "string"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
