"""Tokenizers that learn nothing but an alphabet: one token a character, or one a byte."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import SEPARATOR, UNKNOWN, bpe_model, byte_level_bpe, tokenizer_json
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS
from tezgah.tokenizer.characters import CODE_POINTS, characters_of, code_points, most_frequent
from tezgah.tokenizer.count import Words
from tezgah.tokenizer.patterns import character_pre_tokenizer
from tezgah.tokenizer.settings import Split


def characters_json(words: Words, vocab_size: int, split: Split, normalizer: dict[str, Any] | None) -> str:
    """The text of the `tokenizer.json` of a tokenizer with one token for every character of counted words.

    Ids: the separator, the unknown token for any other character, then the characters by code point;
    where there are more than `vocab_size` leaves room for, the most frequent of them. It is a BPE
    without merges: `extend` can add some, which stay within the words of `split`.
    """
    special = {SEPARATOR: 0, UNKNOWN: 1}
    if vocab_size <= len(special):
        raise InputError(
            f"tokenizer.vocab_size: {vocab_size:,} leaves no room for characters: {SEPARATOR} and {UNKNOWN} take "
            f"{len(special)}. Set it to {len(special) + 1} or more."
        )
    alphabet = most_frequent(characters_of(words).frequencies(), vocab_size - len(special))
    vocab = special | {chr(point): token_id for token_id, point in enumerate(alphabet.tolist(), len(special))}
    return tokenizer_json(
        model=bpe_model(vocab, [], UNKNOWN),
        special=special,
        normalizer=normalizer,
        pre_tokenizer=character_pre_tokenizer(split),
        decoder={"type": "Fuse"},
    )


def bytes_json(split: Split, normalizer: dict[str, Any] | None) -> str:
    """The text of the `tokenizer.json` of a tokenizer with one token for every byte: the separator, then 256 bytes.

    It is a byte-level BPE without merges: `extend` can add some, which stay within the words of `split`.
    """
    vocab = {name: token_id for token_id, name in enumerate([SEPARATOR, *sorted(BYTE_CHARACTERS)])}
    return byte_level_bpe(vocab, [], split, SEPARATOR, normalizer)


class CharacterEncoder:
    """Ids of UTF-8 text, one a character: a table of all code points, read once a character."""

    def __init__(self, vocab: dict[str, int], unknown: int) -> None:
        self._ids = np.full(CODE_POINTS, unknown, np.int32)
        for name, token_id in vocab.items():
            if len(name) == 1:
                self._ids[ord(name)] = token_id

    def encode(
        self, text: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of rows `text[offsets[r]:offsets[r + 1]]` in one array, (tokens,), and where each row's end, (rows,)."""
        points, starts = code_points(text, offsets)
        return self._ids[points], starts[1:]
