"""Tokenizers that others left: a `tokenizer.json`, or the two files of the first GPTs.

What would change ids behind the user's back (truncation, padding, random dropout of merges) is taken out.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tezgah.errors import InputError
from tezgah.files import read_json
from tezgah.tokenizer.artefact import (
    SEPARATOR,
    WORD_END,
    Artefact,
    File,
    as_text,
    byte_level_bpe,
    special_token,
    word_end_bpe,
)

COMMON_SEPARATORS = (SEPARATOR, "</s>", "[SEP]")
HOLES = 1 << 20  # ids without a token that a vocabulary may have, and as many again as it has tokens
HEAD_BYTES = 4_096  # of a .json file: `tokenizers` writes version, truncation, padding, added_tokens first
VOCABULARY_AND_MERGES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))


def read_artefact(path: Path) -> Artefact:
    """The tokenizer at `path`: a `tokenizer.json`, a folder with it, or with GPT-2's two files.

    Raises InputError when it is missing or damaged.
    """
    if not os.path.isdir(path):  # unlike Path.is_dir, no error for a name that cannot be one
        return _read_tokenizer_json(path, path.parent)
    if (path / "tokenizer.json").exists():
        return _read_tokenizer_json(path / "tokenizer.json", path)
    for vocabulary, merges in VOCABULARY_AND_MERGES:
        if (path / vocabulary).exists() or (path / merges).exists():
            return _read_vocabulary_and_merges(path / vocabulary, path / merges)
    raise InputError(
        f"{path}: holds no tokenizer. Give a folder with tokenizer.json, or with encoder.json and vocab.bpe."
    )


def holds_tokenizer(path: Path) -> bool:
    """Whether `path` is meant as a tokenizer: a `tokenizer.json`, by its name or its first keys, or a folder of one.

    What it holds may still be damaged; `read_artefact` says so.
    """
    if os.path.isdir(path):
        named = ("tokenizer.json", *(name for pair in VOCABULARY_AND_MERGES for name in pair))
        return any((path / name).exists() for name in named)
    if path.name == "tokenizer.json" or path.suffix != ".json" or not os.path.isfile(path):
        return path.name == "tokenizer.json"
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False  # whoever reads it as data says why it cannot be
    return head.lstrip().startswith(b"{") and (b'"added_tokens"' in head or b'"truncation"' in head)


def _read_tokenizer_json(path: Path, folder: Path) -> Artefact:
    data = read_json(path)
    try:
        file = msgspec.convert(data, File)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not a tokenizer.json ({error}). Restore the file, or train it anew.") from error
    _check_ids(file, path)
    separator = _separator(file.ids(), folder)
    changed = _made_exact(data, file, separator)
    with suppress(UnicodeDecodeError):  # JSON may be UTF-16 too
        if changed == data:
            return Artefact(path.read_bytes().decode(), separator)
    return Artefact(as_text(changed), separator)


def _check_ids(file: File, path: Path) -> None:
    """Refuse a token with two ids, and an id with two tokens: encoding and decoding would disagree."""
    vocab = file.model.vocab
    ids = dict(vocab) if isinstance(vocab, dict) else {}
    pairs = [*ids.items(), *((token.content, token.id) for token in file.added_tokens)]
    holders: dict[int, str] = {}
    mend = "Restore the file, or train it anew."
    for content, token_id in pairs:
        if not 0 <= token_id < 2 * len(pairs) + HOLES:
            raise InputError(f"{path}: {content!r} has the id {token_id:,} in a vocabulary of {len(pairs):,}. {mend}")
        if ids.setdefault(content, token_id) != token_id:
            raise InputError(f"{path}: {content!r} has two ids, {ids[content]:,} and {token_id:,}. {mend}")
        if holders.setdefault(token_id, content) != content:
            raise InputError(f"{path}: {holders[token_id]!r} and {content!r} have the same id, {token_id:,}. {mend}")


def _made_exact(data: dict[str, Any], file: File, separator: str | None) -> dict[str, Any]:
    """The file without what changes ids at random or by length, and with its separator special."""
    added = [token for token in data.get("added_tokens", []) if token["content"] != separator or token.get("special")]
    if separator is not None and all(token["content"] != separator for token in added):
        special = special_token(file.ids()[separator], separator)
        added = sorted([*added, special], key=lambda token: int(token["id"]))
    model = data["model"] | ({"dropout": None} if "dropout" in data["model"] else {})
    return data | {"truncation": None, "padding": None, "added_tokens": added, "model": model}


def _separator(ids: dict[str, int], folder: Path) -> str | None:
    """The end-of-text token that `tokenizer_config.json` names, else the first usual name in the vocabulary."""
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path) if config_path.exists() else {}
    named = config.get("eos_token") if isinstance(config, dict) else None
    if isinstance(named, dict):
        named = named.get("content")
    return next((name for name in (named, *COMMON_SEPARATORS) if isinstance(name, str) and name in ids), None)


def _read_vocabulary_and_merges(vocabulary: Path, merges: Path) -> Artefact:
    """GPT-2's own two files, or the first GPT's: a JSON map from token to id, and one merge a line."""
    try:
        vocab = msgspec.convert(read_json(vocabulary), dict[str, int])
    except msgspec.ValidationError as error:
        raise InputError(f"{vocabulary}: not a map from token to id ({error}). Restore the file.") from error
    separator = _separator(vocab, vocabulary.parent)
    read = _read_merges(merges, vocab)
    if any(name.endswith(WORD_END) for name in vocab):
        return Artefact(word_end_bpe(vocab, read, separator), separator)
    return Artefact(byte_level_bpe(vocab, read, "gpt2", separator), separator)


def _read_merges(path: Path, vocab: dict[str, int]) -> list[tuple[str, str]]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). It belongs beside the vocabulary.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}). Restore the file.") from error
    merges = []
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.rstrip("\r").partition(" ")
        for token in (left, right, left + right):
            if token not in vocab:
                raise InputError(f"{path}: line {number:,}: {token!r} is not in the vocabulary. Restore both files.")
        merges.append((left, right))
    return merges
