"""The one place where merges are learned and applied: today by Hugging Face `tokenizers`.

Everything else in the room speaks in vocabularies, merges, the text of a `tokenizer.json` and
arrays of ids, so another engine takes this one's place by giving the same two things.
"""

from collections.abc import Iterable
from itertools import chain
from json import dumps, loads

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.patterns import pre_tokenizer
from tezgah.tokenizer.settings import Split

Merge = tuple[str, str]


def train_bpe(
    texts: Iterable[str], vocab_size: int, split: Split, separator: str
) -> tuple[dict[str, int], list[Merge]]:
    """Vocabulary and merges of a byte-level BPE (Sennrich et al. 2016) over the texts.

    Ids: the separator is 0, then the 256 bytes, then one a merge, most frequent pair first
    (ties: the smaller pair of ids). Both stop early where no pair is left to merge.
    """
    untrained = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    tokenizer = tokenizers.Tokenizer.from_str(dumps(untrained | {"pre_tokenizer": pre_tokenizer(split)}))
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=0,
        special_tokens=[separator],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Text that spells the separator would merge into a token of the same name, and so of the same id.
    tokenizer.train_from_iterator((piece for text in texts for piece in text.split(separator)), trainer)
    model = loads(tokenizer.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]


class Encoder:
    """Ids of texts and text of ids by a `tokenizer.json`, threaded.

    Special tokens are never found inside a text, and none are added. Raises ValueError where
    the file's text is no tokenizer.
    """

    def __init__(self, tokenizer_json: str) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(str(error)) from error
        self._tokenizer.encode_special_tokens = True

    def vocabulary(self) -> dict[str, int]:
        """Every token with its id, added tokens included."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    def encode(self, texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all texts in one array, and how many each text has, (rows,)."""
        try:
            rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        except TypeError:
            raise InputError(_unreadable(texts)) from None
        counts = np.array([len(row) for row in rows], dtype=np.int64)  # (rows,)
        return np.fromiter(chain.from_iterable(rows), np.int32, int(counts.sum())), counts

    def decode(self, ids: list[int]) -> str:
        """The text of ids by the file's own decoder."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))


def _unreadable(texts: list[str]) -> str:
    """Why one of the texts cannot be encoded."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return (
                f"a text holds {text[error.start]!r} at character {error.start:,}, half of a surrogate pair, "
                "which is no Unicode text. Decode the input as UTF-8 with errors='replace'."
            )
    return "a text is not a string. Give strings."
