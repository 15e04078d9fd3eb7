"""Text of ids that come one by one: what is not whole yet waits for what follows."""

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

REPLACEMENT = "\ufffd"


class TextStream(Protocol):
    """The text of ids, piece by piece; the pieces put together are the text of all the ids at once."""

    def add(self, token_id: int) -> str:
        """What an id completes: empty while a character is not whole."""

    def end(self) -> str:
        """What was waiting when the ids have ended."""


def pieces(stream: TextStream, ids: Iterable[int]) -> Iterator[str]:
    """The text of ids as they come, without the empty pieces.

    >>> bytes_of = ["k".encode(), "ö".encode()[:1], "ö".encode()[1:], b"y"]
    >>> list(pieces(StreamOfBytes(bytes_of.__getitem__), range(4)))
    ['k', 'ö', 'y']
    """
    for each in ids:
        if text := stream.add(each):
            yield text
    if rest := stream.end():
        yield rest


class StreamOfBytes:
    """The text of ids that stand for bytes."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self.bytes_of = bytes_of
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        return self.decoder.decode(self.bytes_of(token_id))

    def end(self) -> str:
        return self.decoder.decode(b"", final=True)


class StreamOfTokens:
    """The same through a decoder that is given ids. `is_part` tells the ids that stand for a byte of a character.

    A token's text may depend on the token before it (a space between words, one cut off at the start), so
    each piece is what a token adds to the text of those since the piece before last.
    """

    def __init__(self, decode: Callable[[list[int]], str], is_part: Callable[[int], bool]) -> None:
        self.decode, self.is_part = decode, is_part
        self.before: list[int] = []
        self.waiting: list[int] = []

    def add(self, token_id: int) -> str:
        self.waiting.append(token_id)
        if self.is_part(token_id):
            return ""
        text = self._added()
        if text.endswith(REPLACEMENT):
            return ""
        self.before, self.waiting = self.waiting, []
        return text

    def end(self) -> str:
        return self._added() if self.waiting else ""

    def _added(self) -> str:
        return self.decode(self.before + self.waiting)[len(self.decode(self.before)) :]
