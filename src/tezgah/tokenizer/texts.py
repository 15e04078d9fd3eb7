"""Strings out of what people hold them in, one at a time."""

from collections.abc import Iterable, Iterator
from typing import Any

from tezgah.errors import InputError

ARROW_ROWS = 256  # Python strings of an Arrow column alive at once


def strings(texts: Iterable[Any]) -> Iterator[str]:
    """The texts of an iterable of strings, an Arrow string array, a table or batch (its `text` column), or many.

    >>> list(strings(["bir", "iki"]))
    ['bir', 'iki']
    """
    if isinstance(texts, str):
        raise InputError("texts: one string where many are expected. Put it in a list.")
    return _each(texts)


def _each(texts: Iterable[Any]) -> Iterator[str]:
    if hasattr(texts, "schema"):  # pyarrow.RecordBatch, pyarrow.Table
        if "text" not in texts.schema.names:
            raise InputError(f"texts: has no column 'text'; it has: {', '.join(texts.schema.names)}.")
        yield from strings(texts["text"])  # type: ignore[index]
    elif hasattr(texts, "to_pylist"):  # pyarrow.Array, pyarrow.ChunkedArray
        for start in range(0, len(texts), ARROW_ROWS):  # type: ignore[arg-type]
            yield from _checked(texts.slice(start, ARROW_ROWS).to_pylist(), start)  # type: ignore[attr-defined]
    else:
        for row, item in enumerate(texts):
            if isinstance(item, str):
                yield item
            elif hasattr(item, "schema") or hasattr(item, "to_pylist"):
                yield from strings(item)
            else:
                raise InputError(_not_a_text(row, item))


def _checked(items: list[Any], start: int) -> Iterator[str]:
    for row, item in enumerate(items, start):
        if not isinstance(item, str):
            raise InputError(_not_a_text(row, item))
        yield item


def _not_a_text(row: int, item: object) -> str:
    return f"texts: row {row:,} is {'null' if item is None else type(item).__name__}, not a string. Drop or mend it."
