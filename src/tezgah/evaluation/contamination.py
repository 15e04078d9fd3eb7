"""Whether a training corpus holds the tasks that a model is asked: shared 13-grams and the longest shared stretch.

13-grams of words are those of Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C. A word is a run
of letters, digits, underscores and bytes beyond ASCII, its ASCII letters lower-cased, so that space and punctuation
do not count. The longest common substring is of the bytes as they are; shared stretches shorter than SEED_BYTES,
which any two programs have, are not looked for. Every document is read once, front to back.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tezgah.compiled import compiled, readonly
from tezgah.tokenizer.texts import utf8

if TYPE_CHECKING:
    import pyarrow as pa

WORDS = 13
SEED_BYTES = 32
ANCHOR = 8  # bytes between two windows of a task
WINDOW = SEED_BYTES - ANCHOR + 1
SLOT_BITS = 18  # a table of 1 MB, which a cache holds
SHOWN_CHARACTERS = 200

_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well mixed: 2⁶⁴ over the golden ratio
_SHIFT, _ZERO = np.uint64(29), np.uint64(0)
_OUT = np.uint64(pow(int(_STEP), WINDOW, 2**64))
_SLOT_SHIFT = np.uint64(64 - SLOT_BITS)
_SLOT_STEP = np.uint64(0xBF58476D1CE4E5B9)
FILTER_BITS = 22

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """What of a task a corpus holds: of its different 13-grams those that are there, and the longest shared stretch.

    `longest` is in bytes, 0 where it is below SEED_BYTES; `excerpt` is its beginning, `document` where it was found
    first.
    """

    task_id: str
    ngrams: int
    shared: int
    longest: int
    bytes: int  # of the task
    excerpt: str
    document: str


class Contamination(msgspec.Struct, frozen=True, kw_only=True):
    """What of some tasks a corpus holds; `shared` counts the tasks with any 13-gram of theirs in it."""

    documents: int
    bytes: int
    tasks: int
    shared: int
    half: int  # tasks with half of their 13-grams or more
    longest: int
    overlaps: list[Overlap]


def check_contamination(tasks: "Mapping[str, str]", batches: "Iterable[pa.RecordBatch]") -> Contamination:
    """Look for the texts of tasks in a corpus: batches of documents with `text` and `path`."""
    sought = _Sought(list(tasks.values()))
    documents = size_bytes = 0
    paths: dict[int, str] = {}
    for batch in batches:
        first = documents
        for text, offsets in utf8([batch["text"]]):
            sought.read(readonly(text), offsets.astype(np.int64), documents)
            fresh = {int(each) for each in np.unique(sought.document) if each >= first}
            paths |= {each: batch["path"][each - first].as_py() for each in fresh}
            documents += len(offsets) - 1
            size_bytes += int(offsets[-1] - offsets[0])
    overlaps = [_overlap(sought, row, task_id, paths) for row, task_id in enumerate(tasks)]
    return Contamination(
        documents=documents,
        bytes=size_bytes,
        tasks=len(tasks),
        shared=sum(each.shared > 0 for each in overlaps),
        half=sum(each.ngrams > 0 and 2 * each.shared >= each.ngrams for each in overlaps),
        longest=max((each.longest for each in overlaps), default=0),
        overlaps=overlaps,
    )


class _Sought:
    """Texts that are looked for: their 13-grams as hashes, their windows by slot."""

    def __init__(self, texts: list[str]) -> None:
        pieces = [text.encode(errors="replace") for text in texts]
        self.offsets: Places = np.concatenate(([0], np.cumsum([len(each) for each in pieces]))).astype(np.int64)
        self.text = readonly(np.frombuffer(b"".join(pieces) or b"\0", np.uint8))
        hashes, owners = ngrams_of(self.text, self.offsets)
        self.grams, inverse = np.unique(hashes, return_inverse=True)
        self.owned = np.unique(np.stack([owners, inverse.ravel()], axis=1), axis=0)  # (pairs, 2): text, 13-gram
        self.is_there = np.zeros(len(self.grams), bool)
        self._filter = np.zeros(1 << FILTER_BITS, bool)
        self._filter[_filtered(self.grams)] = True
        self.heads, self.following, self.owners = _windows(self.text, self.offsets)
        self.longest: Places = np.zeros(len(texts), np.int64)
        self.begin: Places = np.zeros(len(texts), np.int64)  # of the longest, in `text`
        self.document: Places = np.full(len(texts), -1, np.int64)

    def read(self, text: Bytes, offsets: Places, first_document: int) -> None:
        """Look into documents of a corpus."""
        hashes, _ = ngrams_of(text, offsets)
        near = np.unique(hashes[self._filter[_filtered(hashes)]])
        self.is_there |= np.isin(self.grams, near)
        table = self.heads, self.following, self.owners
        match(text, offsets, self.text, self.offsets, *table, self.longest, self.begin, self.document, first_document)


def _filtered(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - FILTER_BITS)).astype(np.int64)


def _overlap(sought: _Sought, row: int, task_id: str, paths: Mapping[int, str]) -> Overlap:
    own = sought.owned[sought.owned[:, 0] == row, 1]
    begin, length = int(sought.begin[row]), int(sought.longest[row])
    excerpt = sought.text[begin : begin + length].tobytes().decode(errors="replace")
    return Overlap(
        task_id=task_id,
        ngrams=len(own),
        shared=int(sought.is_there[own].sum()),
        longest=length,
        bytes=int(sought.offsets[row + 1] - sought.offsets[row]),
        excerpt=excerpt if len(excerpt) <= SHOWN_CHARACTERS else excerpt[: SHOWN_CHARACTERS - 1] + "…",
        document=paths.get(int(sought.document[row]), ""),
    )


@compiled
def ngrams_of(text: Bytes, offsets: Places) -> Any:
    """A hash for every 13 words that follow one another in a document, and its document's number; both (n-grams,)."""
    most = 0
    for row in range(len(offsets) - 1):
        most += max(0, (offsets[row + 1] - offsets[row] + 1) // 2 - WORDS + 1)
    hashes, owners = np.empty(most, np.uint64), np.empty(most, np.int64)
    ring = np.zeros(WORDS, np.uint64)
    found = 0
    for row in range(len(offsets) - 1):
        words, word, is_open = 0, _OFFSET, False
        end = offsets[row + 1]
        for place in range(offsets[row], end + 1):
            byte = text[place] if place < end else np.uint8(32)
            if 65 <= byte <= 90:
                byte = np.uint8(byte + 32)
            if 97 <= byte <= 122 or 48 <= byte <= 57 or byte == 95 or byte >= 128:
                word = (word ^ np.uint64(byte)) * _PRIME
                is_open = True
            elif is_open:
                ring[words % WORDS] = (word ^ (word >> _SHIFT)) * _STEP
                words += 1
                word, is_open = _OFFSET, False
                if words >= WORDS:
                    total = _ZERO
                    for k in range(WORDS):
                        total = (total ^ (total >> _SHIFT)) * _STEP + ring[(words + k) % WORDS]
                    hashes[found] = (total ^ (total >> _SHIFT)) * _SLOT_STEP
                    owners[found] = row
                    found += 1
    return hashes[:found], owners[:found]


@compiled
def _windows(text: Bytes, offsets: Places) -> Any:
    """Windows at every ANCHOR-th byte of each text, by slot: the first of each, the one after each, whose each is.

    −1 is none. A stretch of SEED_BYTES or more holds one of them, wherever it begins.
    """
    heads = np.full(1 << SLOT_BITS, -1, np.int32)
    following = np.full(len(text), -1, np.int32)
    owners = np.zeros(len(text), np.int32)
    for row in range(len(offsets) - 1):
        owners[offsets[row] : offsets[row + 1]] = row
        for begin in range(offsets[row], offsets[row + 1] - WINDOW + 1, ANCHOR):
            rolled = _ZERO
            for place in range(begin, begin + WINDOW):
                rolled = rolled * _STEP + np.uint64(text[place])
            slot = (rolled * _SLOT_STEP) >> _SLOT_SHIFT
            following[begin] = heads[slot]
            heads[slot] = begin
    return heads, following, owners


@compiled
def match(
    text: Bytes,
    offsets: Places,
    sought: Bytes,
    bounds: Places,
    heads: Any,
    following: Any,
    owners: Any,
    longest: Places,
    begins: Places,
    documents: Places,
    first_document: int,
) -> None:
    """Lengthen `longest`, of each text that is sought, by what documents share with it; say where that was found.

    A shared stretch is measured at its first window: where the ANCHOR bytes before one are shared too, another is
    before it.
    """
    for row in range(len(offsets) - 1):
        rolled, start, end = _ZERO, offsets[row], offsets[row + 1]
        for place in range(start, end):
            rolled = rolled * _STEP + np.uint64(text[place])
            begin = place - WINDOW + 1
            if begin > start:
                rolled -= _OUT * np.uint64(text[begin - 1])
            if begin < start:
                continue
            other = heads[(rolled * _SLOT_STEP) >> _SLOT_SHIFT]
            while other >= 0:
                owner = owners[other]
                left, most = 0, min(begin - start, other - bounds[owner])
                while left < most and left < ANCHOR and text[begin - 1 - left] == sought[other - 1 - left]:
                    left += 1
                if left < ANCHOR:
                    length, most = left, left + min(end - begin, bounds[owner + 1] - other)
                    while length < most and text[begin - left + length] == sought[other - left + length]:
                        length += 1
                    if length >= SEED_BYTES and length > longest[owner]:
                        longest[owner], begins[owner], documents[owner] = length, other - left, first_document + row
                other = following[other]
