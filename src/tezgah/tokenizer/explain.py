"""What a tokenizer does to a text, step by step: normalize, cut, merge, finish.

Holds for any `tokenizer.json`; for a BPE it also tells every merge of every piece, in its order.
"""

import itertools
import json
from typing import Any

import msgspec
import tokenizers

from tezgah.tokenizer.artefact import merge_parts, parse
from tezgah.tokenizer.bytelevel import token_bytes


class Token(msgspec.Struct, frozen=True):
    """A token: its id, its name in the vocabulary, and its text, bytes that are no UTF-8 as \\xNN."""

    id: int
    name: str
    text: str


class Piece(msgspec.Struct, frozen=True):
    """A piece of the text between two cuts, and its tokens; `merges` begins with its symbols and adds a merge a row."""

    text: str
    tokens: tuple[Token, ...]
    merges: tuple[tuple[str, ...], ...] = ()


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
    library = tokenizers.Tokenizer.from_str(tokenizer_json)
    library.encode_special_tokens = True
    is_byte_level = parse(tokenizer_json).is_byte_level()

    def spelled(name: str) -> str:
        return visible(token_bytes(name) if is_byte_level else name.encode())

    def tokens(ids: list[int]) -> tuple[Token, ...]:
        named = [(each, library.id_to_token(each) or "") for each in ids]
        return tuple(Token(each, name, spelled(name)) for each, name in named)

    normalized = library.normalizer.normalize_str(text) if library.normalizer else text
    cut = library.pre_tokenizer.pre_tokenize_str(normalized) if library.pre_tokenizer else [(normalized, None)]
    ranks = _ranks(json.loads(tokenizer_json)["model"])
    pieces = []
    for piece, _ in cut:
        found = library.model.tokenize(piece)
        steps = _merges(piece, ranks) if ranks else []
        is_whole_story = steps and steps[-1] == [token.value for token in found]
        merges = tuple(tuple(map(spelled, step)) for step in steps) if is_whole_story else ()
        pieces.append(Piece(spelled(piece), tokens([token.id for token in found]), merges))
    return Explanation(text, normalized, tuple(pieces), tokens(library.encode(text).ids))


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


def _ranks(model: dict[str, Any]) -> dict[tuple[str, str], int]:
    """The merges of a BPE by their order; none for other models."""
    if model.get("ignore_merges") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return {}
    return {merge_parts(merge): rank for rank, merge in enumerate(model.get("merges", []))}


def _merges(piece: str, ranks: dict[tuple[str, str], int]) -> list[list[str]]:
    """The symbols of a piece, and what each merge makes of them: lowest rank first, leftmost of equals."""
    steps = [list(piece)]
    while True:
        symbols = steps[-1]
        pairs = list(itertools.pairwise(symbols))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)), default=None)
        if best not in ranks:
            return steps
        place = pairs.index(best)
        steps.append([*symbols[:place], "".join(best), *symbols[place + 2 :]])
