"""A trained BPE that goes on learning: every old id and merge stays as it is, new merges come after them.

Text is merged lowest rank first, so the old merges are applied to a word as ever, and the new ones to
what they leave: old text keeps its tokens but where a new merge joins two of them.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import merge_ids, merge_parts
from tezgah.tokenizer.bpe import byte_segments, train
from tezgah.tokenizer.bytelevel import BYTE_CHARACTERS, CHARACTER_BYTES, UTF8_BYTES
from tezgah.tokenizer.count import LONGEST_WORD, Words, count_texts, without
from tezgah.tokenizer.merge import Segments
from tezgah.tokenizer.normalize import Normalizer
from tezgah.tokenizer.patterns import split_of
from tezgah.tokenizer.texts import Chunk
from tezgah.tokenizer.word_ids import merge_words, pair_table

LONGEST_CHARACTERS = LONGEST_WORD // 4  # of a word counted through the library: a character has at most four bytes
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
    model = file["model"]
    _check(file)
    # The library gives an added token its stated id only where the vocabulary holds it, or ends right before it.
    added = {token["content"]: token["id"] for token in file.get("added_tokens", [])}
    vocab: dict[str, int] = model["vocab"] | added
    reserved = _reserved(file)
    alphabet = BYTES if _is_byte_level(file) else CHARACTERS
    words = _words(file, tokenizer_json, chunks, threads, alphabet)
    for name in reserved:  # a word that spells one would become it
        words = without(words, name.encode())
    size = max(vocab.values()) + 1
    limit = size + add
    if alphabet is CHARACTERS:
        for character in _new_characters(words, vocab)[:add]:
            vocab[character] = size
            size += 1
    tokens = [b""] * size
    for name, token_id in vocab.items():
        tokens[token_id] = alphabet.bytes_of(name) if name not in reserved else b""
    segments = _byte_ids(words, vocab) if alphabet is BYTES else _character_ids(words, vocab)
    merge_words(segments.ids, segments.words, pair_table(merge_ids(model["merges"], vocab)))
    grown = train(segments, tokens, limit)
    by_id = {token_id: name for name, token_id in vocab.items()}
    new = {token_id: alphabet.name_of(grown.tokens[token_id]) for token_id in range(size, len(grown.tokens))}
    model["vocab"] = vocab | {name: token_id for token_id, name in new.items()}
    by_id |= new
    pairs = [(by_id[left], by_id[right]) for left, right, _ in grown.merges.tolist()]
    model["merges"] = _written([*map(merge_parts, model["merges"]), *pairs], as_before=model["merges"])
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
        raise InputError(f"the base is no BPE but {model.get('type', 'unknown')}: only a BPE has merges to go on from.")
    if named := [name for name in NOT_EXTENDED if model.get(name)]:
        raise InputError(f"the base sets {named[0]}, which changes what merges mean. Take a base without it.")
    if file.get("pre_tokenizer") is None:
        raise InputError("the base does not cut text into words: new merges would grow over them. Take another base.")
    for merge in model["merges"]:
        left, right = merge_parts(merge)
        for name in (left, right, left + right):
            if name not in model["vocab"]:
                raise InputError(
                    f"the base merges {left!r} and {right!r}, but {name!r} is not in its vocabulary. Restore the file."
                )


def _is_byte_level(file: dict[str, Any]) -> bool:
    """Whether text is spelled with the characters of `bytelevel.py`, and the vocabulary has all that UTF-8 needs.

    One that lacks some is a base over these characters, and those that the texts need are added to it.
    """
    rules = [file.get("normalizer"), file.get("pre_tokenizer")]
    parts = [part for rule in rules if rule for part in (rule, *rule.get("pretokenizers", rule.get("normalizers", [])))]
    return any(part["type"] == "ByteLevel" for part in parts) and all(
        BYTE_CHARACTERS[byte] in file["model"]["vocab"] for byte in UTF8_BYTES
    )


def _reserved(file: dict[str, Any]) -> set[str]:
    """Names of tokens that stand for no text of their own: no merge makes one of them."""
    model = file["model"]
    names = {token["content"] for token in file.get("added_tokens", [])}
    if model.get("unk_token") is not None:
        names.add(model["unk_token"])
    if model.get("byte_fallback"):
        names |= {f"<0x{byte:02X}>" for byte in range(256)}
    return names


def _written(merges: list[tuple[str, str]], as_before: list[Any]) -> list[Any]:
    """Merges as the base writes them: older files have strings, which a token with a space in it does not allow."""
    as_text = bool(as_before) and isinstance(as_before[0], str)
    if as_text and not any(" " in part for merge in merges for part in merge):
        return [" ".join(merge) for merge in merges]
    return [list(merge) for merge in merges]


def _words(
    file: dict[str, Any], tokenizer_json: str, chunks: Iterable[Chunk], threads: int, alphabet: Alphabet
) -> Words:
    """Counted words, cut as the base cuts them."""
    split = split_of(file.get("pre_tokenizer"))
    if split is not None and alphabet is BYTES:
        return count_texts(Normalizer(file.get("normalizer")).chunks(chunks), split, threads)
    library = tokenizers.Tokenizer.from_str(tokenizer_json)
    counted: Counter[str] = Counter()
    for row in _rows(chunks, library):
        counted.update(piece for piece, _ in library.pre_tokenizer.pre_tokenize_str(row))
    shorter: Counter[bytes] = Counter()
    for piece, times in counted.items():
        for start in range(0, len(piece), LONGEST_CHARACTERS):
            shorter[alphabet.bytes_of(piece[start : start + LONGEST_CHARACTERS])] += times
    starts = np.cumsum([0, *map(len, shorter)], dtype=np.int64)
    counts = np.fromiter(shorter.values(), np.int64, len(shorter))
    return Words(np.frombuffer(b"".join(shorter), np.uint8), starts, counts)


def _rows(chunks: Iterable[Chunk], library: tokenizers.Tokenizer) -> Iterator[str]:
    """The texts, normalized as the base does it."""
    for text, ends in chunks:
        for begin, end in itertools.pairwise(ends):
            row = text[begin:end].tobytes().decode()
            yield library.normalizer.normalize_str(row) if library.normalizer else row


def _byte_ids(words: Words, vocab: dict[str, int]) -> Segments:
    return byte_segments(words, np.array([vocab.get(character, -1) for character in BYTE_CHARACTERS], np.int32))


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
