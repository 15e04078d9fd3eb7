"""Text of ids that come one by one: what is not whole yet waits for what follows."""

import codecs
from collections.abc import Callable, Iterable, Iterator

REPLACEMENT = "\ufffd"


def text_of_bytes(tokens: Iterable[bytes]) -> Iterator[str]:
    """Pieces of text as the bytes of tokens complete characters; put together they are the bytes decoded at once.

    >>> list(text_of_bytes([b"k", "ö".encode()[:1], "ö".encode()[1:], b"y"]))
    ['k', 'ö', 'y']
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        if text := decoder.decode(token):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


def text_of_ids(
    ids: Iterable[int], decode: Callable[[list[int]], str], is_part: Callable[[int], bool]
) -> Iterator[str]:
    """The same through a decoder that is given ids. `is_part` tells the ids that stand for a byte of a character.

    A token's text may depend on the token before it (a space between words, one cut off at the start), so
    each piece is what a token adds to the text of those since the piece before last.
    """
    before: list[int] = []
    waiting: list[int] = []
    for each in ids:
        waiting.append(each)
        if is_part(each):
            continue
        text = decode(before + waiting)[len(decode(before)) :]
        if text.endswith(REPLACEMENT):
            continue
        if text:
            yield text
        before, waiting = waiting, []
    if waiting and (rest := decode(before + waiting)[len(decode(before)) :]):
        yield rest
