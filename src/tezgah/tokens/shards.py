"""The token stream of a split: shard files opened as one long array, never read whole."""

import mmap
import os
import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokens.index import SplitIndex, TokensIndex, read_index, shard_name
from tezgah.tokens.npy import HEADER_BYTES, header


class TokenStream:
    """All tokens of a split in order: separator, document, separator, document, …, separator.

    Document i stands behind the separator at `offsets[i]` and before that at `offsets[i + 1]`;
    `offsets` is (documents + 1,). `bytes`, (documents,), is the UTF-8 length of each text.
    Files are memory-mapped; all are checked against `index.json` here, so a read cannot fail later. Of shards
    some are kept mapped, those that were read last: a process may not hold any number of files open.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.split = split
        self.index: TokensIndex = read_index(folder)
        if split not in self.index.splits:
            raise InputError(f"{folder}: no split {split!r}; there is: {', '.join(self.index.splits) or 'none'}.")
        entry = self.index.splits[split]
        self._shards = MappedShards(folder, split, self.index.dtype, entry.shards)
        self._starts = np.concatenate([[0], np.cumsum(entry.shards, dtype=np.int64)])  # (shards + 1,)
        self.offsets: NDArray[np.int64] = _open(folder / f"{split}-offsets.npy", "int64", entry.documents + 1)
        self.bytes: NDArray[np.int64] = _open(folder / f"{split}-bytes.npy", "int64", entry.documents)
        if len(self) != entry.text_tokens + entry.documents + 1:
            raise _damaged(folder / "index.json", _disagreement(entry))

    def document_sources(self) -> NDArray[np.uint16]:
        """The number of each document's source among `index.sources`, (documents,)."""
        if not self.index.sources:
            raise InputError(f"{self.folder}: does not say which source a document is of. Make the tokens anew.")
        documents = self.index.splits[self.split].documents
        return _open(self.folder / f"{self.split}-sources.npy", "uint16", documents)

    def __len__(self) -> int:
        """Tokens in the stream, separators included."""
        return int(self._starts[-1])

    def __getitem__(self, tokens: slice) -> NDArray[np.integer]:
        """The tokens of a slice, (tokens,), in the type they are stored in; slices end where the stream does."""
        start, stop, _ = tokens.indices(len(self))
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        pieces = []
        for number in range(first, len(self._starts) - 1):
            if (begin := int(self._starts[number])) >= stop:
                break
            pieces.append(self._shards[number][max(start - begin, 0) : stop - begin])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces or [np.empty(0, self.index.dtype)])

    def check_tokenizer(self, tokenizer_hash: str) -> None:
        """Refuse a tokenizer other than the one that made these tokens."""
        if tokenizer_hash != self.index.tokenizer:
            raise InputError(
                f"{self.folder}: made with tokenizer {self.index.tokenizer[:12]}…, not with {tokenizer_hash[:12]}…. "
                "Make the tokens anew with this tokenizer, or use the one they were made with."
            )


class MappedShards:
    """The shard files of a split, each an array of its ids; any thread may read."""

    def __init__(self, folder: Path, split: str, dtype: str, lengths: tuple[int, ...]) -> None:
        """Raises InputError where a file is not what `lengths` and `dtype` say."""
        self._folder, self._split, self._lengths = folder, split, lengths
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._begins = [self._begin(number) for number in range(len(lengths))]  # of the ids, in bytes
        self._mapped: dict[int, NDArray[np.integer]] = {}  # the one read last at the end
        self._most = most_mapped()
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> NDArray[np.integer]:
        with self._lock:
            array = self._mapped.pop(number, None)
            if array is None:
                array = self._map(number)
                if len(self._mapped) >= self._most:
                    del self._mapped[next(iter(self._mapped))]  # unmapped when nobody reads in it any more
            self._mapped[number] = array
        return array

    def _map(self, number: int) -> NDArray[np.integer]:
        path = self._path(number)
        try:
            with open(path, "rb", buffering=0) as file:
                held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(held, self._dtype, self._lengths[number], self._begins[number])
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read any more ({error}). Make the tokens anew.") from error

    def _begin(self, number: int) -> int:
        """Where the ids of a shard begin. Its header is compared with ours, which takes a tenth of reading it."""
        path, length = self._path(number), self._lengths[number]
        expected, size = header(self._dtype, length), HEADER_BYTES + length * self._dtype.itemsize
        try:
            with open(path, "rb", buffering=0) as file:
                if file.read(HEADER_BYTES) == expected and os.fstat(file.fileno()).st_size == size:
                    return HEADER_BYTES
        except OSError:
            pass  # named below
        return getattr(_load(path, self._dtype.name, length), "offset", HEADER_BYTES)  # numpy's headers differ

    def _path(self, number: int) -> Path:
        return self._folder / shard_name(self._split, number)


def most_mapped() -> int:
    """How many shards may be mapped at a time: each takes a file descriptor, and there are two streams and others."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 4096 if allowed == resource.RLIM_INFINITY else max(8, min(4096, allowed // 4))


def _open(path: Path, dtype: str, length: int) -> NDArray[Any]:
    """A memory-mapped array of the dtype and length that the index states."""
    return np.asarray(_load(path, dtype, length))


def _load(path: Path, dtype: str, length: int) -> NDArray[Any]:
    """The same as numpy opens it."""
    try:
        array = np.load(path, mmap_mode="r" if length else None, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. Make the tokens anew.") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(dtype) or array.shape != (length,):
        raise _damaged(path, f"{length:,} numbers of type {dtype} were expected")
    return array


def _disagreement(entry: SplitIndex) -> str:
    return f"{entry.text_tokens:,} tokens in {entry.documents:,} documents are not what the shards hold"


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path}: damaged ({' '.join(why.split())}). Make the tokens anew.")
