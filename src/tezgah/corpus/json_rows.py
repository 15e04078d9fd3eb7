"""Rows of JSON Lines, or of one JSON array. A bad row is named by its number, the first is 1.

msgspec decodes a block of lines at once and only the columns asked for (about 300 MB/s on one
core; gzip gives about as much). Only a block with a fault in it is read again line by line.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import UNSET

from tezgah.corpus.columns import KeptColumns
from tezgah.corpus.inputs import InputFile
from tezgah.corpus.stored import BrokenFileError, StoredFile
from tezgah.corpus.tally import Tally

BLOCK_BYTES = 4 << 20
LONGEST_ROW_BYTES = 256 << 20
WHITESPACE = " \t\r\n"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # the last where a value is nested too deeply


class JsonRows:
    """Reads the rows of JSON files into documents."""

    def __init__(self, text_column: str, kept: KeptColumns, tally: Tally) -> None:
        self._text_column, self._kept, self._tally = text_column, kept, tally
        fields: list[Any] = [("text", str | None | msgspec.UnsetType, UNSET)]
        fields += [(f"kept_{place}", Any, None) for place in range(len(kept.names))]
        names = {"text": text_column} | {f"kept_{place}": name for place, name in enumerate(kept.names)}
        row: Any = msgspec.defstruct("Row", fields, rename=names, gc=False)
        self._decoder = msgspec.json.Decoder(row)

    def read(self, file: InputFile, advance: Callable[[float], None]) -> Iterator[pa.RecordBatch]:
        """The file's documents, a block at a time."""
        try:
            with StoredFile(file.path, advance) as stored:
                is_array = stored.peek(4096).lstrip(codecs.BOM_UTF8 + WHITESPACE.encode()).startswith(b"[")
                blocks = _grouped(_elements(stored)) if is_array else _lines(stored)
                for first, block in blocks:
                    if rows := self._decode(file, first, block):
                        yield self._tally.admit(self._documents(rows, file))
                self._tally.hashes[file] = stored.hash()
        except (BrokenFileError, RecursionError) as error:  # a kept value may be read and yet be too deep to write
            self._tally.refuse("broken_file", str(file.path), "", str(error), "Restore it")

    def _decode(self, file: InputFile, first: int, block: bytes) -> list[Any]:
        """The good rows of a block of lines that begins with row `first`."""
        try:
            rows = self._decoder.decode_lines(block)
        except UNREADABLE:
            rows = []
        if len(rows) == block.count(b"\n") and not any(row.text is UNSET for row in rows):
            return rows
        lines = enumerate(block.split(b"\n"), first)
        found = [self._decode_row(file, number, line) for number, line in lines if line.strip()]
        return [row for row in found if row is not None]

    def _decode_row(self, file: InputFile, number: int, line: bytes) -> Any:
        """One row, or None where it was refused."""
        try:
            row = self._decoder.decode(line)
        except UNREADABLE as error:
            fault, mend = f"cannot be used ({error})", "Mend it"
        else:
            if row.text is not UNSET:
                return row
            names = ", ".join(map(str, msgspec.json.decode(line))) or "none"
            fault, mend = f"has no column {self._text_column!r}; it has: {names}", "Set corpus.text_column"
        self._tally.refuse("bad_row", str(file.path), f"row {number:,}", fault, mend)
        return None

    def _documents(self, rows: list[Any], file: InputFile) -> pa.RecordBatch:
        columns = {
            name: self._kept.from_values(name, [getattr(row, f"kept_{place}") for row in rows])
            for place, name in enumerate(self._kept.names)
        }
        texts = pa.array([row.text for row in rows], pa.string())
        return self._kept.batch(texts, columns, file.source, file.relative, file.license)


