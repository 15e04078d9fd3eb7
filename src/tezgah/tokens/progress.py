"""How far a stream has been read, and marks in it, so that a later reading need not encode all before its place.

Kept in `checkpoints/stream.json`. A mark says how many documents make how many tokens; to begin at
a place in the stream is to read the documents before the last mark in front of it, which takes a
fraction of encoding them, and to encode from there on.
"""

from pathlib import Path
from typing import Any

import msgspec

from tezgah.errors import InputError
from tezgah.files import read_struct, write_json

FORMAT = 1
MOST_MARKS = 256
FIRST_SPACING = 1 << 22  # tokens between two marks; doubled when there are too many of them


class Mark(msgspec.Struct, frozen=True):
    """So many documents, from the first of the stream on, and what they come to."""

    documents: int = 0
    tokens: int = 0  # separators included
    bytes: int = 0  # UTF-8, of the texts
    characters: int = 0  # code points, of the texts


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`stream.json`."""

    format: int = FORMAT
    fingerprint: str = ""  # of the training; marks of another one are passed over
    sequences: int | None = None  # in an epoch; null until the first has been read
    bytes_per_token: float | None = None  # of what was read, separators counted; null before anything was
    characters_per_token: float | None = None
    reached: Mark = Mark()
    spacing: int = FIRST_SPACING
    marks: tuple[Mark, ...] = ()


class StreamProgress:
    """The marks of one stream. Without a `path` they are kept in memory alone; only a writer writes them."""

    def __init__(self, path: Path | None = None, fingerprint: str = "", is_writer: bool = True) -> None:
        self._path, self._is_writer = path, is_writer
        found = _read(path) if path is not None else None
        self.state = found if found and found.fingerprint == fingerprint else State(fingerprint=fingerprint)

    @property
    def sequences(self) -> int | None:
        """In an epoch; None until one has been read."""
        return self.state.sequences

    def before(self, token: int) -> Mark:
        """The last mark that is not behind this place in the stream."""
        return max((each for each in self.state.marks if each.tokens <= token), default=Mark(), key=_tokens)

    def reach(self, mark: Mark) -> None:
        """Take note of how far the stream has been read; it may have been read farther before."""
        state = self.state
        if mark.tokens <= state.reached.tokens:
            return
        changed: dict[str, Any] = {
            "reached": mark,
            "bytes_per_token": mark.bytes / mark.tokens,
            "characters_per_token": mark.characters / mark.tokens,
        }
        last = state.marks[-1].tokens if state.marks else 0
        if mark.tokens >= last + state.spacing:
            marks, spacing = (*state.marks, mark), state.spacing
            if len(marks) > MOST_MARKS:
                marks, spacing = marks[1::2], 2 * spacing
            changed |= {"marks": marks, "spacing": spacing}
        self.state = msgspec.structs.replace(state, **changed)
        if "marks" in changed:
            self.write()

    def finish(self, sequences: int) -> None:
        """Take note of how many sequences the whole stream makes. Raises InputError where they were others before."""
        if self.sequences == sequences:
            return
        if self.sequences is not None:
            raise InputError(
                f"corpus.source: made {self.sequences:,} sequences when it was last read, and makes {sequences:,} now: "
                "its files have changed while they were trained on. Restore them, or begin anew with --restart."
            )
        self.state = msgspec.structs.replace(self.state, sequences=sequences)
        self.write()

    def write(self) -> None:
        """Write the file, where there is one and it is ours to write."""
        if self._path is not None and self._is_writer:
            write_json(self._path, msgspec.to_builtins(self.state))


def _tokens(mark: Mark) -> int:
    return mark.tokens


def _read(path: Path) -> State | None:
    if not path.exists():
        return None
    return read_struct(path, State, FORMAT, "Remove the file, and the stream is marked anew.")
