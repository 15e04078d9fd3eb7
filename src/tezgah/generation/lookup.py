"""Guesses of what comes next, from the text itself: what followed the last few ids when they stood there before.

Saxena 2023, "Prompt Lookup Decoding". A guess stands only if the model chooses it, by the same draw as without it:
the text is the same, with fewer passes where it repeats. Where n-grams stand is kept as ids come, so that a guess
costs the same however long the text is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tezgah.generation.guesses import Guess

if TYPE_CHECKING:
    from tezgah.generation.sampling import Said

LONGEST, SHORTEST = 3, 2  # ids that must be the same; a single one is followed by something else too often


class Lookup:
    """Guesses of up to `ahead` ids for rows that begin with `prompts`."""

    def __init__(self, prompts: Sequence[Sequence[int]], ahead: int) -> None:
        self._ahead = ahead
        self._texts = [Repeats(prompt if ahead else ()) for prompt in prompts]

    def guess(self, said: Sequence["Said"], streams: Sequence[int], most: Sequence[int]) -> list[list[Guess | None]]:
        """See `Guesser`."""
        if not self._ahead:
            return [[] for _ in said]
        for text, (prompt, new) in zip(self._texts, said, strict=True):
            text.add(new[len(text.ids) - len(prompt) :])
        limits = [min(self._ahead, count) for count in most]
        found = [text.guess(limit) for text, limit in zip(self._texts, limits, strict=True)]
        return [[Guess(each) for each in ids] for ids in found]

    def keep(self, rows: Sequence[int]) -> None:
        """See `Guesser`."""
        self._texts = [self._texts[row] for row in rows]

    def replace(self, row: int, prompt: Sequence[int]) -> None:
        """See `Guesser`."""
        self._texts[row] = Repeats(prompt if self._ahead else ())


class Repeats:
    """The ids of a text, and what followed each few of them the last time.

    >>> Repeats([5, 1, 2, 3, 4, 9, 1, 2]).guess(3)
    [3, 4, 9]
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # the place after the latest of these ids that something follows
        self.add(ids)

    def add(self, ids: Sequence[int]) -> None:
        """Take the next ids of the text."""
        for each in ids:
            place = len(self.ids)
            for size in range(SHORTEST, min(LONGEST, place) + 1):
                self._after[tuple(self.ids[place - size :])] = place
            self.ids.append(each)

    def guess(self, most: int) -> list[int]:
        """At most `most` ids that followed the latest place where the text had the ids it ends with."""
        for size in range(LONGEST, SHORTEST - 1, -1):
            place = self._after.get(tuple(self.ids[-size:]))
            if place is not None:
                return self.ids[place : place + most]
        return []
