"""A file's bytes, decompressed, read once from front to back while the stored bytes are hashed."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

PIECE_BYTES = 1 << 16  # a break in a compressed file costs at most this much of the text before it


class BrokenFileError(Exception):
    """A file that cannot be read to its end. The message says why; it is never shown without the file's name."""


class _HashedFile(io.FileIO):
    """A file that knows the SHA-256 of what was read of it."""

    def __init__(self, path: Path, advance: Callable[[float], None]) -> None:
        super().__init__(path)
        self.sha256 = hashlib.sha256()
        self._advance = advance

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        if count:
            self.sha256.update(memoryview(buffer)[:count])
            self._advance(count)
        return count


class StoredFile:
    """The content of a file: plain, `.gz` (also of several members) or `.zst` (also of several frames)."""

    def __init__(self, path: Path, advance: Callable[[float], None] = lambda amount: None) -> None:
        """`advance` hears of every stored byte. Raises BrokenFileError when the file cannot be opened."""
        try:
            self._file = _HashedFile(path, advance)
        except OSError as error:
            raise BrokenFileError(f"cannot be opened ({error.strerror})") from error
        self._stored = io.BufferedReader(self._file, 1 << 18)
        self._content: Any = self._stored
        self._kind = ""
        if path.suffix.lower() == ".gz":
            self._kind, self._content = "gzip ", gzip.GzipFile(fileobj=self._stored)
        elif path.suffix.lower() == ".zst":
            self._kind, self._content = "zstd ", pa.CompressedInputStream(self._stored, "zstd")
        self._head = b""
        self._position = 0  # bytes of content that were read

    def read(self, size: int = PIECE_BYTES) -> bytes:
        """Up to `size` bytes of content; empty at the end. Raises BrokenFileError."""
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        try:
            piece = bytes(self._content.read(size))
        except (OSError, EOFError, zlib.error) as error:
            raise BrokenFileError(
                f"is a broken {self._kind}file, readable up to byte {self._position:,} ({error})"
            ) from error
        self._position += len(piece)
        return piece

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or all that are left, which `read` gives again. Raises BrokenFileError."""
        pieces, held = [self._head], len(self._head)
        self._head = b""
        while held < size and (piece := self.read(min(size - held, PIECE_BYTES))):
            pieces.append(piece)
            held += len(piece)
        self._head = b"".join(pieces)
        return self._head[:size]

    def hash(self) -> str:
        """SHA-256 of all stored bytes, also those behind a break or never asked for."""
        while self._stored.read(1 << 18):
            pass
        return self._file.sha256.hexdigest()

    def __enter__(self) -> "StoredFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stored.close()
