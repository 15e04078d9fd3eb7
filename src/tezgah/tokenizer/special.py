"""Added tokens found in raw text, special ones where the caller allows it: what is between them is text."""

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.rows import Rows


def encode_around(
    encode: Callable[[NDArray[np.uint8], NDArray[np.int64]], Rows],
    added: dict[bytes, int],
    text: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> Rows:
    """Ids of rows text[offsets[r]:offsets[r + 1]]: where two of the tokens match, the leftmost and then the longest.

    Rows are cut at the tokens into more rows, which `encode` turns into ids; in place of a token's is its one.
    """
    pattern = re.compile(b"|".join(re.escape(token) for token in sorted(added, key=len, reverse=True)))
    bounds, last_part, found = [int(offsets[0])], [], {}  # found: number of a part → id of the token it is
    for begin, end in pairwise(offsets.tolist()):
        for match in pattern.finditer(text[begin:end].tobytes()):
            bounds.append(begin + match.start())
            found[len(bounds) - 1] = added[match[0]]
            bounds.append(begin + match.end())
        bounds.append(end)
        last_part.append(len(bounds) - 2)
    ids, ends = encode(text, np.array(bounds, np.int64))
    lengths = np.diff(ends, prepend=0)  # (parts,) ids of each
    parts = np.fromiter(found, np.int64, len(found))
    is_text = np.ones(len(lengths), bool)
    is_text[parts] = False
    new_ends = np.where(is_text, lengths, 1).cumsum()
    places = new_ends[parts] - 1  # of the tokens' ids
    joined = np.empty(new_ends[-1] if len(new_ends) else 0, np.int32)
    is_kept = np.ones(len(joined), bool)
    is_kept[places] = False
    joined[places] = np.fromiter(found.values(), np.int32, len(found))
    joined[is_kept] = ids[np.repeat(is_text, lengths)]
    return joined, new_ends[last_part]
