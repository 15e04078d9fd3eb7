"""What a tokenizer does to a text, step by step: normalize, cut, merge, finish.

Holds for any `tokenizer.json`; for a BPE it also tells every merge of every piece, in its order.
"""

import json
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import msgspec
import tokenizers

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import File, merge_parts, parse
from tezgah.tokenizer.bytelevel import token_bytes

LONGEST_TOLD = 200  # characters; the merges of a longer piece fill pages


class Token(msgspec.Struct, frozen=True):
    """A token: its id, its name in the vocabulary, and its text, bytes that are no UTF-8 as \\xNN."""

    id: int
    name: str
    text: str
    is_unknown: bool = False  # stands for text that the vocabulary cannot spell


class Piece(msgspec.Struct, frozen=True):
    """A piece of the text between two cuts, and its tokens; `merges` begins with its symbols and adds a merge a row."""

    text: str
    tokens: tuple[Token, ...]
    merges: tuple[tuple[str, ...], ...] = ()
    is_added: bool = False  # an added token, found in the text before anything is cut


class Explanation(msgspec.Struct, frozen=True):
    """The four steps: the text normalized, its pieces, their tokens, and the tokens the post-processor leaves."""

    text: str
    normalized: str
    pieces: tuple[Piece, ...]
    processed: tuple[Token, ...]


