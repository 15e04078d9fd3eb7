"""What a masked language model asks of a tokenizer: its [MASK], its special tokens, what frames a text."""

from typing import NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tezgah.errors import InputError
from tezgah.tokenizer.artefact import MASK, parse
from tezgah.tokenizer.tokenizer import Tokenizer

MASK_NAMES = (MASK, "<mask>")


class MaskToken(NamedTuple):
    """The token that stands for another, and whether it takes the white space around it."""

    id: int
    lstrip: bool
    rstrip: bool


def mask_token(tokenizer: Tokenizer) -> MaskToken:
    """The [MASK] of a tokenizer. Raises InputError where it has none."""
    for token in parse(tokenizer.json).added_tokens:
        if token.special and token.content in MASK_NAMES:
            return MaskToken(token.id, token.lstrip, token.rstrip)
    raise InputError(
        "the tokenizer has no [MASK]. Train one with [tokenizer] mask = true (`tezgah tokenizer train --mask`)."
    )


def special_ids(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Which ids are no text: special tokens, and the unknown one, (vocab,)."""
    file = parse(tokenizer.json)
    found = np.zeros(tokenizer.vocab_size, bool)
    found[[token.id for token in file.added_tokens if token.special]] = True
    unknown = file.unknown_id()
    if unknown is not None:
        found[unknown] = True
    return found


def frame(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that its `tokenizer.json` sets before and after a text that a model is to read."""
    found = tokenizers.Tokenizer.from_str(tokenizer.json).encode("a")
    inside = [place for place, is_added in enumerate(found.special_tokens_mask) if not is_added]
    if not inside:
        return found.ids, []
    return found.ids[: inside[0]], found.ids[inside[-1] + 1 :]
