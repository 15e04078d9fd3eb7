"""The `[tokens]` table. (`context_length` lives in `[model]`.)"""

from typing import Annotated

from msgspec import Meta

from tezgah.settings import NaturalInt, PositiveInt, Settings


class TokensSettings(Settings, frozen=True):
    """How token ids are stored and cut into sequences."""

    stride: Annotated[NaturalInt, Meta(description="tokens between two sequences' starts; 0 is context_length")] = 0
    keep_short: Annotated[bool, Meta(description="keep the last, short sequence of the validation split")] = True
    shard_tokens: Annotated[PositiveInt, Meta(description="tokens in one shard file")] = 100_000_000
