"""Documents as they come: cleaned, cut and divided by what is known of a text when it is met.

The rules are those of `build.py`, but for two that need the whole corpus. Which texts are
duplicates is known of the last million texts or so (`seen.py`), and a text file of more than 8 MiB
is none, since it is not held. And the split is by hash, never by position.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tezgah.corpus.columns import BEGINS, KeptColumns
from tezgah.corpus.cut import cut_long
from tezgah.corpus.duplicates import TextHashes
from tezgah.corpus.inputs import list_sources
from tezgah.corpus.readers import read_documents
from tezgah.corpus.seen import SeenTexts
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import TRAIN, document_fractions, hash_codes
from tezgah.corpus.tally import Tally

Codes = NDArray[np.int8]


def training_texts(
    settings: CorpusSettings, tally: Tally, advance: Callable[[float], None], only: str | None = None
) -> Iterator[pa.StringArray]:
    """The documents to train on, in the sources' order, a few MB at a time; with `only`, those of this source.

    `advance` hears of the files' bytes as they are read, `tally` counts what is dropped.
    """
    sources = [each for each in list_sources(settings) if only in (None, each.name)]
    batches = read_documents(sources, settings, KeptColumns(settings), tally, advance)
    for documents, codes in divided(batches, settings, tally):
        yield documents["text"].filter(pa.array(codes == TRAIN))


def divided(
    batches: Iterable[pa.RecordBatch], settings: CorpusSettings, tally: Tally
) -> Iterator[tuple[pa.RecordBatch, Codes]]:
    """Batches of texts as documents, and the split of each of them (split.py), (rows,)."""
    seen = SeenTexts()
    ends: list[None] = [None]
    for texts, following in pairwise(chain(batches, ends)):
        assert texts is not None  # `ends` comes last
        if not len(texts):
            continue
        goes_on = following is not None and len(following) > 0 and not following[BEGINS][0].as_py()
        if texts[BEGINS][0].as_py() and not goes_on:  # else it is a part of one long text (texts.py)
            texts = _without_duplicates(texts, seen, tally)
            if not len(texts):
                continue
        documents = cut_long(texts, settings.max_document_bytes)
        yield documents, hash_codes(settings, document_fractions(documents, settings), np.ones(len(documents), bool))


def _without_duplicates(texts: pa.RecordBatch, seen: SeenTexts, tally: Tally) -> pa.RecordBatch:
    """The whole texts of a batch that come for the first time."""
    hashes = TextHashes()
    hashes.add(texts)
    is_new = pa.array(seen.are_new(hashes.finish()))
    gone = texts.filter(pc.invert(is_new))
    if not len(gone):
        return texts
    sizes, paths = pc.binary_length(gone["text"]).to_pylist(), gone["path"].to_pylist()
    for path, size in zip(paths, sizes, strict=True):
        tally.drop("duplicate", f"{path} (came before)", size_bytes=size)
    return texts.filter(is_new)
