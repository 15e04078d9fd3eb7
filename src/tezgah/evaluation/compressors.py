"""What general compressors need for the same bytes: the marks a language model is read against."""

import gzip
import lzma
from concurrent.futures import ThreadPoolExecutor

from tezgah.errors import InputError

PRIMING_BYTES = 32_000_000  # of training text, its end; the dictionary of xz -9 is 64 MiB


def baselines(train_tail: bytes, held_out: bytes) -> dict[str, float]:
    """Bits per byte of `held_out` by name: `gzip` (-9), `xz` (-9e), and `xz_primed`.

    `xz_primed` is what `held_out` adds to xz of the training text's end, of which at most
    PRIMING_BYTES are used: a compressor that has read what the model was trained on.
    """
    if not held_out:
        raise InputError("there are no held-out bytes to compress. Give a split with text.")
    train_tail = train_tail[-PRIMING_BYTES:]
    # xz lets other threads run; two at once, for each takes up to 700 MB.
    with ThreadPoolExecutor(max_workers=2) as pool:
        both, tail, alone = pool.map(_xz_size, (train_tail + held_out, train_tail, held_out))
    sizes = {"gzip": len(gzip.compress(held_out, 9, mtime=0)), "xz": alone, "xz_primed": both - tail}
    return {name: 8 * size / len(held_out) for name, size in sizes.items()}


def unprimed_baselines(held_out: bytes) -> dict[str, float]:
    """Bits per byte of `held_out` by `gzip` and `xz`, as in `baselines`."""
    sizes = {"gzip": len(gzip.compress(held_out, 9, mtime=0)), "xz": _xz_size(held_out)}
    return {name: 8 * size / len(held_out) for name, size in sizes.items()}


def _xz_size(data: bytes) -> int:
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
