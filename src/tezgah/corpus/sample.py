"""A sample of a corpus that is too large to be stored: what a tokenizer learns from, and what is held out.

It is taken from the beginnings of files that lie evenly over all of them, for neighbours in a
corpus are alike. Which of its documents are held out depends on each document alone, so the
training split, read later as a stream, has none of them: what the hash holds out is left out there,
whether it is in the sample or not.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tezgah import console
from tezgah.corpus.card import write_card
from tezgah.corpus.columns import BEGINS, KeptColumns
from tezgah.corpus.inputs import Source, list_sources
from tezgah.corpus.readers import read_documents
from tezgah.corpus.reading import CorpusSummary
from tezgah.corpus.settings import CorpusSettings
from tezgah.corpus.split import TEST, TRAIN, VALIDATION, Plan, check_ratios, hash_reason
from tezgah.corpus.stream import Codes, divided
from tezgah.corpus.summary import check_any_text, parts_of_texts, summarize, tell
from tezgah.corpus.tally import Tally
from tezgah.corpus.writing import Breakdowns, SplitFile, number_parts
from tezgah.errors import InputError
from tezgah.files import write_json

SAMPLE_BYTES = 64 << 20  # of text: 6 MB of them held out, where a tenth is
LEAST_BYTES = 1 << 20  # of one file, where it has them

Divided = list[tuple[pa.RecordBatch, Codes]]


def build_sample(settings: CorpusSettings, folder: Path, size_bytes: int = SAMPLE_BYTES) -> CorpusSummary:
    """Fill the empty `folder` as `build_corpus` does, from about `size_bytes` of text; its training split is `sample`.

    The same inputs and settings give the same bytes. Raises InputError where there is nothing to
    read, where something is broken and `on_error` is "stop", or where a split stays empty.
    """
    check_ratios(settings)
    kept, tally, sources = KeptColumns(settings), Tally(settings), list_sources(settings)
    codes_of = {"sample": TRAIN, "validation": VALIDATION} | ({"test": TEST} if settings.test_ratio else {})
    with console.progress("corpus", None, "B") as bar:
        held: Divided = []
        for batch in divided(_spread_texts(sources, settings, kept, tally, size_bytes), settings, tally):
            held.append(batch)
            bar.advance(pc.sum(pc.binary_length(batch[0]["text"])).as_py() or 0)
    check_any_text(sources, tally, sum(len(codes) for _, codes in held))
    for name, code in codes_of.items():
        if not any((codes == code).any() for _, codes in held):
            raise InputError(
                f"corpus: no document of the sample falls into {name} by its hash. "
                'Add documents, raise its ratio, or set tokens.mode = "stored".'
            )
    files = {name: SplitFile(folder / f"{name}.parquet", kept) for name in codes_of}
    breakdowns = _write(held, {code: files[name] for name, code in codes_of.items()})
    begins = np.concatenate([documents[BEGINS].to_numpy(zero_copy_only=False) for documents, _ in held])
    plan = Plan("hash", hash_reason(settings), np.empty(0, np.int8))
    summary = summarize(settings, sources, tally, plan, files, breakdowns, parts_of_texts(begins))
    write_json(folder / "index.json", msgspec.to_builtins(summary))
    write_card(folder / "card.md", summary)
    tell(settings, summary)
    return summary


def _write(held: Divided, files: dict[int, SplitFile]) -> Breakdowns:
    breakdowns, last_part = Breakdowns(), 0
    for documents, codes in held:
        if not len(documents):
            continue
        parts = number_parts(documents[BEGINS].to_numpy(zero_copy_only=False), last_part)
        last_part = int(parts[-1])
        for code, file in files.items():
            mask = pa.array(codes == code)
            file.write(documents.filter(mask), pa.array(parts).filter(mask))
        breakdowns.add(documents)
    for file in files.values():
        file.close()
    return breakdowns


def _spread_texts(
    sources: list[Source], settings: CorpusSettings, kept: KeptColumns, tally: Tally, size_bytes: int
) -> Iterator[pa.RecordBatch]:
    """The first texts of one file after the other, until there are `size_bytes` of them in all."""
    files = _spread_files(sources)
    most, left = max(LEAST_BYTES, size_bytes // max(1, len(files))), size_bytes
    for file in files:
        wanted = min(most, left)
        for texts in read_documents([file], settings, kept, tally, lambda amount: None):
            if not len(texts):
                continue
            ends = pc.cumulative_sum(pc.binary_length(texts["text"]).cast(pa.int64())).to_numpy()  # (rows,)
            rows = int(np.searchsorted(ends, wanted)) + 1  # as many as it takes
            taken = texts.slice(0, rows)
            tally.texts -= len(texts) - len(taken)
            yield taken
            size = int(ends[len(taken) - 1])
            wanted, left = wanted - size, left - size
            if wanted <= 0:
                break
        if left <= 0:
            return


def _spread_files(sources: list[Source]) -> list[Source]:
    """Sources of one file each (or a dataset), any first few of which lie evenly over all of them.

    They come by the multiples of the golden ratio's fraction: the k-th is the one whose rank
    among them all is that of k × 0.618… modulo 1.
    """
    single = [
        each
        for source in sources
        for each in ([source] if source.dataset else [Source(source.name, (file,)) for file in source.files])
    ]
    ranks = (np.arange(len(single)) * ((5**0.5 - 1) / 2) % 1).argsort(kind="stable").argsort(kind="stable")
    return [single[rank] for rank in ranks.tolist()]
