"""The operands of the tokenizer's verbs: which are tokenizers, which are data, what each is called, and its texts."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from tezgah.answers import short_names
from tezgah.console import progress
from tezgah.errors import InputError

if TYPE_CHECKING:
    from tezgah.corpus.inputs import Source

TOKENIZER = "TOKENIZER is a tokenizer.json, or a folder that holds one or GPT-2's two files."
DATA = "DATA are files, folders or globs: text, source code, .jsonl, .parquet, each as a recipe's corpus reads them."


def told_apart(operands: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tokenizers and data by short names, each in its order. Raises InputError where there is none of either."""
    from tezgah.tokenizer.reading import holds_tokenizer

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


def sources_of(data: Sequence[str]) -> "list[Source]":
    """The files that operands name, none of them read. Raises InputError where one names nothing."""
    from tezgah.corpus.inputs import list_sources
    from tezgah.corpus.settings import CorpusSettings

    return list_sources(CorpusSettings(source=tuple(data)))


def texts_of(sources: "list[Source]", title: str) -> Iterator[Any]:
    """Arrow batches of the files' documents, with a bar."""
    from tezgah.corpus.readers import read_sources

    with progress(title, sum(file.size for source in sources for file in source.files), "B") as bar:
        yield from read_sources(sources, bar.advance)


def keywords_of(name: str) -> tuple[str, ...]:
    """The keywords of a language, or the words of a file, one a line. Raises InputError where it is neither.

    >>> len(keywords_of("python"))
    35
    """
    from tezgah.tokenizer.keywords import KEYWORDS

    if name in KEYWORDS:
        return KEYWORDS[name]
    if not os.path.isfile(name):
        known = ", ".join(KEYWORDS)
        raise InputError(f"--keywords {name}: neither a language known here ({known}) nor a file of words, one a line.")
    try:
        words = tuple(dict.fromkeys(Path(name).read_text("utf-8").split("\n")))
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text ({error}). Convert it.") from error
    if not (words := tuple(word.strip() for word in words if word.strip())):
        raise InputError(f"{name}: holds no word. Write one a line.")
    return words


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
