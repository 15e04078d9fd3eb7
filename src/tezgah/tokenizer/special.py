"""Special tokens found in raw text, where the caller allows it: each becomes its id, what is between them is text."""

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.rows import Rows


def encode_around(
    encode: Callable[[NDArray[np.uint8], NDArray[np.int64]], Rows],
    specials: dict[bytes, int],
    text: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> Rows:
    """Ids of rows text[offsets[r]:offsets[r + 1]]: where two special tokens match, the leftmost and then the longest.

    Rows are cut at the tokens into more rows, which `encode` turns into ids; a token's are replaced by its one.
    """
    pattern = re.compile(b"|".join(re.escape(special) for special in sorted(specials, key=len, reverse=True)))
    bounds, last_part, found = [int(offsets[0])], [], {}  # found: number of a part → id of the token it is
    for begin, end in pairwise(offsets.tolist()):
        for match in pattern.finditer(text[begin:end].tobytes()):
            bounds.append(begin + match.start())
            found[len(bounds) - 1] = specials[match[0]]
            bounds.append(begin + match.end())
        bounds.append(end)
        last_part.append(len(bounds) - 2)
    ids, ends = encode(text, np.array(bounds, np.int64))
    kept = np.ones(len(ids) + 1, bool)
    for part, special in found.items():
        start = ends[part - 1] if part else 0
        ids[start] = special
        kept[start + 1 : ends[part]] = False
    before = np.concatenate([[0], np.cumsum(kept[:-1])])  # (tokens + 1,) ids kept before each
    return ids[kept[:-1]], before[ends[last_part]]
