"""Vocabularies learned and applied by our own engine, and everything it is not made for by Hugging Face `tokenizers`.

Ours reads byte-level BPE with one of the splits of `patterns.py`, WordPiece with BERT's, and
vocabularies of characters. Any other `tokenizer.json` (Unigram, unknown rules, tokens in raw text that
look at what is around them) is left to the library that defines what it means, at a tenth of the speed.
"""

import json
import re
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tezgah.tokenizer.artefact import merge_ids
from tezgah.tokenizer.bpe import byte_segments, train
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS, UTF8_BYTES
from tezgah.tokenizer.count import Words, without
from tezgah.tokenizer.encode import WordEncoder
from tezgah.tokenizer.longest import LONGEST_WORD, token_trees
from tezgah.tokenizer.normalize import Normalizer
from tezgah.tokenizer.patterns import is_character_rule, split_of
from tezgah.tokenizer.plain import CharacterEncoder
from tezgah.tokenizer.rows import Rows
from tezgah.tokenizer.special import encode_around
from tezgah.tokenizer.word_ids import Rules, pair_table

Merge = tuple[str, str]


def train_bpe(
    words: Words, vocab_size: int, separator: str, min_frequency: int = 0, max_token_length: int | None = None
) -> tuple[dict[str, int], list[Merge]]:
    """Vocabulary and merges of a byte-level BPE (Sennrich et al. 2016) over counted words.

    Ids: the separator is 0, then the 256 bytes, then one a merge, most frequent pair first
    (ties: the smaller pair of ids). Both stop early where no pair is left to merge. The last two as in `bpe.train`.
    """
    words = without(words, separator.encode())  # a token is part of a word: no word spells it, no token does
    alphabet = sorted(range(256), key=lambda byte: BYTE_CHARACTERS[byte])
    byte_ids = np.empty(256, np.int32)
    byte_ids[alphabet] = np.arange(1, 257)
    tokens = [b"", *(bytes([byte]) for byte in alphabet)]
    bpe = train(byte_segments(words, byte_ids), tokens, vocab_size, min_frequency, max_token_length)
    names = [separator, *("".join([BYTE_CHARACTERS[byte] for byte in token]) for token in bpe.tokens[1:])]
    merges = [(names[left], names[right]) for left, right, _ in bpe.merges.tolist()]
    return {name: token_id for token_id, name in enumerate(names)}, merges


