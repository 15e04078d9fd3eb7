"""Code at a place in a file: what stands before it, and for a model trained so what stands after it, as a prompt.

Fill-in-the-middle is Bavarian et al. 2022, section 3: prefix, suffix, middle, each behind a token of its own.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tezgah.errors import InputError
from tezgah.generation.completions import ReadPrompt, limited
from tezgah.generation.settings import GenerationSettings
from tezgah.tokenizer.infill import infill_tokens

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer

SUFFIX_SHARE = 4  # what follows takes at most one part in so many of what is read


def read_place(place: str) -> tuple[str, str]:
    """What stands before and after FILE:LINE, the end of that line, or before FILE:LINE:COLUMN; both count from 1.

    Raises InputError for a file that cannot be read and a place that it has not.
    """
    match = re.fullmatch(r"(.+?):(\d{1,12})(?::(\d{1,12}))?", place)
    if match is None:
        raise InputError(f"{place}: is no place in a file. Give FILE:LINE, or FILE:LINE:COLUMN, counted from 1.")
    path, line, column = Path(match[1]), int(match[2]), match[3]
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Name a file of text.") from error
    if not 1 <= line <= len(lines):
        raise InputError(f"{path}: has {len(lines):,} lines, and no line {line:,}.")
    wanted = lines[line - 1]
    width = len(wanted.removesuffix("\r"))
    if column is not None and not 1 <= int(column) <= width + 1:
        raise InputError(f"{path}:{line}: has {width:,} characters, and no column {int(column):,}.")
    cut = width if column is None else int(column) - 1
    return "\n".join([*lines[: line - 1], wanted[:cut]]), "\n".join([wanted[cut:], *lines[line:]])


def place_prompt(
    model: "CausalLM", tokenizer: "Tokenizer", prefix: str, suffix: str, settings: GenerationSettings
) -> tuple[ReadPrompt, bool]:
    """The prompt of a place, and whether the model reads what follows, too.

    What stands far from the place is left out where not everything fits the context beside what is to be generated.
    Raises InputError where nothing stands before the place, and for what would be left out where settings refuse that.
    """
    before, after = (tokenizer.encode(text).tolist() for text in (prefix, suffix))
    tokens = infill_tokens(tokenizer)
    if not before and tokens is None:
        raise InputError("nothing stands before the place, so there is nothing to go on from. Name a later one.")
    context = model.config.context_length
    room = max(context - settings.max_new_tokens, context // 2)
    if tokens is None:
        _check_room(len(before), room, settings)
        return limited(model, tuple(before[-room:]), settings), False
    room = max(room - len(tokens), 2)
    _check_room(len(before) + len(after), room, settings)
    after = after[: max(room - len(before), room // SUFFIX_SHARE)]
    before = before[max(0, len(before) + len(after) - room) :]
    ids = (tokens.prefix, *before, tokens.suffix, *after, tokens.middle)
    return limited(model, ids, settings), True


def _check_room(given: int, room: int, settings: GenerationSettings) -> None:
    if given > room and settings.overlong == "refuse":
        raise InputError(
            f"{given:,} tokens are to be read, and {room:,} fit beside those to be generated. Generate fewer, or read "
            "what stands near the place with overlong = truncate."
        )
