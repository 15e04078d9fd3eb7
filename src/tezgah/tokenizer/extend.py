"""A trained BPE that goes on learning: every old id and merge stays as it is, new merges come after them.

Text is merged lowest rank first, so the old merges are applied to a word as ever, and the new ones to
what they leave: old text keeps its tokens but where a new merge joins two of them.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import merge_ids, merge_parts
from tezgah.tokenizer.bpe import byte_segments, train
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS, CHARACTER_BYTES
from tezgah.tokenizer.count import Words, count_texts, without
from tezgah.tokenizer.encode import merge_words, pair_table
from tezgah.tokenizer.merge import Segments
from tezgah.tokenizer.normalize import Normalizer
from tezgah.tokenizer.patterns import split_of

Chunk = tuple[NDArray[np.uint8], NDArray[np.int64]]
NOT_EXTENDED = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")


class Alphabet(NamedTuple):
    """How a vocabulary spells: what bytes a token stands for, and what a token of these bytes is called."""

    bytes_of: Callable[[str], bytes]  # empty for an entry that no merge can make
    name_of: Callable[[bytes], str]


def extend(tokenizer_json: str, chunks: Iterable[Chunk], add: int, threads: int) -> str:
    """The text of a `tokenizer.json` with up to `add` tokens more, learned from the texts.

    The base is a BPE over bytes, or over characters; characters that such a base does not know become
    tokens first, the most frequent before others. Raises InputError where the base cannot be extended.
    """
    file = json.loads(tokenizer_json)
    model, added = file["model"], {token["content"]: token["id"] for token in file.get("added_tokens", [])}
    _check(file)
    is_byte_level = all(character in model["vocab"] for character in BYTE_CHARACTERS)
    alphabet = BYTES if is_byte_level else CHARACTERS
    words = _words(file, tokenizer_json, chunks, threads, is_byte_level)
    for content in added:
        words = without(words, content.encode())  # a word that spells an added token would become one
    vocab: dict[str, int] = dict(model["vocab"])
    size = max([*vocab.values(), *added.values()]) + 1
    if not is_byte_level:
        for character in _new_characters(words, vocab)[:add]:
            vocab[character] = size
            size, add = size + 1, add - 1
    tokens = [b""] * size
    for name, token_id in vocab.items():
        tokens[token_id] = alphabet.bytes_of(name) if name not in added else b""
    segments = _byte_ids(words, vocab) if is_byte_level else _character_ids(words, vocab)
    merges = merge_ids(model["merges"], vocab)
    merge_words(segments.ids, segments.words, pair_table(merges))
    grown = train(segments, tokens, size + add)
    names = {token_id: alphabet.name_of(grown.tokens[token_id]) for token_id in range(size, len(grown.tokens))}
    by_id = {token_id: name for name, token_id in vocab.items()} | names
    model["vocab"] = vocab | {name: token_id for token_id, name in names.items()}
    pairs = [[by_id[left], by_id[right]] for left, right, _ in grown.merges.tolist()]
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)  # as the base writes them
    model["merges"] = model["merges"] + ([" ".join(pair) for pair in pairs] if as_text else pairs)
    return json.dumps(file, ensure_ascii=False, indent=2) + "\n"


BYTES = Alphabet(
    lambda name: (
        bytes(CHARACTER_BYTES[each] for each in name) if all(each in CHARACTER_BYTES for each in name) else b""
    ),
    lambda token: "".join(BYTE_CHARACTERS[byte] for byte in token),
)
CHARACTERS = Alphabet(str.encode, bytes.decode)


def _check(file: dict[str, Any]) -> None:
    """Refuse a base whose ids new merges would change, or cannot follow."""
    model = file["model"]
    if model.get("type", "BPE") != "BPE" or "merges" not in model:
        raise InputError(f"the base is no BPE but {model.get('type')}: only a BPE has merges to go on from.")
    if named := [name for name in NOT_EXTENDED if model.get(name)]:
        raise InputError(f"the base sets {named[0]}, which changes what merges mean. Take a base without it.")
    if file["pre_tokenizer"] is None:
        raise InputError("the base does not cut text into words: new merges would grow over them. Take another base.")
    ids = Counter([*model["vocab"].values()])
    if twice := [token_id for token_id, times in ids.items() if times > 1]:
        raise InputError(f"the base gives the id {twice[0]} to two tokens. Restore the file.")
    for merge in model["merges"]:
        left, right = merge_parts(merge)
        for name in (left, right, left + right):
            if name not in model["vocab"]:
                raise InputError(f"the base merges {left!r} and {right!r}, but {name!r} is not in its vocabulary.")


def _words(file: dict[str, Any], tokenizer_json: str, chunks: Iterable[Chunk], threads: int, as_bytes: bool) -> Words:
    """Counted words, cut as the base cuts them."""
    split = split_of(file["pre_tokenizer"])
    if split is not None:
        return count_texts(Normalizer(file.get("normalizer")).chunks(chunks), split, threads)
    library = tokenizers.Tokenizer.from_str(tokenizer_json)
    counted: Counter[str] = Counter()
    for text, ends in chunks:
        for begin, end in itertools.pairwise(ends):
            row = text[begin:end].tobytes().decode()
            if library.normalizer is not None:
                row = library.normalizer.normalize_str(row)
            counted.update(piece for piece, _ in library.pre_tokenizer.pre_tokenize_str(row))
    encode = BYTES.bytes_of if as_bytes else str.encode
    encoded = [encode(piece) for piece in counted]
    starts = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    counts = np.fromiter(counted.values(), np.int64, len(counted))
    return Words(np.frombuffer(b"".join(encoded), np.uint8), starts, counts)


def _byte_ids(words: Words, vocab: dict[str, int]) -> Segments:
    return byte_segments(words, np.array([vocab[character] for character in BYTE_CHARACTERS], np.int32))


def _character_ids(words: Words, vocab: dict[str, int]) -> Segments:
    """Words as ids of their characters; one without an id ends what can be merged, and is left out."""
    ids: list[int] = []
    rows: list[tuple[int, int, int]] = []
    arena, starts = words.arena.tobytes(), words.starts.tolist()
    for begin, end, times in zip(starts, starts[1:], words.counts.tolist(), strict=False):
        start = len(ids)
        for character in arena[begin:end].decode():
            if character in vocab:
                ids.append(vocab[character])
            elif len(ids) > start:
                rows.append((start, len(ids) - start, times))
                start = len(ids)
        rows.append((start, len(ids) - start, times))
    return Segments(np.array(ids, np.int32), np.array(rows, np.int64).reshape(-1, 3))


def _new_characters(words: Words, vocab: dict[str, int]) -> list[str]:
    """Characters of the words that the vocabulary lacks, the most frequent first, ties by code point."""
    counted: Counter[str] = Counter()
    arena, starts = words.arena.tobytes(), words.starts.tolist()
    for begin, end, times in zip(starts, starts[1:], words.counts.tolist(), strict=False):
        for character in arena[begin:end].decode():
            counted[character] += times
    new = [character for character, times in counted.items() if character not in vocab and times]
    return sorted(new, key=lambda character: (-counted[character], character))
