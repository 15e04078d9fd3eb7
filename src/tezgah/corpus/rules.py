"""Which rows are no text at all. Each rule is a pure function of a batch and gives a reason a row."""

import pyarrow as pa
import pyarrow.compute as pc

REASONS = {
    "no_text": "the text is null",
    "empty": "nothing but white space",
    "binary": "contains NUL",
    "not_utf8": "not UTF-8",
    "too_large": "file larger than max_file_bytes",
    "broken_file": "cannot be read to its end",
    "bad_row": "not valid JSON, or no text in its text column",
    "no_text_column": "a table without the text column",
    "duplicate": "the same text came before",
}


def unusable(documents: pa.RecordBatch) -> pa.Array:
    """One reason a row, null where the row stays.

    >>> unusable(pa.record_batch({"text": ["a = 1", None, " \\n", "a\\0b"]})).to_pylist()
    [None, 'no_text', 'empty', 'binary']
    """
    text = documents["text"]
    return pc.case_when(
        pc.make_struct(
            pc.is_null(text),
            pc.or_(pc.equal(pc.binary_length(text), 0), pc.utf8_is_space(text)),
            pc.match_substring(text, "\0"),
        ),
        pa.scalar("no_text"),
        pa.scalar("empty"),
        pa.scalar("binary"),
        pa.scalar(None, pa.string()),
    )
