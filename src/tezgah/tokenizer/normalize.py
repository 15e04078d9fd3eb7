"""Text made uniform before it is cut into words, by rules that are written into the `tokenizer.json`.

Whoever opens the file gets the same ids, for the rules travel with it. Accents stay. In Turkish İ
is the capital of i and I that of ı, where lower-casing alone, which knows no language, would give
i with a second dot and i: `lowercase-turkish` replaces the two first.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tezgah.tokenizer.settings import Normalization
from tezgah.tokenizer.texts import Chunk

NFC = {"type": "NFC"}
LOWERCASE = {"type": "Lowercase"}
TURKISH_CAPITALS = [
    {"type": "Replace", "pattern": {"String": "İ"}, "content": "i"},
    {"type": "Replace", "pattern": {"String": "I"}, "content": "ı"},
]
NORMALIZERS: dict[Normalization, dict[str, Any] | None] = {
    "none": None,
    "nfc": NFC,
    "lowercase": {"type": "Sequence", "normalizers": [NFC, LOWERCASE]},
    "lowercase-turkish": {"type": "Sequence", "normalizers": [NFC, *TURKISH_CAPITALS, LOWERCASE]},
}

# Up to U+02FF and in general punctuation every character is NFC by itself, no two compose, and lower-casing
# looks at one character at a time: there Python's strings do what the library does, twenty times as fast.
BEYOND_PLAIN = re.compile("[^\u0000-\u02ff\u2010-\u2027]")
PLAINLY: dict[Normalization, Callable[[str], str]] = {
    "nfc": str,
    "lowercase": str.lower,
    "lowercase-turkish": lambda text: text.replace("İ", "i").replace("I", "ı").lower(),
}


class Normalizer:
    """The `normalizer` entry of a `tokenizer.json` at work; any that Hugging Face `tokenizers` knows, or None.

    >>> Normalizer(NORMALIZERS["lowercase-turkish"])("İSTANBUL IŞIK ÇAĞ")
    'istanbul ışık çağ'
    """

    def __init__(self, entry: dict[str, Any] | None) -> None:
        self._library = None if entry is None else _library_normalizer(entry)
        names = [name for name, known in NORMALIZERS.items() if known == entry]
        self._plainly = PLAINLY.get(names[0]) if names else None

    def __call__(self, text: str) -> str:
        """The text, normalized."""
        if self._library is None:
            return text
        if self._plainly is not None and not BEYOND_PLAIN.search(text):
            return self._plainly(text)
        return str(self._library.normalize_str(text))

    def chunks(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same chunks of UTF-8 rows, each row normalized."""
        return (self.chunk(text, offsets) for text, offsets in chunks)

    def chunk(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Chunk:
        """Rows `text[offsets[r]:offsets[r + 1]]`, normalized, and where they begin and the last ends, (rows + 1,)."""
        if self._library is None:
            return text, offsets
        rows = [self(text[begin:end].tobytes().decode()).encode() for begin, end in pairwise(offsets.tolist())]
        return np.frombuffer(b"".join(rows), np.uint8), np.cumsum([0, *map(len, rows)], dtype=np.int64)


def _library_normalizer(entry: dict[str, Any]) -> Any:
    """The library's normalizer of an entry, which it makes as a part of a whole tokenizer alone."""
    model = {"type": "BPE", "vocab": {}, "merges": []}
    whole = json.dumps({"version": "1.0", "added_tokens": [], "normalizer": entry, "model": model})
    return tokenizers.Tokenizer.from_str(whole).normalizer
