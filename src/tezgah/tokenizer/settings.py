"""The `[tokenizer]` table."""

from typing import Annotated, Literal

from msgspec import Meta

from tezgah.settings import PositiveInt, Settings

Split = Literal["gpt2", "cl100k", "o200k", "whitespace", "digits", "turkish-safe"]


class TokenizerSettings(Settings, frozen=True):
    """A byte-level BPE trained on the corpus, or a ready one."""

    vocab_size: Annotated[PositiveInt, Meta(description="ids in all: <|endoftext|>, 256 bytes, merges")] = 8_192
    split: Annotated[Split, Meta(description="how text is cut into words before merging")] = "turkish-safe"
    documents: Annotated[PositiveInt, Meta(description="training documents the tokenizer is trained on, at most")] = (
        100_000
    )
    path: Annotated[
        str,
        Meta(description="a ready tokenizer: tokenizer.json, or a folder with it or with encoder.json + vocab.bpe"),
    ] = ""
