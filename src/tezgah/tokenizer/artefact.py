"""The file a tokenizer is: `tokenizer.json`, made here or read from what others left.

Its text alone decides every id, so its SHA-256 names the tokenizer. What would change ids
behind the user's back (truncation, padding, random dropout of merges) is taken out on reading.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.files import read_json
from tezgah.tokenizer.patterns import pre_tokenizer
from tezgah.tokenizer.settings import Split

SEPARATOR = "<|endoftext|>"
COMMON_SEPARATORS = (SEPARATOR, "</s>", "[SEP]")
HOLES = 1 << 20  # ids without a token that a vocabulary may have, and as many again as it has tokens
HEAD_BYTES = 4_096  # of a .json file: `tokenizers` writes version, truncation, padding, added_tokens first
BYTE_LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
WORD_END, WORD_END_UNKNOWN = "</w>", "<unk>"  # of the first GPT
UNKNOWN = "<|unknown|>"  # of our vocabularies of characters
ROLES = (
    ("unk_token", UNKNOWN),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
)
VOCABULARY_AND_MERGES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))


class Artefact(NamedTuple):
    """The text of a `tokenizer.json`, and the token that stands between documents, where it has one."""

    text: str
    separator: str | None


class AddedToken(msgspec.Struct, frozen=True):
    """A token found in raw text before the model sees it; a special one never is, by us."""

    id: int
    content: str
    special: bool = False


class Model(msgspec.Struct, frozen=True):
    """The entries of a vocabulary, with their ids or in their order with scores (Unigram), and how they are written."""

    vocab: dict[str, int] | list[tuple[str, float]]
    unk_token: str | None = None  # what becomes of text that no entry covers
    unk_id: int | None = None  # the same in a Unigram
    byte_fallback: bool | None = False  # such text becomes <0xNN>, one a byte, where the vocabulary has these
    continuing_subword_prefix: str | None = None  # of an entry that begins inside a word
    end_of_word_suffix: str | None = None


class File(msgspec.Struct, frozen=True):
    """What we look up in a `tokenizer.json`; the engine reads the rest."""

    model: Model
    added_tokens: list[AddedToken] = []
    decoder: dict[str, Any] | None = None

    def ids(self) -> dict[str, int]:
        """Every token with its id."""
        vocab = self.model.vocab
        ids = dict(vocab) if isinstance(vocab, dict) else {token: rank for rank, (token, _) in enumerate(vocab)}
        return ids | {token.content: token.id for token in self.added_tokens}

    def unknown_id(self) -> int | None:
        """The id of text that no entry covers; None where there is none."""
        return self.model.unk_id if self.model.unk_token is None else self.ids().get(self.model.unk_token)

    def is_byte_level(self) -> bool:
        """Whether the strings of the vocabulary stand for bytes, as in `bytelevel.py`."""
        decoder = self.decoder or {}
        return "ByteLevel" in [part.get("type") for part in (decoder, *decoder.get("decoders", ()))]


def byte_level_bpe(
    vocab: dict[str, int],
    merges: list[tuple[str, str]],
    split: Split,
    separator: str | None,
    normalizer: dict[str, Any] | None = None,
) -> str:
    """The text of the `tokenizer.json` of a byte-level BPE."""
    return tokenizer_json(
        model=bpe_model(vocab, merges),
        special={} if separator is None else {separator: vocab[separator]},
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer(split),
        decoder=BYTE_LEVEL_DECODER,
    )


def word_end_bpe(vocab: dict[str, int], merges: list[tuple[str, str]], separator: str | None) -> str:
    """The text of the `tokenizer.json` of the first GPT: lower-cased characters, `</w>` in a word's last token."""
    special = [name for name in (WORD_END_UNKNOWN, separator) if name is not None and name in vocab]
    unknown = WORD_END_UNKNOWN if WORD_END_UNKNOWN in vocab else None
    return tokenizer_json(
        model=bpe_model(vocab, merges, unknown) | {"continuing_subword_prefix": "", "end_of_word_suffix": WORD_END},
        special={name: vocab[name] for name in special},
        normalizer={
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        pre_tokenizer={"type": "BertPreTokenizer"},
        decoder={"type": "BPEDecoder", "suffix": WORD_END},
    )


def bpe_model(vocab: dict[str, int], merges: list[tuple[str, str]], unknown: str | None = None) -> dict[str, Any]:
    """The `model` entry of a BPE, its vocabulary by id."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": dict(sorted(vocab.items(), key=lambda entry: entry[1])),
        "merges": [list(merge) for merge in merges],
    }


def tokenizer_json(
    model: dict[str, Any],
    special: dict[str, int],
    normalizer: dict[str, Any] | None,
    pre_tokenizer: dict[str, Any],
    decoder: dict[str, Any],
    post_processor: dict[str, Any] | None = None,
) -> str:
    """The text of a `tokenizer.json` of these parts and special tokens."""
    return _text(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [_special(token_id, content) for content, token_id in special.items()],
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor,
            "decoder": decoder,
            "model": model,
        }
    )


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


def parse(text: str) -> File:
    """The looked-up parts of a `tokenizer.json` that was read before."""
    return msgspec.json.decode(text, type=File)


def roles(text: str) -> dict[str, str]:
    """The special tokens of a `tokenizer.json` that have BERT's names or are the unknown one, by their role."""
    special = [token.content for token in parse(text).added_tokens if token.special]
    return {role: name for role, name in ROLES if name in special}


def merge_parts(merge: Any) -> tuple[str, str]:
    """The two parts of a merge in a `tokenizer.json`; older files write them as one string."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def merge_ids(merges: list[Any], vocab: dict[str, int]) -> NDArray[np.int32]:
    """Merges as the ids of left, right and both, (merges, 3)."""
    pairs = [merge_parts(merge) for merge in merges]
    rows = [(vocab[left], vocab[right], vocab[left + right]) for left, right in pairs]
    return np.array(rows, np.int32).reshape(-1, 3)


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
    return Artefact(_text(changed), separator)


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
        special = _special(file.ids()[separator], separator)
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


def _special(token_id: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": content, **flags, "special": True}


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
