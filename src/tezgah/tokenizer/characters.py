"""Counted words as characters: what alphabets are made of, most frequent characters first."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.count import Words

CODE_POINTS = 0x110000


class Characters(NamedTuple):
    """Words as code points; word `w` is `points[starts[w]:starts[w + 1]]` and occurs `counts[w]` times."""

    points: NDArray[np.uint32]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def are_first(self) -> NDArray[np.bool_]:
        """Whether each character is the first of its word, (characters,)."""
        first = np.zeros(len(self.points), bool)
        first[self.starts[:-1]] = True  # no word is empty
        return first

    def frequencies(self) -> NDArray[np.int64]:
        """How often each code point occurs, (0x110000,)."""
        times = np.zeros(CODE_POINTS, np.int64)
        np.add.at(times, self.points, np.repeat(self.counts, np.diff(self.starts)))
        return times


def characters_of(words: Words) -> Characters:
    """The characters of words, which are valid UTF-8."""
    points, starts = code_points(words.arena, words.starts)
    return Characters(points, starts, words.counts)


def code_points(text: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The code points of rows `text[ends[r]:ends[r + 1]]`, and where each row's begin and the last's end.

    >>> points, starts = code_points(np.frombuffer("ığa".encode(), np.uint8), np.array([0, 4, 5]))
    >>> points.tolist(), starts.tolist()
    ([305, 287, 97], [0, 2, 3])
    """
    part = text[ends[0] : ends[-1]]
    before = np.zeros(len(part) + 1, np.int64)  # characters that begin before a byte
    np.cumsum(part & 0xC0 != 0x80, out=before[1:])
    points = np.frombuffer(part.tobytes().decode().encode("utf-32-le"), np.uint32)
    return points, before[ends - ends[0]]


def most_frequent(frequencies: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    """The code points that occur, the `limit` most frequent of them (ties: the smaller), in ascending order."""
    found = np.flatnonzero(frequencies)
    by_frequency = found[np.argsort(-frequencies[found], kind="stable")]
    return np.sort(by_frequency[:limit])
