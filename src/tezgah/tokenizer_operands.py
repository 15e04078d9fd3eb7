"""The operands of `tezgah tokenizer measure`: which are tokenizers, which are data, and what each is called."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from tezgah.answers import short_names
from tezgah.errors import InputError
from tezgah.tokenizer.artefact import holds_tokenizer


def told_apart(operands: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tokenizers and data by short names, each in its order. Raises InputError where there is none of either."""
    tokenizers = [operand for operand in operands if holds_tokenizer(Path(operand))]
    data = [operand for operand in operands if operand not in tokenizers]
    if not tokenizers:
        raise InputError(
            f"{', '.join(operands)}: none is a tokenizer. Name a tokenizer.json, or a folder that holds one or GPT-2's "
            "encoder.json and vocab.bpe."
        )
    if not data:
        raise InputError(f"{', '.join(operands)}: no data to measure on. Name files or folders of text after them.")
    return _named(tokenizers, list(map(_tokenizer_path, tokenizers))), _named(data, list(map(_absolute, data)))


def _named(operands: Sequence[str], paths: Sequence[PurePath]) -> dict[str, str]:
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise InputError(f"{operands[place]} is given twice. Name it once.")
    return dict(zip(short_names(paths), operands, strict=True))


def _tokenizer_path(operand: str) -> PurePath:
    """What a tokenizer is called by: its folder, or a file that is not named as all are, without its suffix."""
    path = _absolute(operand)
    return path.parent if path.name == "tokenizer.json" else path if Path(path).is_dir() else path.with_suffix("")


def _absolute(operand: str) -> PurePath:
    return PurePath(os.path.abspath(os.path.expanduser(operand)))
