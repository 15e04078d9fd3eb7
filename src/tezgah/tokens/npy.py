"""One-dimensional `.npy` files written piece by piece, for arrays longer than memory.

The header of the format (numpy.lib.format, version 1.0) states the length, so it is written
twice in the same 128 bytes: first for nothing, at the end for what is there. Its bytes do not
depend on numpy's version, so equal arrays are equal files.
"""

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

HEADER_BYTES = 128


class NpyWriter:
    """A growing `.npy` file of integers; whole once it is closed."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._file = open(path, "wb")  # noqa: SIM115  closed by close()
        self._file.write(header(self._dtype, 0))
        self.length = 0

    def append(self, values: NDArray[np.integer]) -> None:
        """Write `values` after what is there."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += values.size

    def close(self) -> None:
        """State the length and close the file."""
        with self._file:
            self._file.seek(0)
            self._file.write(header(self._dtype, self.length))


def header(dtype: np.dtype[np.generic], length: int) -> bytes:
    """What stands before the numbers of such a file, HEADER_BYTES long."""
    fields = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({length},), }}".encode("ascii")
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return start + fields.ljust(HEADER_BYTES - len(start) - 1) + b"\n"
