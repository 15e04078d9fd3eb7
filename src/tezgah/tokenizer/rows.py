"""Ids of many texts: chunks encoded on threads, gathered in order into one array."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.texts import Chunk

Rows = tuple[NDArray[np.int32], NDArray[np.int64]]  # ids of all rows, (tokens,), and where each row's end, (rows,)


def gathered(parts: Iterable[Rows]) -> Rows:
    """The rows of all parts in one array; their ends begin with a 0, (rows + 1,).

    The array is made twice as long where it is full, and cut at the end: memory that the process has
    not had before costs more than copying, and joining the parts would take all of it once more.
    """
    ids, ends, used = np.empty(1 << 10, np.int32), [np.zeros(1, np.int64)], 0
    for part, row_ends in parts:
        ends.append(row_ends + used)
        if used + len(part) > len(ids):
            longer = np.empty(max(used + len(part), 2 * len(ids)), np.int32)
            longer[:used] = ids[:used]
            ids = longer
        ids[used : used + len(part)] = part
        used += len(part)
    ids.resize(used, refcheck=False)
    return ids, np.concatenate(ends)


def in_order(encode: Callable[..., Rows], chunks: Iterable[Chunk], threads: int) -> Iterator[Rows]:
    """What `encode` makes of each chunk, on threads, in the order of the chunks."""
    chunks = iter(chunks)
    ahead = list(islice(chunks, 2))
    if len(ahead) < 2:
        yield from (encode(*chunk) for chunk in ahead)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Rows]] = deque()
        for chunk in chain(ahead, chunks):
            running.append(pool.submit(encode, *chunk))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        for job in running:
            yield job.result()
