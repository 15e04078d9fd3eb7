"""The operands of the tokenizer's verbs: which are tokenizers, which are data, what each is called, and its texts."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from tezgah.answers import short_names
from tezgah.console import progress
from tezgah.errors import InputError

TOKENIZER = "TOKENIZER is a tokenizer.json, or a folder that holds one or GPT-2's two files."
DATA = "DATA are files, folders or globs: text, source code, .jsonl, .parquet, each as a recipe's corpus reads them."


def told_apart(operands: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tokenizers and data by short names, each in its order. Raises InputError where there is none of either."""
    from tezgah.tokenizer.artefact import holds_tokenizer

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


def texts_of(data: list[str], title: str) -> Iterator[Any]:
    """Arrow batches of the files' documents, with a bar."""
    from tezgah.corpus.inputs import list_inputs
    from tezgah.corpus.readers import read_sources
    from tezgah.corpus.settings import CorpusSettings

    size = sum(file.size for file in list_inputs(CorpusSettings(source=tuple(data))))
    with progress(title, size, "B") as bar:
        yield from read_sources(data, bar.advance)


def _named(operands: Sequence[str], paths: Sequence[PurePath]) -> dict[str, str]:
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise InputError(f"{operands[place]} is given twice. Name it once.")
    return dict(zip(short_names(paths), operands, strict=True))


def _tokenizer_path(operand: str) -> PurePath:
    """What a tokenizer is called by: its folder; a file by its own name where that is not the usual one."""
    path = _absolute(operand)
    if path.name == "tokenizer.json":
        return path.parent
    bare = path.with_suffix("")
    return path if os.path.isdir(path) or os.path.exists(bare) else bare


def _absolute(operand: str) -> PurePath:
    return PurePath(os.path.abspath(os.path.expanduser(operand)))
