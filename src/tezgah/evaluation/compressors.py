"""What general compressors need for the same bytes: the marks a language model is read against.

Texts are handed over piece by piece, so memory holds one document, the training text's end, and
what xz takes for itself (up to 700 MB each time it runs).
"""

import lzma
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Protocol

from tezgah.errors import InputError

PRIMING_BYTES = 32_000_000  # of training text, its end; the dictionary of xz -9 is 64 MiB
GZIP = 16 + zlib.MAX_WBITS  # zlib's word for a gzip header and trailer around the deflated bytes


def baselines(held_out: Iterable[bytes], train: Iterable[bytes] | None = None) -> dict[str, float]:
    """Bits per byte of `held_out`, one text after the other: `gzip` (-9), `xz` (-9e), and `xz_primed`.

    `xz_primed`, where `train` is given, is what `held_out` adds to xz of the end of `train`, of
    which at most PRIMING_BYTES are used: a compressor that has read what the model was trained on.
    `held_out` is gone through several times.
    """
    size_bytes = sum(map(len, held_out))
    if not size_bytes:
        raise InputError("there are no held-out bytes to compress. Give a split with text.")
    tail = [] if train is None else [_end(train, PRIMING_BYTES)]
    # xz lets other threads run; two at once, for its memory; the longest first.
    with ThreadPoolExecutor(max_workers=2) as pool:
        *primed, alone = pool.map(_xz_size, [chain(tail, held_out), tail, held_out] if tail else [held_out])
    sizes = {"gzip": _size(zlib.compressobj(9, wbits=GZIP), held_out), "xz": alone}
    if primed:
        sizes["xz_primed"] = primed[0] - primed[1]
    return {name: 8 * size / size_bytes for name, size in sizes.items()}


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _xz_size(texts: Iterable[bytes]) -> int:
    return _size(lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME), texts)


def _size(compressor: _Compressor, texts: Iterable[bytes]) -> int:
    """Bytes of the texts, compressed as one."""
    return sum(len(compressor.compress(text)) for text in texts) + len(compressor.flush())


def _end(texts: Iterable[bytes], most: int) -> bytes:
    """The last `most` bytes of the texts, one after the other.

    >>> _end([b"abc", b"de"], 3)
    b'cde'
    """
    end = bytearray()
    for text in texts:
        end += text
        if len(end) > 2 * most:
            del end[:-most]
    return bytes(end[-most:])
