"""Messages over a file descriptor: four bytes of length, then as many of content."""

import os
import select

MAX_BYTES = 16 << 20  # of a message between a test and a candidate
ANY_BYTES = 2**32 - 1  # of one between those who trust each other

_HEAD = 4


class Closed(Exception):
    """The other side has gone, or says something that cannot be a message."""


def send(descriptor: int, content: bytes, most: int = MAX_BYTES) -> None:
    """Write a message. Raises Closed where nobody reads any more, or where it is longer than `most` bytes."""
    if len(content) > most:
        raise Closed(f"a message of {len(content):,} bytes; {most:,} are the most")
    left = memoryview(len(content).to_bytes(_HEAD, "big") + content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except (BrokenPipeError, ConnectionResetError):
        raise Closed("closed") from None


def receive(descriptor: int, most: int = MAX_BYTES) -> bytes:
    """Read a message. Raises Closed where there is none, or one that is longer than `most` bytes."""
    size = int.from_bytes(_exactly(descriptor, _HEAD), "big")
    if size > most:
        raise Closed(f"a message of {size:,} bytes; {most:,} are the most")
    return _exactly(descriptor, size)


def is_waiting(descriptor: int) -> bool:
    """Whether something can be read now, an end included."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _exactly(descriptor: int, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        try:
            piece = os.read(descriptor, min(size - len(content), 1 << 20))
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed("closed")
        content += piece
    return bytes(content)
