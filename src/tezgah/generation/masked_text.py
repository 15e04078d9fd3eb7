"""Texts with masks in them: `[MASK]`, `[MASK:3]` for three tokens, `[MASK*]` for as many as fit best."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import parse
from tezgah.tokenizer.mask import frame, mask_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tezgah.tokenizer.tokenizer import Tokenizer

MARK = re.compile(r"\[MASK(?::(\d{1,12})|(\*))?\]")


@dataclass(frozen=True)
class MaskedText:
    """A text cut at its masks: `texts[0]`, the first blank, `texts[1]`, …; a length is None where it is to be found."""

    texts: tuple[str, ...]
    lengths: tuple[int | None, ...]


def read_masked(text: str) -> MaskedText:
    """A text as a user writes it; masks with nothing between them are one blank.

    Raises InputError for a text without a mask, or with one of no tokens.

    >>> read_masked("a [MASK:2] b [MASK][MASK].")
    MaskedText(texts=('a ', ' b ', '.'), lengths=(2, 2))
    """
    texts, lengths, end = [""], list[int | None](), 0
    for mark in MARK.finditer(text):
        length = None if mark[2] else int(mark[1] or 1)
        if length == 0:
            raise InputError(f"{mark[0]}: a mask stands for one token or more. Write [MASK:1] or more.")
        texts[-1] += text[end : mark.start()]
        if lengths and not texts[-1] and length is not None and lengths[-1] is not None:
            lengths[-1] += length
        else:
            lengths.append(length)
            texts.append("")
        end = mark.end()
    texts[-1] += text[end:]
    if not lengths:
        shown = text if len(text) <= 40 else text[:39] + "…"
        raise InputError(
            f"{shown!r} has no [MASK]. Put [MASK], [MASK:3] or [MASK*] where something is to be filled in."
        )
    return MaskedText(tuple(texts), tuple(lengths))


class Codec:
    """Masked texts to ids and back, as the tokenizer's own files say that a model reads them.

    Raises InputError for a tokenizer without [MASK].
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.mask = mask_token(tokenizer)
        self.before, self.after = frame(tokenizer)
        file = parse(tokenizer.json)
        self._inside = file.model.continuing_subword_prefix or ""

    def pieces(self, masked: MaskedText) -> list[list[int]]:
        """The ids of the texts between the blanks, without the white space that belongs to [MASK]."""
        last, found = len(masked.texts) - 1, []
        for number, text in enumerate(masked.texts):
            if number < last and self.mask.lstrip:
                text = text.rstrip()
            if number and self.mask.rstrip:
                text = text.lstrip()
            found.append(self.tokenizer.encode(text).tolist())
        return found

    def joined(self, pieces: "Sequence[list[int]]", lengths: "Sequence[int]") -> tuple[list[int], list[int]]:
        """The ids that a model reads, and the places of the masks in them."""
        ids, places = [*self.before, *pieces[0]], list[int]()
        for piece, length in zip(pieces[1:], lengths, strict=True):
            places += range(len(ids), len(ids) + length)
            ids += [self.mask.id] * length
            ids += piece
        return ids + self.after, places

    def filled(self, masked: MaskedText, blanks: "Sequence[list[int]]") -> tuple[str, tuple[str, ...]]:
        """The text with its blanks filled in, all else as it was, and what each blank became.

        A blank's first space is dropped where one stands before it already, or nothing does.
        """
        text, fills = masked.texts[0], []
        for ids, after in zip(blanks, masked.texts[1:], strict=True):
            fill = self.tokenizer.decode(ids).removeprefix(self._inside)
            if not text or text[-1].isspace():
                fill = fill.removeprefix(" ")
            fills.append(fill)
            text += fill + after
        return text, tuple(fills)
