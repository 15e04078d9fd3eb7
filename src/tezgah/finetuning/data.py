"""Labelled texts: read, checked, and counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tezgah.console import say, warn
from tezgah.errors import InputError
from tezgah.finetuning.reading import read_columns
from tezgah.finetuning.settings import FinetuneSettings

FEWEST = 2  # examples of a class: one to learn from and one to be measured on
UNEVEN = 3  # times the texts of the smallest class that the largest has, from which it is said


@dataclass(frozen=True)
class Examples:
    """Rows of `text`, `text_pair` (strings; the second null where texts are single) and `labels` (list of strings).

    With `is_multi` a row may have any number of labels, else each has one. `source` names them in messages.
    """

    source: str
    table: pa.Table
    is_multi: bool

    def __len__(self) -> int:
        return len(self.table)

    @property
    def texts(self) -> list[str]:
        """The texts, row after row."""
        return self.table["text"].to_pylist()  # type: ignore[no-any-return]

    @property
    def pairs(self) -> list[str] | None:
        """The second texts; None where texts are single."""
        return None if self.table["text_pair"].null_count else self.table["text_pair"].to_pylist()

    @property
    def labels(self) -> list[list[str]]:
        """The labels of every row."""
        return self.table["labels"].to_pylist()  # type: ignore[no-any-return]

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """These rows alone."""
        return Examples(self.source, self.table.take(pa.array(rows)), self.is_multi)

    def counts(self) -> dict[str, int]:
        """How many texts each label has; labels that are all whole numbers in their order, others by their letters."""
        found = Counter(label for row in self.labels for label in row)
        return {label: found[label] for label in in_order(found)}


def in_order(labels: Any) -> list[str]:
    """Labels in the order of their numbers.

    >>> in_order({"10", "9", "-1"}), in_order({"b", "10", "a"})
    (['-1', '9', '10'], ['10', 'a', 'b'])
    """
    try:
        return sorted(labels, key=lambda label: (int(label), label))
    except ValueError:
        return sorted(labels)


def read_examples(path: Path, settings: FinetuneSettings) -> Examples:
    """The labelled texts of a file. Raises InputError where a text is missing or empty, or a label is missing."""
    columns = {"text": settings.text, "text_pair": settings.text_pair, "label": settings.label}
    held = read_columns(path, list(dict.fromkeys(filter(None, columns.values()))))
    texts = held[settings.text]
    if not texts:
        raise InputError(f"{path}: has no rows. Give texts with labels.")
    empty = [row for row, text in enumerate(texts, start=1) if not isinstance(text, str) or not text.strip()]
    if empty:
        raise InputError(
            f"{path}: {len(empty):,} of {len(texts):,} texts in column {settings.text!r} are empty or no text, "
            f"the first in row {empty[0]:,}. Remove these rows."
        )
    pairs: list[str | None] = [None] * len(texts)
    if settings.text_pair:
        pairs = ["" if pair is None else str(pair) for pair in held[settings.text_pair]]
    values = held[settings.label]
    is_multi = bool(settings.label_separator) or any(isinstance(value, list) for value in values)
    labels = [
        _labels(f"{path}: row {row:,}, column {settings.label!r}", value, settings.label_separator, is_multi)
        for row, value in enumerate(values, start=1)
    ]
    arrays = [pa.array(texts, pa.string()), pa.array(pairs, pa.string()), pa.array(labels, pa.list_(pa.string()))]
    return Examples(str(path), pa.table(arrays, names=["text", "text_pair", "labels"]), is_multi)


def _labels(where: str, value: Any, separator: str, is_multi: bool) -> list[str]:
    """The labels that a value states, each once."""
    if value is None and not is_multi:
        raise InputError(f"{where}: has no label. Give it one, or remove the row.")
    listed = value if isinstance(value, list) else [] if value is None else [value]
    if separator:
        listed = [part for each in listed for part in str(each).split(separator)]
    names = [_name(where, each) for each in listed]
    if not is_multi and not names[0]:
        raise InputError(f"{where}: has no label. Give it one, or remove the row.")
    return list(dict.fromkeys(filter(None, names)))


def _name(where: str, value: Any) -> str:
    """A label's name: `true` and `false` as JSON has them, 2.0 as 2."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str | int | float):
        raise InputError(f"{where}: {value!r} is no label. Labels are texts or numbers, or lists of these.")
    return str(value).strip()


def check_examples(examples: Examples, column: str) -> None:
    """Raise InputError for labels that nothing can be learned from."""
    counts, where = examples.counts(), f"{examples.source}: column {column!r}"
    if not counts:
        raise InputError(f"{where}: no row has a label. Give labels.")
    constant = next((label for label, count in counts.items() if count == len(examples)), None)
    if constant is not None:
        raise InputError(f"{where}: every row has the label {constant!r}, so there is nothing to learn. Add others.")
    if single := [label for label, count in counts.items() if count < FEWEST]:
        shown = ", ".join(map(repr, single[:3])) + (f" and {len(single) - 3:,} more" if len(single) > 3 else "")
        raise InputError(
            f"{where}: {'one class has' if len(single) == 1 else f'{len(single):,} classes have'} a single example "
            f"({shown}), which cannot be learned from and measured on. Add examples, or remove the row."
        )
    if conflicts := _conflicts(examples):
        warn(f"{examples.source}: {conflicts:,} texts occur with different labels.")


def check_known(examples: Examples, labels: Sequence[str], column: str) -> None:
    """Raise InputError where a text to measure on has a label that no text to learn from has."""
    if unknown := [label for label in examples.counts() if label not in labels]:
        raise InputError(
            f"{examples.source}: column {column!r} has the label {unknown[0]!r}, which no training text has "
            f"({', '.join(labels[:8])}{', …' if len(labels) > 8 else ''}). Mend it, or remove the row."
        )


def targets_of(examples: Examples, labels: Sequence[str]) -> NDArray[np.int64]:
    """The label's number of every row, (rows,); with several labels a row 1 where it has one, (rows, labels)."""
    number = {label: place for place, label in enumerate(labels)}
    if not examples.is_multi:
        return np.array([number[row[0]] for row in examples.labels], np.int64)
    found = np.zeros((len(examples), len(labels)), np.int64)
    for row, each in enumerate(examples.labels):
        found[row, [number[label] for label in each]] = 1
    return found


def say_counts(examples: Examples, held_out: Examples | None) -> None:
    """Tell how many texts each class has, and how uneven the classes are."""
    counts = examples.counts()
    say(f"{examples.source}: {len(examples):,} texts, {len(counts):,} labels")
    held = held_out.counts() if held_out is not None else {}
    longest = max(map(len, counts))
    for label, count in counts.items():
        beside = f", {held.get(label, 0):,} held out" if held_out is not None else ""
        say(f"  {label:<{longest}}  {count:>7,}  {100 * count / len(examples):5.1f} %{beside}")
    most, least = max(counts.values()), min(counts.values())
    if most >= UNEVEN * least:
        say(f"classes are uneven: the largest has {most / least:.1f} times the texts of the smallest (--class-weights)")


def _conflicts(examples: Examples) -> int:
    """How many distinct texts have rows of different labels."""
    found: dict[tuple[Any, Any], set[tuple[str, ...]]] = {}
    rows = zip(examples.texts, examples.table["text_pair"].to_pylist(), examples.labels, strict=True)
    for text, pair, labels in rows:
        found.setdefault((text, pair), set()).add(tuple(sorted(labels)))
    return sum(len(each) > 1 for each in found.values())
