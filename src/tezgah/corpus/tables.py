"""Arrow tables, out of Parquet files or a dataset, into documents."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tezgah.corpus.columns import KeptColumns
from tezgah.corpus.inputs import InputFile
from tezgah.corpus.stored import BrokenFileError, StoredFile
from tezgah.corpus.tally import Tally

BATCH_BYTES = 8 << 20  # of decoded columns, aimed at
BATCH_ROWS = 4096
BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())
STRINGS = (pa.string(), pa.large_string(), pa.string_view())


class TableRows:
    """Reads batches of a table into documents."""

    def __init__(self, text_column: str, kept: KeptColumns, tally: Tally) -> None:
        self._text_column, self._kept, self._tally = text_column, kept, tally

    def read(self, file: InputFile, advance: Callable[[float], None]) -> Iterator[pa.RecordBatch]:
        """The documents of a Parquet file. It is read by seeking, so it is hashed by itself before."""
        try:
            with StoredFile(file.path, advance) as stored:
                self._tally.hashes[file] = stored.hash()
            for batch in self._batches(file):
                yield self.documents(batch, file.source, file.relative, file.license)
        except BrokenFileError as error:
            self._tally.refuse("broken_file", str(file.path), "", str(error), "Restore it")

    def has_text(self, schema: pa.Schema, place: str) -> bool:
        """Whether the text column is there and holds text; where not, the table is refused."""
        if self._text_column not in schema.names:
            fault = f"has no column {self._text_column!r}; it has: {', '.join(schema.names) or 'none'}"
        else:
            kind = schema.field(self._text_column).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if kind in (*STRINGS, *BYTES, pa.null()):
                return True
            fault = f"has no text in column {self._text_column!r} but {kind}"
        self._tally.refuse("no_text_column", place, "", fault, "Set corpus.text_column")
        return False

    def documents(self, batch: pa.RecordBatch, source: str, path: str, license: str | None) -> pa.RecordBatch:
        """The rows of a batch that hold text."""
        batch, texts = self._decode(batch, path)
        columns = {
            name: self._kept.from_arrow(name, batch[name]) for name in self._kept.names if name in batch.schema.names
        }
        return self._tally.admit(self._kept.batch(texts, columns, source, path, license))

    def _decode(self, batch: pa.RecordBatch, path: str) -> tuple[pa.RecordBatch, pa.Array]:
        """The batch without rows that are not UTF-8, which Parquet does not check, and its texts."""
        texts = batch[self._text_column]
        stored = texts.cast(pa.binary() if texts.type in BYTES else pa.string()).cast(pa.binary())
        try:
            return batch, stored.cast(pa.string())
        except pa.ArrowInvalid:
            is_valid = pa.array([_is_utf8(each) for each in stored])
        bad = pc.sum(pc.invert(is_valid)).as_py()
        self._tally.texts += bad
        self._tally.drop("not_utf8", path, texts=bad)
        return batch.filter(is_valid), stored.filter(is_valid).cast(pa.string())

    def _batches(self, file: InputFile) -> Iterator[pa.RecordBatch]:
        try:
            with (
                open(file.path, "rb") as opened,  # Arrow itself opens no file whose name is not UTF-8
                pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20) as table,
            ):
                if self.has_text(table.schema_arrow, str(file.path)):
                    wanted = {self._text_column, *self._kept.names} & set(table.schema_arrow.names)
                    yield from table.iter_batches(_batch_rows(table), columns=sorted(wanted))
        except (pa.ArrowException, OSError) as error:
            raise BrokenFileError(f"is a broken Parquet file ({error})") from error


def _batch_rows(table: pq.ParquetFile) -> int:
    """Rows that come to about BATCH_BYTES."""
    groups = [table.metadata.row_group(place) for place in range(table.num_row_groups)]
    size = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(size, 1))))


def _is_utf8(text: pa.BinaryScalar) -> bool:
    try:
        str(memoryview(text.as_buffer() or b""), "utf-8")
    except UnicodeDecodeError:
        return False
    return True
