"""Which held-out documents a reading during training looks at."""

import numpy as np

from tezgah.evaluation.windows import Documents, Indices
from tezgah.tokens.order import sequence_indices

SAMPLE_SEED = 0  # a constant, so that all runs over a corpus read the same documents


def reading_documents(stream: Documents, max_bytes: int) -> Indices:
    """Indices of whole documents of at most `max_bytes` together, ascending; at least one.

    Documents are taken in a keyed order of their indices, not from the front: neighbours in a
    corpus are alike. The same split always gives the same documents, whatever the run's seed,
    and a smaller `max_bytes` gives some of what a larger one gives.
    """
    n_documents = len(stream.bytes)
    order = sequence_indices(SAMPLE_SEED, n_documents, 0, n_documents)
    fitting = int(np.searchsorted(stream.bytes[order].cumsum(), max_bytes, side="right"))
    return np.sort(order[: max(1, fitting)])
