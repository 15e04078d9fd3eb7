"""The `[tokenizer]` table."""

from typing import Annotated, Literal

from msgspec import Meta

from tezgah.settings import PositiveInt, Settings

Split = Literal["gpt2", "cl100k", "o200k", "whitespace", "digits", "turkish-safe"]
Rule = Literal[Split, "bert"]  # where text can be cut; "bert" comes with WordPiece and with nothing else
Algorithm = Literal["bpe", "wordpiece", "unigram", "characters", "bytes"]
Normalization = Literal["none", "nfc", "lowercase", "lowercase-turkish"]


# What the recipe and the command line say of these fields.
ALGORITHM = "how the vocabulary is learned; characters and bytes are alphabets, nothing is learned"
VOCAB_SIZE = "ids in all, special tokens and alphabet among them; of characters at most, of bytes always 257"
SPLIT = "how text is cut into words before merging; wordpiece cuts in BERT's way, whatever this says"
MASK = "give it [PAD] and [MASK], which a masked language model needs; wordpiece has them anyway"
NORMALIZE = "what is done to text first, inside tokenizer.json: lowercase-turkish makes ı of I and i of İ"


class TokenizerSettings(Settings, frozen=True):
    """A tokenizer trained on the corpus, or a ready one."""

    algorithm: Annotated[Algorithm, Meta(description=ALGORITHM)] = "bpe"
    vocab_size: Annotated[PositiveInt, Meta(description=VOCAB_SIZE)] = 8_192
    split: Annotated[Split, Meta(description=SPLIT)] = "turkish-safe"
    normalize: Annotated[Normalization, Meta(description=NORMALIZE)] = "none"
    mask: Annotated[bool | None, Meta(description=MASK + "; left open, as the model's objective asks")] = None
    documents: Annotated[PositiveInt, Meta(description="training documents the tokenizer is trained on, at most")] = (
        100_000
    )
    path: Annotated[
        str,
        Meta(description="a ready tokenizer: tokenizer.json, or a folder with it or with encoder.json + vocab.bpe"),
    ] = ""