def looks_like_rows(file: InputFile, text_column: str) -> bool:
    """Whether a .json file met in a folder holds rows, or is a source file like any other.

    Rows: its first record, or first element, has the text column; or a second record stands on
    the next line. So package.json is text, and a GitHub dump is rows.
    """
    try:
        with StoredFile(file.path) as stored:
            head = stored.peek(1 << 20).decode("utf-8", "ignore").removeprefix("\ufeff").lstrip(WHITESPACE)
    except BrokenFileError:
        return False
    start = 1 + len(head[1:]) - len(head[1:].lstrip(WHITESPACE)) if head.startswith("[") else 0
    try:
        record, end = json.JSONDecoder().raw_decode(head, start)
    except (ValueError, RecursionError):
        return start == 0 and json.dumps(text_column) in head.partition("\n")[0]
    if not isinstance(record, dict) or (start == 0 and "\n" in head[:end]):
        return False
    return text_column in record or (start == 0 and head[end:].lstrip(WHITESPACE).startswith("{"))


def _lines(stored: StoredFile) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines, each ending in a newline, with the number of their first line."""
    first, rest = 1, [b""]
    held = 0
    if stored.peek(3) == codecs.BOM_UTF8:
        stored.read(3)
    while True:
        try:
            piece = stored.read()
        except BrokenFileError:
            yield from _up_to_newline(first, b"".join(rest))
            raise
        end = piece.rfind(b"\n") + 1
        if not piece or (end and held + end >= BLOCK_BYTES):
            block = b"".join((*rest, piece[:end]))
            if block:
                yield first, block if block.endswith(b"\n") else block + b"\n"
            if not piece:
                return
            first += block.count(b"\n")
            rest, held = [piece[end:]], len(piece) - end
        else:
            rest.append(piece)
            held += len(piece)
        if held > LONGEST_ROW_BYTES:
            raise BrokenFileError(f"holds a row, {first:,} or later, of more than {LONGEST_ROW_BYTES:,} bytes")


def _up_to_newline(first: int, block: bytes) -> Iterator[tuple[int, bytes]]:
    if end := block.rfind(b"\n") + 1:
        yield first, block[:end]


def _grouped(elements: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Elements as blocks of lines; what was whole before a break is given first."""
    first, held = 1, bytearray()
    try:
        for number, element in enumerate(elements, 1):
            held += element
            if len(held) >= BLOCK_BYTES:
                yield first, bytes(held)
                first, held = number + 1, bytearray()
    except BrokenFileError:
        yield first, bytes(held)
        raise
    yield first, bytes(held)


def _elements(stored: StoredFile) -> Iterator[bytes]:
    """The elements of a JSON array, one a line, found by reading on until each is whole."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    scan = json.JSONDecoder().raw_decode
    buffer, place, number = "", 0, 0

    def more() -> bool:
        nonlocal buffer, place
        piece = stored.read(max(BLOCK_BYTES, len(buffer) - place))
        try:
            buffer, place = buffer[place:] + decode(piece, not piece), 0
        except UnicodeDecodeError as error:
            raise BrokenFileError(f"is not UTF-8 after row {number:,} ({error.reason})") from error
        return bool(piece)

    def sign() -> str:
        nonlocal place
        while True:
            while place < len(buffer) and buffer[place] in WHITESPACE:
                place += 1
            if place < len(buffer) or not more():
                return buffer[place : place + 1]

    sign()
    place += 1  # the opening bracket
    while sign() != "]":
        number += 1
        while True:
            try:
                _, end = scan(buffer, place)
            except ValueError as error:
                if len(buffer) - place > LONGEST_ROW_BYTES or not more():
                    raise BrokenFileError(f"has no whole JSON array: row {number:,} is broken ({error})") from error
            except RecursionError as error:
                raise BrokenFileError(f"has no readable JSON array: row {number:,} is nested too deeply") from error
            else:
                break
        yield buffer[place:end].encode("utf-8", "surrogatepass").replace(b"\n", b" ") + b"\n"
        place = end
        if sign() == ",":
            place += 1
        elif sign() != "]":
            raise BrokenFileError(f"has no whole JSON array: no comma or bracket follows row {number:,}")
