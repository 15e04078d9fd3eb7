"""Cutting long texts at paragraph ends. Parts joined in order give the text again, byte for byte.

A part is a slice of the same Arrow buffer: cutting a batch adds offsets and copies no text.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tezgah.corpus.columns import BEGINS

PARAGRAPH_ENDS = (b"\n\n", b"\n\r\n")
WIDEST_CHARACTER = 4  # bytes of UTF-8; a smaller limit counts as this


def cut_long(documents: pa.RecordBatch, limit: int) -> pa.RecordBatch:
    """Rows of at most `limit` bytes of text; the parts of a text follow each other.

    A row that is cut keeps its other columns in every part. No text may be null.
    """
    long = np.flatnonzero(pc.binary_length(documents["text"]).to_numpy(zero_copy_only=False) > limit)
    points = {int(row): cut_points(documents["text"][int(row)].as_buffer().to_pybytes(), limit) for row in long}
    return cut_at(documents, points)


def cut_at(documents: pa.RecordBatch, points: dict[int, list[int]]) -> pa.RecordBatch:
    """Cut rows at byte positions in their texts; only the first part of a row begins a text."""
    if not any(points.values()):
        return documents
    text = documents["text"]
    offsets, data = text_buffers(text)
    extra = np.concatenate([offsets[row] + np.asarray(each, np.int32) for row, each in points.items()])
    bounds = np.sort(np.concatenate([offsets, extra]), kind="stable")  # (parts + 1,)
    parts = np.ones(len(text), np.int64)
    for row, each in points.items():
        parts[row] += len(each)
    owner = np.repeat(np.arange(len(text)), parts)  # (parts,) the row each was cut from
    is_first = np.diff(owner, prepend=-1) > 0
    others = documents.drop_columns("text").take(pa.array(owner))
    columns = {name: others[name] for name in others.schema.names}
    columns["text"] = pa.StringArray.from_buffers(len(owner), pa.py_buffer(bounds), data)
    columns[BEGINS] = pc.and_(others[BEGINS], pa.array(is_first))
    return pa.record_batch([columns[name] for name in documents.schema.names], schema=documents.schema)


def cut_points(text: bytes, limit: int) -> list[int]:
    """Where the parts of a text end, the last one's end left out.

    >>> cut_points(b"one\\n\\ntwo\\n\\nthree", limit=11)
    [10]
    """
    limit = max(limit, WIDEST_CHARACTER)
    points, start = [], 0
    while len(text) - start > limit:
        start = part_end(text, start, limit)
        points.append(start)
    return points


def part_end(text: bytes, start: int, limit: int) -> int:
    """The end of the part that begins at `start`: after the last paragraph that ends within `limit` bytes.

    Where none does, after the last line; else after the last space; else before the character
    that would go over. Only the next `limit` bytes and the one behind them are looked at.
    """
    stop = start + limit
    for marks in (PARAGRAPH_ENDS, (b"\n",), (b" ",)):
        end = max(place + len(mark) if (place := text.rfind(mark, start, stop)) >= 0 else 0 for mark in marks)
        if end:
            return end
    while text[stop] & 0xC0 == 0x80:  # this byte continues a character
        stop -= 1
    return stop


def text_buffers(text: pa.Array) -> tuple[np.ndarray, pa.Buffer]:
    """A string array's offsets, (rows + 1,) int32, and the UTF-8 bytes they point into; nothing is copied."""
    _, offsets, data = text.buffers()
    view = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
    return view, data if data is not None else pa.py_buffer(b"")
