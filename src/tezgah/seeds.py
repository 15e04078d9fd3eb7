"""Every random stream of a run has a name, so that none depends on what was drawn before it."""

import hashlib


def named_seed(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit seed for the stream (seed, purpose, index), the same on every machine.

    >>> named_seed(1, "dropout", 7) == named_seed(1, "dropout", 7) != named_seed(1, "dropout", 8)
    True
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
