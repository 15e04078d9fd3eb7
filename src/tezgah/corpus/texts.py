"""Plain text and source files: one file, one text. What is not text is set aside and counted."""

import codecs
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from tezgah.corpus.columns import BEGINS, KeptColumns
from tezgah.corpus.cut import cut_points
from tezgah.corpus.inputs import InputFile
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.stored import BrokenFileError, StoredFile
from tezgah.corpus.tally import Tally

HELD_BYTES = 8 << 20  # texts up to here are read at once, and gathered into batches of about this size
HELD_ROWS = 4096
LONG = object()  # stands for a whole and decodable text that is too long to be held
MARK = codecs.BOM_UTF8.decode()


def read_texts(
    files: Iterable[InputFile],
    settings: CorpusSettings,
    kept: KeptColumns,
    tally: Tally,
    advance: Callable[[float], None],
) -> Iterator[pa.RecordBatch]:
    """Batches of documents, one a file, in the files' order; a very long text comes cut already."""
    held: list[tuple[str, InputFile]] = []
    size = 0
    for file in files:
        text = _read(file, settings, tally, advance)
        if isinstance(text, str):
            held.append((text, file))
            size += len(text)
        if held and (size >= HELD_BYTES or len(held) >= HELD_ROWS or text is LONG):
            yield tally.admit(_batch(held, kept))
            held, size = [], 0
        if text is LONG:
            tally.texts += 1
            yield from _long_text(file, settings.max_document_bytes, kept)
    if held:
        yield tally.admit(_batch(held, kept))


def _read(
    file: InputFile, settings: CorpusSettings, tally: Tally, advance: Callable[[float], None]
) -> str | object | None:
    """The file's text, LONG, or None where the file was set aside."""
    limit = None if file.is_named else settings.max_file_bytes
    if limit is not None and file.size > limit:
        tally.set_aside("too_large", file)
        advance(file.size)
        return None
    try:
        with StoredFile(file.path, advance) as stored:
            content = stored.peek(HELD_BYTES + 1)
            fault, text = _inspect(stored, limit) if len(content) > HELD_BYTES else _decode(content, limit)
            tally.hashes[file] = stored.hash()
    except BrokenFileError as error:
        tally.refuse("broken_file", str(file.path), "", str(error), "Restore it")
        return None
    if fault:
        tally.set_aside(fault, file)
    return text


def _decode(content: bytes, limit: int | None) -> tuple[str, str | None]:
    """A reason to set the content aside, or its text without a byte order mark."""
    if b"\0" in content:
        return "binary", None
    if limit is not None and len(content) > limit:  # after decompression
        return "too_large", None
    try:
        return "", content.decode().removeprefix(MARK)
    except UnicodeDecodeError:
        return "not_utf8", None


def _inspect(stored: StoredFile, limit: int | None) -> tuple[str, object | None]:
    """The same for a content too long to be held, which is read to its end."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 0
    while piece := stored.read(1 << 20):
        size += len(piece)
        if b"\0" in piece:
            return "binary", None
        if limit is not None and size > limit:
            return "too_large", None
        try:
            decoder.decode(piece)
        except UnicodeDecodeError:
            return "not_utf8", None
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "not_utf8", None
    return "", LONG


def _long_text(file: InputFile, limit: int, kept: KeptColumns) -> Iterator[pa.RecordBatch]:
    """Parts of a text that was inspected before: it is read twice, and never held.

    Whether a part ends here depends on the next `limit` bytes alone, so these are the parts
    that the whole text would be cut into.
    """
    begins, rest = True, b""
    with StoredFile(file.path) as stored:
        if stored.peek(3) == codecs.BOM_UTF8:
            stored.read(3)
        while piece := stored.read(max(1 << 20, limit)):
            rest += piece
            points = cut_points(rest, limit)
            yield from _parts(rest, points, begins, file, kept)
            begins, rest = begins and not points, rest[points[-1] if points else 0 :]
    yield from _parts(rest, [len(rest)], begins, file, kept)


def _parts(text: bytes, ends: list[int], begins: bool, file: InputFile, kept: KeptColumns) -> Iterator[pa.RecordBatch]:
    if not ends:
        return
    parts = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    batch = kept.batch(pa.array(parts, pa.string()), {}, file.source, file.relative, file.license)
    place = batch.schema.get_field_index(BEGINS)
    yield batch.set_column(place, BEGINS, pa.array([begins, *[False] * (len(parts) - 1)]))


def _batch(held: list[tuple[str, InputFile]], kept: KeptColumns) -> pa.RecordBatch:
    """Whole files as one batch."""
    files = [file for _, file in held]
    columns = {
        "source": pa.array([file.source for file in files], pa.string()),
        "path": pa.array([file.relative for file in files], pa.string()),
        "license": pa.array([file.license for file in files], pa.string()),
    }
    return kept.batch(pa.array([text for text, _ in held], pa.string()), columns, "", "", None)
