"""The `[evaluate]` table, and the flag that several verbs have for pass@k."""

from typing import Annotated

from msgspec import Meta

from tezgah.settings import PositiveInt, Settings

PassAtK = Annotated[
    tuple[str, ...],
    Meta(description="which pass@k to tell, as 1,10; default those of 1, 10, 100 that there are samples enough for"),
]
"""A list of whole numbers, read by `pass_at_k.ks_of`."""


class EvaluateSettings(Settings, frozen=True):
    """How the held-out text is read."""

    batch_size: Annotated[PositiveInt, Meta(description="sequences per forward pass")] = 16
    reading_bytes: Annotated[
        PositiveInt, Meta(description="held-out bytes in a reading's bits per byte while training; whole documents")
    ] = 1_000_000
