"""The `[evaluate]` table."""

from typing import Annotated

from msgspec import Meta

from tezgah.settings import PositiveInt, Settings


class EvaluateSettings(Settings, frozen=True):
    """How the held-out text is read."""

    batch_size: Annotated[PositiveInt, Meta(description="sequences per forward pass")] = 16
    reading_bytes: Annotated[
        PositiveInt, Meta(description="held-out bytes in a reading's bits per byte while training; whole documents")
    ] = 1_000_000
