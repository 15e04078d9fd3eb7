"""Which documents train and which are held out.

By hash, a document's split depends on its key alone: it never moves when others are added.
By position, the last characters of the corpus are held out: the textbook way, for a single text.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tezgah.corpus.cut import text_buffers
from tezgah.corpus.settings import CorpusSettings
from tezgah.errors import InputError

SPLITS = ("train", "validation", "test")  # codes 0, 1, 2; a dropped row has code -1
TRAIN, VALIDATION, TEST = range(3)
SEED = b"tezgah corpus split 1\0"  # constant, so that two corpora hold out the same documents
FEWEST_FOR_HASH = 50  # a tenth of 50 documents is 5 ± 2; none at all has a chance of 0.9^50 = 0.5 %


@dataclass(frozen=True)
class Plan:
    """The split of every row, and how it came about."""

    rule: str
    reason: str
    codes: np.ndarray  # (rows,) int8
    divided: tuple[int, int] | None = None  # row whose first so many characters train, the rest is held out


def split_fractions(keys: pa.Array) -> np.ndarray:
    """Where each key falls in [0, 1): the first 53 bits of its salted SHA-256, (rows,) float64.

    >>> split_fractions(pa.array(["a", "b", "a"])).round(3).tolist()
    [0.899, 0.435, 0.899]
    """
    offsets, data = text_buffers(keys)
    view, salted = memoryview(data), hashlib.sha256(SEED)
    heads = bytearray()
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        digest = salted.copy()
        digest.update(view[start:end])
        heads += digest.digest()[:8]
    return (np.frombuffer(bytes(heads), ">u8") >> np.uint64(11)) * 2.0**-53


def document_fractions(documents: pa.RecordBatch, settings: CorpusSettings) -> np.ndarray:
    """Where the split key of each document falls in [0, 1), (rows,); a row without one goes by its text."""
    text = documents["text"]
    return split_fractions(pc.coalesce(documents[settings.split_key], text) if settings.split_key else text)


def check_ratios(settings: CorpusSettings) -> None:
    """Raise InputError where a split by hash would leave nothing to train on."""
    if settings.validation_ratio + settings.test_ratio >= 1:
        raise InputError(
            f"corpus.validation_ratio = {settings.validation_ratio} and corpus.test_ratio = {settings.test_ratio} "
            "leave nothing to train on. Keep their sum below 1."
        )


def plan_split(settings: CorpusSettings, fractions: np.ndarray, characters: np.ndarray, stays: np.ndarray) -> Plan:
    """Decide the split of all rows from their `fractions`, lengths, and whether they stay; all (rows,)."""
    count = int(stays.sum())
    if settings.split != "position":
        codes = hash_codes(settings, fractions, stays)
        empty = _empty_split(settings, codes)
        if settings.split == "hash" and empty:
            raise InputError(
                f'corpus.split = "hash" leaves no document of {count:,} for {empty}. '
                'Add documents, or set corpus.split = "position".'
            )
        if settings.split == "hash" or (count >= FEWEST_FOR_HASH and not empty):
            return Plan("hash", hash_reason(settings), codes)
        why = f"{count:,} documents are too few to hold some out by hash (fewer than {FEWEST_FOR_HASH})"
        if count >= FEWEST_FOR_HASH:
            why = f"by hash no document of {count:,} would be left for {empty}"
    else:
        why = "the recipe says so"
    if settings.test_ratio > 0:
        raise InputError(
            f"corpus.test_ratio = {settings.test_ratio} needs a split by hash, but the split is by position: {why}. "
            'Set it to 0, or set corpus.split = "hash".'
        )
    return _by_position(settings.train_ratio, characters, stays, why)


def hash_reason(settings: CorpusSettings) -> str:
    """How a split by hash comes about, in words."""
    key = f"the column {settings.split_key}" if settings.split_key else "the text"
    return f"by SHA-256 of {key} with a constant seed"


def hash_codes(settings: CorpusSettings, fractions: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """The split of every row by its key's `fractions`, -1 where it does not stay; all (rows,).

    Validation from the low end, test from the high end: changing one ratio moves nothing between the two.
    """
    codes = np.where(fractions >= 1 - settings.test_ratio, TEST, TRAIN)
    codes = np.where(fractions < settings.validation_ratio, VALIDATION, codes)
    return np.where(stays, codes, -1).astype(np.int8)


def _empty_split(settings: CorpusSettings, codes: np.ndarray) -> str:
    """The name of a split that should have documents and has none."""
    wanted = {TRAIN: True, VALIDATION: settings.validation_ratio > 0, TEST: settings.test_ratio > 0}
    return next((SPLITS[code] for code, is_wanted in wanted.items() if is_wanted and not (codes == code).any()), "")


def _by_position(train_ratio: float, characters: np.ndarray, stays: np.ndarray, why: str) -> Plan:
    ends = np.cumsum(np.where(stays, characters, 0))  # (rows,)
    total = int(ends[-1])
    place = int(train_ratio * total)
    if place == 0:
        raise InputError(
            f"corpus.train_ratio = {train_ratio} leaves 0 of {total:,} characters to train on. Set it higher."
        )
    codes = np.where(stays, np.where(ends <= place, TRAIN, VALIDATION), -1).astype(np.int8)
    row = int(np.searchsorted(ends, place, side="right"))  # the first row that ends behind the place
    before = int(ends[row - 1]) if row else 0
    divided = (row, place - before) if row < len(ends) and place > before else None
    return Plan("position", why, codes, divided)
