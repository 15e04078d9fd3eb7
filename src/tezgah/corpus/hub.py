"""Datasets through the optional `datasets` package, streamed: an id of the hub, or a local path."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tezgah.corpus.inputs import DatasetName, Source
from tezgah.corpus.tables import TableRows
from tezgah.errors import InputError

BATCH_ROWS = 256
FILE_KINDS = {"parquet": "parquet", "csv": "csv", "txt": "text"}  # by suffix; everything else is JSON


def read_dataset(source: Source, name: DatasetName, rows: TableRows) -> Iterator[pa.RecordBatch]:
    """The documents of a dataset's split: the one named, else `train`, else the only one."""
    for table in _tables(source, name):
        if not rows.has_text(table.schema, source.name):
            return
        for batch in table.to_batches():
            yield rows.documents(batch, source.name, name.id, None)


def _tables(source: Source, name: DatasetName) -> Iterator[pa.Table]:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"corpus.source: {source.name!r} needs the package datasets ({error}). "
            "Install it: pip install 'tezgah[datasets]'."
        ) from error
    try:
        yield from _open(datasets, source, name).with_format("arrow").iter(batch_size=BATCH_ROWS)
    except (datasets.exceptions.DatasetsError, pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            f"corpus.source: {source.name!r} cannot be read ({reason}). Check its id, configuration and the network."
        ) from error


def _open(datasets: Any, source: Source, name: DatasetName) -> Any:
    """The split as a dataset that is read as it comes."""
    path = Path(name.id).expanduser()
    if path.is_file():
        kind = FILE_KINDS.get(path.name.partition(".")[2].partition(".")[0].lower(), "json")
        found = datasets.load_dataset(kind, data_files=str(path), streaming=True)
    elif (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        found = datasets.load_from_disk(str(path))
    else:
        place = str(path) if path.is_dir() else name.id
        found = datasets.load_dataset(place, name.config or None, streaming=True)
    if isinstance(found, dict):
        split = name.split or ("train" if "train" in found or len(found) > 1 else next(iter(found)))
        if split not in found:
            raise InputError(
                f"corpus.source: {source.name!r} has no split {split!r}; it has: {', '.join(found)}. "
                f"Name one: datasets:{name.id}:{name.config}:SPLIT."
            )
        found = found[split]
    return found.to_iterable_dataset() if isinstance(found, datasets.Dataset) else found
