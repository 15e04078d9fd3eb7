"""The `[tokens]` table. (`context_length` lives in `[model]`.)"""

from typing import Annotated, Literal

from msgspec import Meta

from tezgah.settings import NaturalInt, PositiveInt, Settings


class TokensSettings(Settings, frozen=True):
    """How token ids are stored and cut into sequences."""

    mode: Annotated[
        Literal["stored", "stream"],
        Meta(description="stored on disk; or stream: read, encoded and packed anew in every epoch, never stored"),
    ] = "stored"
    documents: Annotated[
        Literal["joined", "separate"],
        Meta(description="in a sequence of several: joined as one text; or separate, none looking at another"),
    ] = "joined"
    stride: Annotated[NaturalInt, Meta(description="tokens between two sequences' starts; 0 is context_length")] = 0
    keep_short: Annotated[bool, Meta(description="keep the last, short sequence of the validation split")] = True
    shard_tokens: Annotated[PositiveInt, Meta(description="tokens in one shard file")] = 100_000_000
