"""Guesses of what comes next, from the text itself: what followed the last few ids when they stood there before.

Saxena 2023, "Prompt Lookup Decoding". A model reads several guessed ids in one pass, and each of them stands only if
the model chooses it, by the same draw as without the guess: the text is the same, with fewer passes where it repeats.
"""

from collections.abc import Sequence

LONGEST, SHORTEST = 3, 2  # ids that must be the same; a single one is followed by something else too often


def guess(ids: Sequence[int], most: int) -> list[int]:
    """At most `most` ids that followed the latest place where `ids` had the ids it ends with.

    >>> guess([5, 1, 2, 3, 4, 9, 1, 2], 3)
    [3, 4, 9]
    """
    for size in range(LONGEST, SHORTEST - 1, -1):
        last = list(ids[-size:])
        for start in range(len(ids) - size - 1, -1, -1):
            if list(ids[start : start + size]) == last and most > 0:
                return list(ids[start + size : start + size + most])
    return []
