"""The second pass: every document that stays goes to the Parquet file of its split."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tezgah.corpus.columns import BEGINS, OURS, KeptColumns
from tezgah.corpus.cut import cut_at
from tezgah.corpus.reading import Amount
from tezgah.corpus.split import TRAIN, VALIDATION, Plan
from tezgah.corpus.tally import EXAMPLES, Tally

ROW_GROUP_BYTES = 16 << 20  # what a reader holds at a time
SUFFIX = r"(?P<suffix>\.[A-Za-z0-9_+-]{1,16})(?:\.gz|\.zst)?$"
MOST_GROUPS = 1000  # named in a breakdown; what comes later counts as "(other)"


class SplitFile:
    """One split on its way to disk, in row groups of about ROW_GROUP_BYTES."""

    def __init__(self, path: Path, kept: KeptColumns) -> None:
        strings = [pa.field(name, pa.string()) for name in OURS]
        ours = [*strings, pa.field("size", pa.int64()), pa.field("part", pa.int32())]
        self.schema = pa.schema([*ours, *(pa.field(name, kept.final_type(name)) for name in kept.extras)])
        names = self.schema.names
        self._writer = pq.ParquetWriter(
            path, self.schema, compression="zstd", use_dictionary=names[1:], write_statistics=names[1:]
        )
        self._held: list[pa.RecordBatch] = []
        self.amount = Amount()

    def write(self, documents: pa.RecordBatch, parts: pa.Array) -> None:
        """Documents in order; `parts` are their numbers within their texts."""
        size = pc.binary_length(documents["text"]).cast(pa.int64())
        columns = {name: documents[name] for name in documents.schema.names} | {"size": size, "part": parts}
        batch = pa.record_batch([columns[field.name].cast(field.type) for field in self.schema], schema=self.schema)
        self.amount.documents += len(batch)
        self.amount.bytes += pc.sum(size).as_py() or 0
        self.amount.characters += pc.sum(pc.utf8_length(batch["text"])).as_py() or 0
        self._held.append(batch)
        if sum(each.nbytes for each in self._held) >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is held and the file's end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held))
        self._held = []


class Breakdowns:
    """How much there is of each source, licence and suffix, over all splits."""

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, Amount]] = {"source": {}, "license": {}, "suffix": {}}

    def add(self, documents: pa.RecordBatch) -> None:
        """Count documents that stay."""
        text = documents["text"]
        suffix = pc.struct_field(pc.extract_regex(documents["path"], SUFFIX), "suffix")
        keys = {"source": documents["source"], "license": documents["license"], "suffix": suffix}
        for name, key in keys.items():
            key = pc.fill_null(key, "(none)" if name == "suffix" else "(unknown)")
            table = pa.table({"key": key, "bytes": pc.binary_length(text), "characters": pc.utf8_length(text)})
            sums = [("key", "count"), ("bytes", "sum"), ("characters", "sum")]
            for row in table.group_by("key").aggregate(sums).to_pylist():
                groups = self.groups[name]
                place = row["key"] if row["key"] in groups or len(groups) < MOST_GROUPS else "(other)"
                amount = groups.setdefault(place, Amount())
                amount.documents += row["key_count"]
                amount.bytes += row["bytes_sum"]
                amount.characters += row["characters_sum"]


def write_splits(
    batches: Iterable[pa.RecordBatch], plan: Plan, first: np.ndarray, files: list[SplitFile], tally: Tally
) -> Breakdowns:
    """Write all documents that stay; duplicates (`first` names the equal text before) are counted in `tally`."""
    breakdowns = Breakdowns()
    duplicates = _Duplicates(first, tally)
    last_part = 0
    for documents, codes in _divided(batches, plan):
        begins = documents[BEGINS].to_numpy(zero_copy_only=False)
        duplicates.look(documents, begins, codes)
        parts = number_parts(begins, last_part)
        last_part = int(parts[-1])
        for code, file in enumerate(files):
            mask = pa.array(codes == code)
            file.write(documents.filter(mask), pa.array(parts).filter(mask))
        breakdowns.add(documents.filter(pa.array(codes >= 0)))
    for file in files:
        file.close()
    return breakdowns


def number_parts(begins: np.ndarray, last_part: int) -> np.ndarray:
    """The number of each row within its text; rows before the first beginning go on after `last_part`.

    >>> number_parts(np.array([False, True, True, False, False]), last_part=3).tolist()
    [4, 0, 0, 1, 2]
    """
    places = np.arange(len(begins))
    start = np.maximum.accumulate(np.where(begins, places, -1 - last_part))
    return (places - start).astype(np.int32)


def _divided(batches: Iterable[pa.RecordBatch], plan: Plan) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Batches with their rows' codes; the row that straddles a split by position comes as two."""
    start = 0
    for documents in batches:
        codes = plan.codes[start : start + len(documents)]
        local = plan.divided[0] - start if plan.divided else -1
        start += len(documents)
        if plan.divided and 0 <= local < len(documents):
            point = len(documents["text"][local].as_py()[: plan.divided[1]].encode())
            documents = cut_at(documents, {local: [point]})
            codes = np.insert(codes, local, TRAIN)
            codes[local + 1] = VALIDATION
        if len(documents):
            yield documents, codes


class _Duplicates:
    """Counts duplicates and gives the first few examples the path of the text they repeat."""

    def __init__(self, first: np.ndarray, tally: Tally) -> None:
        self._first, self._tally = first, tally
        repeats = np.flatnonzero(first != np.arange(len(first)))[:EXAMPLES]
        self._paths: dict[int, str] = {}
        self._wanted = {int(first[each]) for each in repeats}
        self._texts = 0

    def look(self, documents: pa.RecordBatch, begins: np.ndarray, codes: np.ndarray) -> None:
        """Look at the next rows."""
        sizes = pc.binary_length(documents["text"]).to_numpy()
        text = self._texts + np.cumsum(begins) - 1  # (rows,) numbers of their texts
        self._texts += int(begins.sum())
        for original in self._wanted:
            rows = np.flatnonzero(begins & (text == original))
            if len(rows):
                self._paths[original] = documents["path"][int(rows[0])].as_py()
        gone = np.flatnonzero(codes < 0)
        for row in gone[begins[gone]][:EXAMPLES].tolist():
            if (original := int(self._first[text[row]])) in self._paths:
                path = documents["path"][row].as_py()
                self._tally.drop("duplicate", f"{path} (same as {self._paths[original]})", texts=0)
        if len(gone):
            entry = self._tally.dropped["duplicate"]
            entry.texts += int(begins[gone].sum())
            entry.bytes += int(sizes[gone].sum())
