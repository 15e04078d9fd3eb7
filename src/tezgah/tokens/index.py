"""`index.json` of a tokens folder: what the shards hold, and what they were made with."""

from pathlib import Path

import msgspec

from tezgah.errors import InputError
from tezgah.files import read_struct, write_json

FORMAT = 1


class SplitIndex(msgspec.Struct, frozen=True, kw_only=True):
    """One split's stream: the separator before every document and one at the end."""

    documents: int
    text_tokens: int  # without separators
    bytes: int  # UTF-8, of the texts
    characters: int  # code points, of the texts
    shards: tuple[int, ...]  # tokens in each shard file, separators included


class TokensIndex(msgspec.Struct, frozen=True, kw_only=True):
    """All splits, and the tokenizer that made them (the SHA-256 of its `tokenizer.json`)."""

    format: int
    dtype: str  # "uint16" up to 65,536 ids, else "uint32"
    vocab_size: int
    separator_id: int
    tokenizer: str
    splits: dict[str, SplitIndex]
    sources: tuple[str, ...] = ()  # what the numbers in `*-sources.npy` stand for; none in tokens of an early tezgah


def read_index(folder: Path) -> TokensIndex:
    """The index of the tokens in `folder`. Raises InputError when it is missing, damaged or too new."""
    path = folder / "index.json"
    index = read_struct(path, TokensIndex, FORMAT, "Make the tokens anew.")
    if index.dtype != dtype_of(index.vocab_size):
        raise InputError(
            f"{path}: dtype {index.dtype!r}, but {index.vocab_size:,} ids are stored as "
            f"{dtype_of(index.vocab_size)}. Make the tokens anew."
        )
    return index


def write_index(folder: Path, index: TokensIndex) -> None:
    """Write the index of the tokens in `folder`."""
    write_json(folder / "index.json", msgspec.to_builtins(index))


def dtype_of(vocab_size: int) -> str:
    """The smallest type that holds every id.

    >>> dtype_of(65_536), dtype_of(65_537)
    ('uint16', 'uint32')
    """
    return "uint16" if vocab_size <= 65_536 else "uint32"


def shard_name(split: str, number: int) -> str:
    """
    >>> shard_name("train", 3)
    'train-00003.npy'
    """
    return f"{split}-{number:05d}.npy"