def explain(tokenizer_json: str, text: str) -> Explanation:
    """Every step from `text` to ids. Special tokens are not looked for in the text.

    >>> from tezgah.tokenizer.tokenizer import Tokenizer
    >>> tokenizer = Tokenizer.train(["Mert Mert Mert"], vocab_size=260)
    >>> explain(tokenizer.json, "Mert").pieces[0].merges
    (('M', 'e', 'r', 't'), ('Me', 'r', 't'), ('Me', 'rt'), ('Mert',))
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text!a}: not valid Unicode text. Write it in UTF-8.") from None
    steps = _Steps(tokenizer_json)
    return Explanation(text, steps.normalized(text), tuple(steps.pieces(text)), steps.processed(text))


class _Steps:
    """The parts of a tokenizer, one after the other."""

    def __init__(self, tokenizer_json: str) -> None:
        whole = json.loads(tokenizer_json)
        self.file: File = parse(tokenizer_json)
        self.library = _without_specials(tokenizer_json)
        self.bare = _without_specials(json.dumps(whole | {"post_processor": None}))  # which may move offsets
        self.bpe = _Bpe(whole["model"]) if whole["model"].get("merges") else None
        self.unknown_id = self.file.unknown_id()
        self.added = {token.id for token in self.file.added_tokens}
        special = {token.id for token in self.file.added_tokens if token.special}
        self.found = self.added - special - {self.unknown_id}  # in a text

    def normalized(self, text: str) -> str:
        normalizer = self.library.normalizer
        return str(normalizer.normalize_str(text)) if normalizer else text

    def pieces(self, text: str) -> Iterator[Piece]:
        """The pieces of a text, added tokens found first; as a whole they have the ids that the library gives."""
        encoding = self.bare.encode(text)
        pieces = list(self._cut(text, encoding))
        if [token.id for piece in pieces for token in piece.tokens] == encoding.ids:
            return iter(pieces)
        return self._grouped(text, encoding)  # a rule that treats the beginning of a text as no other place

    def processed(self, text: str) -> tuple[Token, ...]:
        return self._tokens(self.library.encode(text).ids)

    def _cut(self, text: str, encoding: tokenizers.Encoding) -> Iterator[Piece]:
        done = 0
        for token_id, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id in self.found:
                yield from self._cut_between(text[done:begin])
                yield Piece(visible(text[begin:end].encode()), self._tokens([token_id]), is_added=True)
                done = end
        yield from self._cut_between(text[done:])

    def _cut_between(self, text: str) -> Iterator[Piece]:
        """The pieces of a text that holds no added token."""
        cutter, normalized = self.library.pre_tokenizer, self.normalized(text)
        cut = [piece for piece, _ in cutter.pre_tokenize_str(normalized)] if cutter else [normalized]
        for piece in filter(None, cut):
            found = self.library.model.tokenize(piece)
            steps = self.bpe.steps(piece) if self.bpe else [[]]
            is_whole_story = bool(found) and steps[-1] == [token.value for token in found]
            merges = tuple(tuple(map(self._spelled, step)) for step in steps) if is_whole_story else ()
            yield Piece(self._spelled(piece), self._tokens([token.id for token in found]), merges)

    def _grouped(self, text: str, encoding: tokenizers.Encoding) -> Iterator[Piece]:
        """Pieces as the library numbers them, spelled as in the text."""
        tokens = zip(encoding.word_ids, encoding.ids, encoding.offsets, strict=True)
        for _, group in groupby(tokens, key=lambda token: token[0]):
            _, ids, offsets = zip(*group, strict=True)
            is_added = len(ids) == 1 and ids[0] in self.found
            yield Piece(visible(text[offsets[0][0] : offsets[-1][1]].encode()), self._tokens(ids), (), is_added)

    def _tokens(self, ids: "list[int] | tuple[int, ...]") -> tuple[Token, ...]:
        named = [(each, self.library.id_to_token(each) or "") for each in ids]
        return tuple(
            Token(
                each,
                name,
                visible(name.encode()) if each in self.added else self._spelled(name),
                each == self.unknown_id,
            )
            for each, name in named
        )

    def _spelled(self, name: str) -> str:
        return visible(token_bytes(name) if self.file.is_byte_level() else name.encode())


class _Bpe:
    """The merges of a BPE by their rank, and how it writes a piece before any of them."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.ranks = {merge_parts(merge): rank for rank, merge in enumerate(model["merges"])}
        self.vocab: dict[str, int] = model["vocab"]
        self.prefix: str = model.get("continuing_subword_prefix") or ""
        self.suffix: str = model.get("end_of_word_suffix") or ""
        self.unknown: str | None = model.get("unk_token")
        self.falls_back, self.fuses = bool(model.get("byte_fallback")), bool(model.get("fuse_unk"))
        self.takes_whole = bool(model.get("ignore_merges"))

    def steps(self, piece: str) -> list[list[str]]:
        """The symbols of a piece, and what each merge makes of them: lowest rank first, leftmost of equals."""
        if self.takes_whole and piece in self.vocab:
            return [[piece]]
        if len(piece) > LONGEST_TOLD:
            return [[]]
        steps = [self._symbols(piece)]
        while True:
            symbols = steps[-1]
            pairs = list(pairwise(symbols))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)), default=None)
            if best not in self.ranks:
                return steps
            place = pairs.index(best)
            merged = best[0] + best[1].removeprefix(self.prefix)
            steps.append([*symbols[:place], merged, *symbols[place + 2 :]])

    def _symbols(self, piece: str) -> list[str]:
        """The characters of a piece; what the vocabulary lacks as its bytes, or as the unknown token."""
        symbols: list[str] = []
        for place, character in enumerate(piece):
            name = (self.prefix if place else "") + character + (self.suffix if place == len(piece) - 1 else "")
            as_bytes = [f"<0x{byte:02X}>" for byte in name.encode()]
            if name in self.vocab:
                symbols.append(name)
            elif self.falls_back and all(byte in self.vocab for byte in as_bytes):
                symbols += as_bytes
            elif self.unknown is not None and not (self.fuses and symbols[-1:] == [self.unknown]):
                symbols.append(self.unknown)
        return symbols


def _without_specials(tokenizer_json: str) -> tokenizers.Tokenizer:
    """The library's tokenizer, which reads special tokens in a text as the text that they are."""
    library = tokenizers.Tokenizer.from_str(tokenizer_json)
    library.encode_special_tokens = True
    return library


def visible(token: bytes) -> str:
    """Bytes as text to look at: a space is ␣, what does not print is escaped.

    >>> visible(" köy\\n".encode()), visible("ğ".encode()[:1])
    ('␣köy\\\\n', '\\\\xc4')
    """
    text = token.decode(errors="backslashreplace")
    return "".join(
        "␣" if character == " " else character if character.isprintable() else repr(character)[1:-1]
        for character in text
    )
