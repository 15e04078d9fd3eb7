"""A training split as a stream of ids that is made while its sources are read, and stored nowhere.

It is the stream that `build.py` writes: the separator before every document, and one at the end.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tezgah.corpus.cut import text_buffers
from tezgah.corpus.inputs import list_inputs
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.stream import training_texts
from tezgah.corpus.tally import Tally
from tezgah.tokenizer.tokenizer import Tokenizer
from tezgah.tokens.infill import Encode

SLICE_BYTES = 1 << 20  # of text that is encoded at once


@dataclass(frozen=True)
class Piece:
    """A stretch of the stream: some documents, each behind its separator; or the separator at the end."""

    ids: NDArray[np.integer]  # (tokens,)
    documents: int
    bytes: int  # UTF-8, of the texts
    characters: int  # code points, of the texts
    share: float  # of the source files' bytes that were read by then; 0 where there are no files


def read_pieces(
    corpus: CorpusSettings,
    tokenizer: Tokenizer,
    passed_over: int = 0,
    only: str | None = None,
    encode: Encode | None = None,
) -> Generator[Piece, None, None]:
    """The stream in order, from document number `passed_over` on; with `only`, that of this one of the sources.

    Those before it are read, but not encoded; for each few MB of them comes a piece with nothing in it.
    `encode` writes documents as ids, where not as the tokenizer does (`infill.training_encoder`).
    """
    total = sum(file.size for file in list_inputs(corpus) if only in (None, file.source))
    read, encode = 0.0, encode or tokenizer.encode_batch

    def advance(size: float) -> None:
        nonlocal read
        read += size

    for texts in training_texts(corpus, Tally(corpus), advance, only):
        here = texts[min(passed_over, len(texts)) :]
        passed_over -= len(texts) - len(here)
        if not len(here):
            yield Piece(np.empty(0, np.int64), 0, 0, 0, 0.0)
            continue
        for part in _slices(here):
            ids, starts = encode(part)  # (tokens,), (rows + 1,)
            yield Piece(
                ids=np.insert(ids, starts[:-1], tokenizer.separator_id),
                documents=len(part),
                bytes=pc.sum(pc.binary_length(part)).as_py(),
                characters=pc.sum(pc.utf8_length(part)).as_py(),
                share=min(1.0, read / total) if total else 0.0,
            )
    yield Piece(np.array([tokenizer.separator_id]), 0, 0, 0, 1.0)


def _slices(texts: pa.StringArray) -> Iterator[pa.StringArray]:
    """The texts in runs of about SLICE_BYTES, at least one in each."""
    offsets, _ = text_buffers(texts)
    start = 0
    while start < len(texts):
        stop = int(np.searchsorted(offsets, offsets[start] + SLICE_BYTES, side="right")) - 1
        stop = max(start + 1, stop)
        yield texts[start:stop]
        start = stop
