"""The tokens that tell most about texts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.measure import Measured
from tezgah.tokenizer.spelling import Spelling

TELLING = 10


def telling_tokens(measured: Sequence[Measured]) -> list[list[bytes]]:
    """Of each data set that one tokenizer was measured on, the ten tokens that tell most about it, first the most.

    Of several data sets a token tells p · log(p / q), where p is its share of the tokens of one and q
    of those of the others together (add-one smoothed): what it adds to the Kullback-Leibler
    divergence of the first from the second. Of one data set alone it tells the bytes that it saves,
    count × (bytes - 1). Only what tells more than nothing is given.
    """
    spelling, counts = measured[0].spelling, [each.counts for each in measured]
    total = np.sum(counts, axis=0)  # (vocab_size,)
    several = len(counts) > 1
    told = [_divergence(each, total - each) if several else each * (spelling.length - 1) for each in counts]
    return [_top(np.where(spelling.is_special, 0, each), spelling) for each in told]


def _divergence(here: NDArray[np.int64], elsewhere: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each id's part of the divergence, (vocab_size,) nats."""
    p = (here + 1) / (here.sum() + len(here))
    q = (elsewhere + 1) / (elsewhere.sum() + len(elsewhere))
    told: NDArray[np.float64] = p * np.log(p / q)
    return np.where(here > 0, told, 0)


def _top(told: NDArray[np.float64 | np.int64], spelling: Spelling) -> list[bytes]:
    order = np.argsort(-told, kind="stable")[:TELLING]  # of equal ones the smaller id first
    return [spelling.bytes[token_id] for token_id in order if told[token_id] > 0]
