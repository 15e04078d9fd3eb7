"""What came in and what did not stay, counted as it happens, with examples.

Every text that is met is counted once; it is kept, or it is dropped for one reason. So
`texts == kept texts + sum of dropped texts`.
"""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from tezgah.corpus.inputs import InputFile
from tezgah.corpus.reading import Dropped
from tezgah.corpus.rules import unusable
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError

EXAMPLES = 5  # kept of each reason


class Tally:
    """Counts of one reading. `refuse` is where `corpus.on_error` is decided."""

    def __init__(self, settings: CorpusSettings) -> None:
        self._stops = settings.on_error == "stop"
        self.texts = 0
        self.dropped: dict[str, Dropped] = defaultdict(Dropped)
        self.hashes: dict[InputFile, str] = {}  # SHA-256 of every file that was read

    def drop(self, reason: str, example: str, texts: int = 1, size_bytes: int = 0) -> None:
        """Count texts that do not stay; they are counted as met elsewhere."""
        entry = self.dropped[reason]
        entry.texts += texts
        entry.bytes += size_bytes
        if len(entry.examples) < EXAMPLES:
            entry.examples.append(example)

    def set_aside(self, reason: str, file: InputFile) -> None:
        """A file that is no text: met and dropped."""
        self.texts += 1
        self.drop(reason, file.relative, size_bytes=file.size)

    def refuse(self, reason: str, file: str, place: str, message: str, mend: str) -> None:
        """A broken file, or a broken row (`place`): stop here, or count it as met and dropped, as the recipe says."""
        message = " ".join(message.split())  # libraries' reasons may run over lines
        if self._stops:
            where = f"{file}: {place} " if place else f"{file}: "
            raise InputError(f'{where}{message}. {mend}, or set corpus.on_error = "skip" to count it and go on.')
        self.texts += 1
        self.drop(reason, f"{file}, {place}" if place else file)

    def admit(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        """Whole texts, met here; those that `rules` finds unusable are dropped."""
        self.texts += len(documents)
        reasons = unusable(documents)
        if reasons.null_count == len(reasons):
            return documents
        for reason in pc.unique(reasons.drop_null()).to_pylist():
            gone = documents.filter(pc.equal(reasons, reason))
            entry = self.dropped[reason]
            entry.texts += len(gone)
            entry.bytes += pc.sum(pc.binary_length(gone["text"])).as_py() or 0
            entry.examples += gone["path"].slice(0, EXAMPLES - len(entry.examples)).to_pylist()
        return documents.filter(pc.is_null(reasons))
