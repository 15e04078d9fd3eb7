"""The file a tokenizer is: `tokenizer.json`, what it says and how it is made.

Its text alone decides every id, so its SHA-256 names the tokenizer.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.patterns import pre_tokenizer
from tezgah.tokenizer.settings import Split

SEPARATOR = "<|endoftext|>"
BYTE_LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
WORD_END, WORD_END_UNKNOWN = "</w>", "<unk>"  # of the first GPT
UNKNOWN = "<|unknown|>"  # of our vocabularies of characters
PAD, MASK = "[PAD]", "[MASK]"
INFILL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")  # before the three parts of a text (infill.py)
NEVER = -1e6  # log-probability of a special token in a Unigram: bytes by themselves are likelier, so no text spells it
ROLES = (
    ("unk_token", UNKNOWN),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
)


class Artefact(NamedTuple):
    """The text of a `tokenizer.json`, and the token that stands between documents, where it has one."""

    text: str
    separator: str | None


class AddedToken(msgspec.Struct, frozen=True):
    """A token found in raw text before the model sees it; a special one never is, by us."""

    id: int
    content: str
    special: bool = False
    lstrip: bool = False  # it takes the white space before it
    rstrip: bool = False


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
    return as_text(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [special_token(token_id, content) for content, token_id in special.items()],
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor,
            "decoder": decoder,
            "model": model,
        }
    )


def with_mask(artefact: Artefact) -> Artefact:
    """The tokenizer with [PAD] and [MASK] behind all its ids, and its separator before and after a text.

    So a text is framed as a document is in the token shards. White space before [MASK] belongs to the token that it
    stands for, as in ModernBERT's tokenizer: a token of a byte-level vocabulary holds the space before its word.
    Raises InputError where the vocabulary has learned one of the two from the texts.
    """
    separator = artefact.separator
    assert separator is not None
    file = json.loads(with_special(artefact, (PAD, MASK)).text)
    file["added_tokens"][-1]["lstrip"] = True
    file["post_processor"] = _framed(separator, parse(artefact.text).ids()[separator])
    return Artefact(as_text(file), separator)


def with_special(artefact: Artefact, names: Iterable[str]) -> Artefact:
    """The tokenizer with these special tokens behind all its ids; no text spells them.

    Raises InputError where the vocabulary has learned one of them from the texts.
    """
    file, ids = json.loads(artefact.text), parse(artefact.text).ids()
    for token_id, name in enumerate(names, max(ids.values()) + 1):
        if name in ids:
            raise InputError(f"the training texts spell {name!r} so often that it was learned. Take it out of them.")
        vocab = file["model"]["vocab"]
        vocab.update({name: token_id}) if isinstance(vocab, dict) else vocab.append([name, NEVER])
        file["added_tokens"].append(special_token(token_id, name))
    return Artefact(as_text(file), artefact.separator)


def _framed(separator: str, separator_id: int) -> dict[str, Any]:
    """The `post_processor` that sets the separator before and after a text, and between two."""
    first, between, last = ({"SpecialToken": {"id": separator, "type_id": kind}} for kind in (0, 0, 1))
    a, b = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [first, a, between],
        "pair": [first, a, between, b, last],
        "special_tokens": {separator: {"id": separator, "ids": [separator_id], "tokens": [separator]}},
    }


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


def special_token(token_id: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": content, **flags, "special": True}


def as_text(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"
