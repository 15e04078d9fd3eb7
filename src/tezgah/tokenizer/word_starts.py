"""Which tokens begin a word, so that all pieces of a word can be taken together.

A word is a run of letters, marks and digits; white space before it belongs to it, any other sign is a
word by itself. Where one begins cannot be told from a token alone: `kul` goes on after ` o` and begins
after `(`. So of each token two things are told, and a word begins at a token that begins one, and after
a token that ends one. A character of which a token has some bytes only counts as a letter.
"""

import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tezgah.tokenizer.artefact import File, parse
from tezgah.tokenizer.bytelevel import token_bytes
from tezgah.tokenizer.tokenizer import Tokenizer

SENTENCEPIECE_SPACE = "▁"


class WordStarts(NamedTuple):
    """For each id whether a word always begins at it, and whether one always begins after it, (vocab,) each."""

    begins: NDArray[np.bool_]
    ends: NDArray[np.bool_]

    def of(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether a word begins at each id of a text, (tokens,)."""
        found: NDArray[np.bool_] = self.begins[ids]
        found[1:] |= self.ends[ids[:-1]]
        found[:1] = True
        return found


def word_starts(tokenizer: Tokenizer) -> WordStarts:
    """What the tokens of a vocabulary are to words; a special token is one by itself.

    >>> tokenizer = Tokenizer.train(["su su su"], vocab_size=259)
    >>> word_starts(tokenizer).of(tokenizer.encode("susu su")).tolist()
    [True, False, True]
    """
    file = parse(tokenizer.json)
    begins, ends = np.ones(tokenizer.vocab_size, bool), np.ones(tokenizer.vocab_size, bool)
    alone = {token.id for token in file.added_tokens if token.special}
    for token, token_id in file.ids().items():
        if token_id not in alone:
            begins[token_id], ends[token_id] = _told(token, file)
    return WordStarts(begins, ends)


def _told(token: str, file: File) -> tuple[bool, bool]:
    """Whether a word begins at an entry of a vocabulary, and whether one begins after it."""
    prefix, suffix = file.model.continuing_subword_prefix, file.model.end_of_word_suffix
    if file.is_byte_level():
        text = token_bytes(token).decode(errors="replace")
    elif suffix:
        text = token.replace(suffix, " ")
    elif prefix:  # an entry without it stands at a word's beginning
        text = token[len(prefix) :] if token.startswith(prefix) else " " + token
    else:
        text = token.replace(SENTENCEPIECE_SPACE, " ")
    return not _is_of_word(text[:1]), not _is_of_word(text[-1:])


def _is_of_word(sign: str) -> bool:
    return sign == "\ufffd" or sign.isalnum() or unicodedata.category(sign or " ").startswith("M")
