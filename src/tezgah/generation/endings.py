"""Where a text ends: the ids of a row become text as they come, which is searched for stops and let go piece by piece.

What might be the beginning of a stop is held back, so that no part of one is ever shown, and so is half a character.
The stop that is complete first, character by character, ends the text, wherever the tokens' bounds lie.
"""

from collections.abc import Sequence
from typing import Literal

from tezgah.errors import InputError
from tezgah.generation.stops import BLOCK_STARTS
from tezgah.tokenizer.stream import TextStream


class TextEnding:
    """The text of one row. `text` is what is settled of it, `take` gives what is new in it since the last time.

    `stop` are strings before which the text ends. With `until_block` it ends before the first later line that starts
    something new, and without the white space before that.
    """

    def __init__(self, stream: TextStream, stop: Sequence[str] = (), until_block: bool = False) -> None:
        self.stream, self.until_block = stream, until_block
        self.stops: dict[str, Literal["stop", "block"]] = {}
        if until_block:
            self.stops.update(dict.fromkeys(("\n" + start for start in BLOCK_STARTS), "block"))
        self.stops.update(dict.fromkeys(stop, "stop"))
        self.text = ""
        self._held = ""  # what follows, but might belong to a stop
        self._taken = 0
        self._has_ended = False

    def add(self, new_id: int) -> Literal["stop", "block"] | None:
        """Take the row's next id; why the text ends with it, None where it goes on."""
        return self._grow(self.stream.add(new_id))

    def close(self) -> str:
        """The whole text, once the row has ended."""
        if not self._has_ended:
            self._grow(self.stream.end())
            self._settle(self._held)
        return self.text

    def take(self) -> str:
        """What was settled since the last call."""
        piece, self._taken = self.text[self._taken :], len(self.text)
        return piece

    def _grow(self, piece: str) -> Literal["stop", "block"] | None:
        if not piece or self._has_ended:
            return None
        self._held += piece
        found = [(place + len(stop), place, stop) for stop in self.stops if (place := self._held.find(stop)) >= 0]
        if found:
            _, place, stop = min(found)
            self._settle(self._held[:place])
            return self.stops[stop]
        sure = len(self._held) - max((_begun(self._held, stop) for stop in self.stops), default=0)
        if self.until_block:
            sure = len(self._held[:sure].rstrip())
        self.text, self._held = self.text + self._held[:sure], self._held[sure:]
        return None

    def _settle(self, last: str) -> None:
        """End the text with what is left of it."""
        self.text += last.rstrip() if self.until_block else last
        self._held, self._has_ended = "", True


def check_stops(stop: Sequence[str]) -> None:
    """Raise InputError for a stop that is empty."""
    if "" in stop:
        raise InputError("a stop is empty, and would end every text at once. Give some text, or leave it out.")


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`.

    >>> _begun("a = [1, ", ", 2]"), _begun("class", "def")
    (2, 0)
    """
    sizes = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
