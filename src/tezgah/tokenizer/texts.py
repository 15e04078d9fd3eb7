"""Texts out of what people hold them in: one string at a time, or as Arrow's UTF-8 buffers."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tezgah.errors import InputError

ARROW_ROWS = 256  # Python strings of an Arrow column alive at once
CHUNK_BYTES = 1 << 19  # of text handed on at once; a longer text is a chunk of its own

Chunk = tuple[NDArray[np.uint8], NDArray[np.int64]]  # UTF-8, and where its rows end in it, (rows + 1,)


def utf8(texts: Iterable[Any]) -> Iterator[Chunk]:
    """The same texts as `strings` in chunks: row r of a chunk is text[offsets[r]:offsets[r + 1]], valid UTF-8.

    What is an Arrow array already is not copied. Raises InputError for what is no text.
    """
    if isinstance(texts, str):
        raise InputError("texts: one string where many are expected. Put it in a list.")
    if hasattr(texts, "schema"):
        yield from utf8(_column(texts))
    elif isinstance(texts, pa.ChunkedArray):
        for array in texts.chunks:
            yield from utf8(array)
    elif isinstance(texts, pa.Array):
        yield from _cut(_large_strings(texts))
    else:
        yield from _gathered(texts)


def arrays(texts: Iterable[Any]) -> Iterator[Any]:
    """The same chunks as Arrow arrays of large strings; `buffers` looks into one."""
    for data, ends in utf8(texts):
        yield pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(data))


def buffers(array: Any) -> Chunk:
    """The bytes of an array of large strings, and where its rows end in them, (rows + 1,)."""
    _, ends, data = array.buffers()
    if len(array) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    text = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return text, np.frombuffer(ends, np.int64)[array.offset : array.offset + len(array) + 1]


def _cut(array: Any) -> Iterator[Chunk]:
    """An array of large strings in chunks; whether one is valid UTF-8 is looked at when its turn comes."""
    text, ends = buffers(array)
    first = 0
    while first < len(array):  # rows up to the first that ends beyond the chunk
        last = max(first + 1, int(np.searchsorted(ends, ends[first] + CHUNK_BYTES, side="right")) - 1)
        try:
            array.slice(first, last - first).validate(full=True)
        except pa.ArrowInvalid as error:
            raise InputError(_not_utf8(error)) from None
        yield text, ends[first : last + 1]
        first = last


def _gathered(items: Iterable[Any]) -> Iterator[Chunk]:
    """Python strings, a chunk each; what is an array or a table among them by itself."""
    gathered: list[str] = []
    size = 0
    for row, item in enumerate(items):
        if isinstance(item, str):
            gathered.append(item)
            size += len(item)
        elif not hasattr(item, "schema") and not isinstance(item, pa.Array | pa.ChunkedArray):
            raise InputError(_not_a_text(row, item))
        if size >= CHUNK_BYTES or (gathered and not isinstance(item, str)):
            yield _of_strings(gathered)
            gathered, size = [], 0
        if not isinstance(item, str):
            yield from utf8(item)
    if gathered:
        yield _of_strings(gathered)


def _of_strings(texts: list[str]) -> Chunk:
    """Python strings as Arrow holds them. `pyarrow.array` would import pandas where it is installed, 0.2 s."""
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError as error:
        raise InputError(
            f"a text holds {error.object[error.start]!r} at character {error.start:,}, half of a surrogate pair, "
            "which is no Unicode text. Decode the input as UTF-8 with errors='replace'."
        ) from None
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64)


def _large_strings(array: Any) -> Any:
    """An Arrow array as large strings, none of them null."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InputError(f"texts: an Arrow array of {array.type}, not of strings.")
    if array.null_count:
        row = array.is_null().index(True).as_py()
        raise InputError(_not_a_text(row, None))
    try:
        strings_of = array.cast(pa.large_string())
        strings_of.validate()
    except pa.ArrowInvalid as error:
        raise InputError(_not_utf8(error)) from None
    return strings_of


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
        yield from strings(_column(texts))
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


def _column(table: Any) -> Any:
    """The texts of a table or a batch."""
    if "text" not in table.schema.names:
        raise InputError(f"texts: has no column 'text'; it has: {', '.join(table.schema.names)}.")
    return table["text"]


def _checked(items: list[Any], start: int) -> Iterator[str]:
    for row, item in enumerate(items, start):
        if not isinstance(item, str):
            raise InputError(_not_a_text(row, item))
        yield item


def _not_utf8(error: pa.ArrowInvalid) -> str:
    return f"texts: not UTF-8 ({error}). Decode the input as UTF-8 with errors='replace'."


def _not_a_text(row: int, item: object) -> str:
    return f"texts: row {row:,} is {'null' if item is None else type(item).__name__}, not a string. Drop or mend it."
