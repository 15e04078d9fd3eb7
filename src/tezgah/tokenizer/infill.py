"""What filling in the middle asks of a tokenizer: the tokens before what stands before, behind and in a gap."""

from typing import NamedTuple

from tezgah.tokenizer.artefact import INFILL, parse
from tezgah.tokenizer.tokenizer import Tokenizer

NAMES = (INFILL, ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"))  # ours and Qwen's, and StarCoder's


class InfillTokens(NamedTuple):
    """The ids before the three parts of a text."""

    prefix: int
    suffix: int
    middle: int


def infill_tokens(tokenizer: Tokenizer) -> InfillTokens | None:
    """Those of a tokenizer; None where it has not all three."""
    ids = parse(tokenizer.json).ids()
    for names in NAMES:
        if all(name in ids for name in names):
            return InfillTokens(*(ids[name] for name in names))
    return None
