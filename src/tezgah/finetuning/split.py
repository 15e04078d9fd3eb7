"""Which texts are held out: by class and hash of the text, whatever the order of rows; equal texts on one side."""

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tezgah.corpus.split import split_fractions
from tezgah.errors import InputError
from tezgah.finetuning.data import Examples

HELD_OUT = 0.1  # of every class
BETWEEN = "\0"  # a text and its second text, as one key

Rows = NDArray[np.int64]


def held_out_rows(examples: Examples) -> Rows:
    """The rows of a tenth of every class's distinct texts, of each class with two at least one, in their order."""
    chosen: set[str] = set()
    for keys in _strata(examples):
        if len(keys) > 1:
            chosen.update(keys[: max(1, round(HELD_OUT * len(keys)))])
    return np.flatnonzero([key in chosen for key in _keys(examples)]).astype(np.int64)


def fold_of_rows(examples: Examples, folds: int) -> Rows:
    """The fold of every row, 0 to folds - 1, (rows,): all about as large, and of every class about as much.

    Raises InputError for fewer distinct texts than folds.
    """
    ordered = [key for keys in _strata(examples) for key in keys]
    if not 2 <= folds <= len(ordered):
        raise InputError(f"--folds {folds}: choose from 2 to {len(ordered):,}, the number of distinct texts.")
    fold = {key: place % folds for place, key in enumerate(ordered)}
    return np.array([fold[key] for key in _keys(examples)], np.int64)


def _strata(examples: Examples) -> list[list[str]]:
    """The keys of every class's distinct texts, each in the order of their hashes.

    A text with several labels goes with the rarest of them, one without any by itself.
    """
    counts = Counter(examples.counts())
    label_of: dict[str, str] = {}
    for key, labels in zip(_keys(examples), examples.labels, strict=True):
        rarest = min(labels, key=lambda label: (counts[label], label), default="")
        label_of[key] = min(label_of.get(key, rarest), rarest)
    keys = sorted(label_of)
    fractions = dict(zip(keys, split_fractions(pa.array(keys, pa.string())).tolist(), strict=True))
    strata: dict[str, list[str]] = {}
    for key in sorted(keys, key=lambda key: (label_of[key], fractions[key], key)):
        strata.setdefault(label_of[key], []).append(key)
    return list(strata.values())


def _keys(examples: Examples) -> list[str]:
    pairs = examples.pairs
    return examples.texts if pairs is None else [BETWEEN.join(each) for each in zip(examples.texts, pairs, strict=True)]
