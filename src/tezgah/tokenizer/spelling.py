"""What the entries of a vocabulary stand for: bytes, parts of characters, or the unknown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.artefact import File, parse
from tezgah.tokenizer.bytelevel import token_bytes
from tezgah.tokenizer.tokenizer import Tokenizer

METASPACE = "▁"  # SentencePiece's space


@dataclass(frozen=True)
class Spelling:
    """The vocabulary of a tokenizer by id; an id that no entry has is empty."""

    bytes: list[bytes]  # vocab_size of them
    length: NDArray[np.int64]  # (vocab_size,) bytes
    is_special: NDArray[np.bool_]  # (vocab_size,) spelled by no text; the unknown one is one of them
    is_partial: NDArray[np.bool_]  # (vocab_size,) stands for bytes that are no whole characters
    unknown_id: int | None


def spelling_of(tokenizer: Tokenizer) -> Spelling:
    """The spelling of every id of a tokenizer."""
    file = parse(tokenizer.json)
    spelled = [b""] * tokenizer.vocab_size
    is_special, is_partial = np.zeros((2, tokenizer.vocab_size), dtype=bool)
    for name, token_id in file.ids().items():
        spelled[token_id] = spell(file, name)
        is_partial[token_id] = not _is_utf8(spelled[token_id]) or _is_fallback(file, name)
    for token in file.added_tokens:
        spelled[token.id], is_partial[token.id], is_special[token.id] = token.content.encode(), False, token.special
    unknown_id = file.unknown_id()
    if unknown_id is not None:
        is_special[unknown_id] = True
    length = np.array([len(token) for token in spelled], np.int64)
    return Spelling(spelled, length, is_special, is_partial, unknown_id)


def spell(file: File, name: str) -> bytes:
    """The bytes that an entry of the vocabulary adds to a text, marks of word beginnings and ends taken off.

    >>> from tezgah.tokenizer.artefact import Model
    >>> spell(File(Model({}, continuing_subword_prefix="##")), "##de")
    b'de'
    >>> spell(File(Model({}, byte_fallback=True)), "<0x0A>")
    b'\\n'
    """
    if file.is_byte_level():
        return token_bytes(name)
    if _is_fallback(file, name):
        return bytes([int(name[3:5], 16)])
    name = name.removeprefix(file.model.continuing_subword_prefix or "")
    name = name.removesuffix(file.model.end_of_word_suffix or "")
    return (name.replace(METASPACE, " ") if METASPACE in str(file.decoder) else name).encode()


def _is_fallback(file: File, name: str) -> bool:
    return bool(file.model.byte_fallback) and len(name) == 6 and name.startswith("<0x") and name.endswith(">")


def _is_utf8(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True
