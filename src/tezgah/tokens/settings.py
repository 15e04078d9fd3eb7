"""The `[tokens]` table. (`context_length` lives in `[model]`.)"""

from typing import Annotated, Literal

from msgspec import Meta

from tezgah.settings import NaturalInt, PositiveInt, Settings, Share


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
    fim_rate: Annotated[
        Share,
        Meta(description="share of the training documents cut in three, the middle last, to learn to fill it in"),
    ] = 0.0
    shard_tokens: Annotated[PositiveInt, Meta(description="tokens in one shard file")] = 100_000_000


class MaskingSettings(Settings, frozen=True):
    """The `[masking]` table: which tokens a masked language model is asked for, and what it sees in their places."""

    rate: Annotated[float, Meta(gt=0, lt=1, description="share of the tokens that are to be predicted")] = 0.15
    mask_share: Annotated[Share, Meta(description="of those, the share that [MASK] stands for")] = 0.8
    random_share: Annotated[Share, Meta(description="and the share that a random token stands for; the rest stay")] = (
        0.1
    )
    unit: Annotated[
        Literal["token", "word", "span"],
        Meta(description="what is chosen: tokens one by one, whole words, or spans of tokens"),
    ] = "token"
    span_length: Annotated[
        float, Meta(ge=1, le=5.5, description="mean length of a span in tokens; the longest has 10")
    ] = 3.8
