"""A corpus on disk, written by hand."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tezgah.corpus.reading import Amount, CorpusSummary
from tezgah.files import write_json

WriteCorpus = Callable[[dict[str, list[str]]], Path]


@pytest.fixture
def write_corpus(tmp_path: Path) -> WriteCorpus:
    """Writes the texts of each split as a corpus folder."""

    def write(splits: dict[str, list[str]]) -> Path:
        folder = tmp_path / "corpus"
        folder.mkdir()
        for split, texts in splits.items():
            sizes = [len(text.encode()) for text in texts]
            columns = {
                "text": pa.array(texts, pa.string()),
                "source": ["test"] * len(texts),
                "path": [f"{row}.txt" for row in range(len(texts))],
                "license": [""] * len(texts),
                "size": pa.array(sizes, pa.int64()),
                "part": pa.array([0] * len(texts), pa.int32()),
            }
            pq.write_table(pa.table(columns), folder / f"{split}.parquet")
        amounts = {
            split: Amount(len(texts), sum(len(text.encode()) for text in texts), sum(map(len, texts)))
            for split, texts in splits.items()
        }
        summary = CorpusSummary(
            format=1,
            source=["test"],
            columns={},
            texts=0,
            dropped={},
            cut_texts=0,
            cut_parts=0,
            max_document_bytes=65_536,
            split_rule="position",
            split_reason="",
            splits=amounts,
            by_source={},
            by_license={},
            by_suffix={},
            inputs=[],
        )
        write_json(folder / "index.json", msgspec.to_builtins(summary))
        return folder

    return write
