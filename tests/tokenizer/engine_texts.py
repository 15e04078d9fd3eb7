"""What the tests of the engine read: texts made to be awkward, and buffers of them."""

from collections.abc import Iterable
from typing import get_args

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tezgah.tokenizer.settings import Split

SPLITS: tuple[Split, ...] = get_args(Split)

# Characters of every class the splits tell apart, those that English suffixes are made of, and rare spaces.
CHARACTERS = "'’ \n\r\tsStTdDlLeErRvVmMğİıſKaZǅʰªا中019²Ⅷ٣/.,;_$-!`“½é\u0301\u0308🙂\u00a0\u2003\u0085\x1c\u200d\x00"
texts = st.text(st.one_of(st.sampled_from(CHARACTERS), st.characters(exclude_categories=["Cs"])))


def buffers(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """UTF-8 of the texts, and where each ends."""
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64)