class Encoder:
    """Ids of texts and text of ids by a `tokenizer.json`, threaded.

    Special tokens are never found inside a text, and none are added. Raises ValueError where
    the file's text is no tokenizer.
    """

    def __init__(self, tokenizer_json: str, threads: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(str(error)) from error
        self._tokenizer.encode_special_tokens = True
        self._json, self._threads = tokenizer_json, threads

    def vocabulary(self) -> dict[str, int]:
        """Every token with its id, added tokens included."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    def encode(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Rows:
        """Ids of rows text[offsets[r]:offsets[r + 1]] in one array, (tokens,), and where each row's end, (rows,)."""
        if not self._ours:
            return _encode_by(self._tokenizer, text, offsets)
        text, offsets = self._normalizer.chunk(text, offsets)
        if self._found_in_text:
            return encode_around(self._ours.encode, self._found_in_text, text, offsets)
        return self._ours.encode(text, offsets)

    def encode_special(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Rows:
        """The same, with special tokens found in the text."""
        if self._ours and self._specials:
            return encode_around(self.encode, self._specials, text, offsets)
        return _encode_by(self._finding_special_tokens, text, offsets)

    def decode(self, ids: list[int]) -> str:
        """The text of ids by the file's own decoder."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def is_byte(self, token_id: int) -> bool:
        """Whether an id stands for one byte of a character that the vocabulary lacks."""
        return re.fullmatch("<0x[0-9A-F]{2}>", self._tokenizer.id_to_token(token_id) or "") is not None

    @cached_property
    def _file(self) -> Any:
        return json.loads(self._json)

    @cached_property
    def _finding_special_tokens(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self._json)

    @cached_property
    def _specials(self) -> dict[bytes, int]:
        """The special tokens and their ids; empty where they are not to be found by themselves, before all else."""
        special, other = _added(self._file, True), _added(self._file, False)
        has_rules = any(token.get(rule) for token in special for rule in AROUND)
        normalized = {token.get("normalized") for token in special}
        if has_rules or len(normalized) > 1 or (normalized != {False} and (other or self._file.get("normalizer"))):
            return {}
        return {token["content"].encode(): token["id"] for token in special}

    @cached_property
    def _found_in_text(self) -> dict[bytes, int]:
        """The added tokens that are no special ones and their ids: any text spells them, once it is normalized."""
        return {token["content"].encode(): token["id"] for token in _added(self._file, False)}

    @cached_property
    def _normalizer(self) -> Normalizer:
        return Normalizer(self._file.get("normalizer"))

    @cached_property
    def _ours(self) -> WordEncoder | CharacterEncoder | None:
        """Our engine with the file's rules, where it can follow them to the letter."""
        other = _added(self._file, False)
        if not all(self._is_found_plainly(token) for token in other):
            return None
        if other and any(token.get("normalized") for token in _added(self._file, True)):
            return None  # the library looks for both at once: a special one that it passes over hides what is in it
        model, cut = self._file["model"], self._file.get("pre_tokenizer")
        if model.get("type", "BPE") == "WordPiece":
            return _wordpiece(model, self._threads) if cut == {"type": "BertPreTokenizer"} else None
        is_bpe = model.get("type", "BPE") == "BPE" and "merges" in model
        if not is_bpe or any(model.get(name) for name in UNKNOWN_TO_US):
            return None
        unknown = model["vocab"].get(model.get("unk_token"))
        if unknown is not None and not model["merges"] and not model.get("fuse_unk") and is_character_rule(cut):
            return CharacterEncoder(model["vocab"], unknown)
        return _byte_level_bpe(model, cut, self._threads)

    def _is_found_plainly(self, token: dict[str, Any]) -> bool:
        """Whether an added token is found in normalized text, whatever is around it."""
        content: str = token["content"]
        looks_around = any(token.get(rule) for rule in AROUND)
        return bool(content and token.get("normalized")) and not looks_around and self._normalizer(content) == content


AROUND = ("lstrip", "rstrip", "single_word")  # what an added token may ask of the text around it
UNKNOWN_TO_US = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")


def _added(file: Any, special: bool) -> list[Any]:
    """The added tokens that are special, or those that are not."""
    return [token for token in file["added_tokens"] if token["special"] is special]


def _byte_level_bpe(model: dict[str, Any], cut: Any, threads: int) -> WordEncoder | None:
    split, vocab = split_of(cut), model["vocab"]
    if split is None or any(BYTE_CHARACTERS[byte] not in vocab for byte in UTF8_BYTES):
        return None
    byte_ids = np.array([vocab.get(character, -1) for character in BYTE_CHARACTERS], np.int32)
    return WordEncoder(Rules(byte_ids, pair_table(merge_ids(model["merges"], vocab))), split, threads)


def _wordpiece(model: dict[str, Any], threads: int) -> WordEncoder | None:
    vocab, mark, unknown = model["vocab"], model["continuing_subword_prefix"], model["unk_token"]
    has_doubles = len(set(vocab.values())) < len(vocab)
    if unknown not in vocab or has_doubles or not mark or model["max_input_chars_per_word"] != LONGEST_WORD:
        return None
    return WordEncoder(Rules(*token_trees(vocab, mark, unknown)), "bert", threads)


def _encode_by(library: tokenizers.Tokenizer, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Rows:
    """What the library makes of the rows."""
    texts = [text[begin:end].tobytes().decode() for begin, end in pairwise(offsets.tolist())]
    rows = [encoding.ids for encoding in library.encode_batch_fast(texts, add_special_tokens=False)]
    row_ends = np.cumsum([len(row) for row in rows], dtype=np.int64)  # (rows,)
    return np.fromiter(chain.from_iterable(rows), np.int32, int(row_ends[-1])), row_ends
