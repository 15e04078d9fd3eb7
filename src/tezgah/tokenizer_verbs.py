"""The verbs of the tokenizer by itself: `tezgah tokenizer train`, `extend`, `encode`, `measure` and `explain`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.console import progress, say
from tezgah.errors import InputError
from tezgah.files import fingerprint, locked
from tezgah.settings import PositiveInt
from tezgah.tokenizer.settings import (
    ALGORITHM,
    NORMALIZE,
    SPLIT,
    VOCAB_SIZE,
    Algorithm,
    Normalization,
    Split,
)

if TYPE_CHECKING:
    from tezgah.tokenizer.count import Words

TOKENIZER = "TOKENIZER is a tokenizer.json, or a folder that holds one or GPT-2's two files."
DATA = "DATA are files, folders or globs: text, source code, .jsonl, .parquet, each as a recipe's corpus reads them."


class TrainFlags(Plain, frozen=True):
    """Flags of `tokenizer train`."""

    o: Annotated[str, Meta(description="folder for tokenizer.json and the counted words (words.parquet)")] = ""
    algorithm: Annotated[Algorithm, Meta(description=ALGORITHM)] = "bpe"
    vocab_size: Annotated[PositiveInt, Meta(description=VOCAB_SIZE)] = 8_192
    split: Annotated[Split, Meta(description=SPLIT)] = "turkish-safe"
    normalize: Annotated[Normalization, Meta(description=NORMALIZE)] = "none"
    words: Annotated[
        str,
        Meta(
            description="counted words to read, or to write where they are missing; default words.parquet in -o "
            "(bpe, wordpiece and characters)"
        ),
    ] = ""


class ExtendFlags(Plain, frozen=True):
    """Flags of `tokenizer extend`."""

    o: Annotated[str, Meta(description="folder for the new tokenizer.json")] = ""
    add: Annotated[PositiveInt, Meta(description="new tokens, at most")] = 8_000
    keep: Annotated[
        tuple[str, ...], Meta(description="texts that should stay as they are: how many of their words change is told")
    ] = ()


def train(operands: list[str], flags: TrainFlags) -> Answer:
    """Train a tokenizer on files."""
    from tezgah.tokenizer.learn import COUNTING
    from tezgah.tokenizer.tokenizer import Tokenizer

    folder = _output(flags.o, "train")
    split, algorithm, normalize = flags.split, flags.algorithm, flags.normalize
    counted = {}
    with locked(folder):
        if algorithm in COUNTING:
            words = _counted(operands, flags, Path(flags.words) if flags.words else folder / "words.parquet")
            tokenizer = Tokenizer.from_words(words, flags.vocab_size, split, algorithm, normalize)
            counted = {"words": int(words.counts.sum()), "distinct_words": len(words.counts)}
        else:
            texts = _texts(operands, "reading")
            tokenizer = Tokenizer.train(texts, flags.vocab_size, split, algorithm, normalize)
        tokenizer.save(folder)
    value = {"tokenizer": str(folder / "tokenizer.json"), "vocab_size": tokenizer.vocab_size, **counted}
    return Answer(lines(value), value)


def extend(operands: list[str], flags: ExtendFlags) -> Answer:
    """Add tokens to a trained tokenizer."""
    from tezgah.tokenizer.measure import changed_words
    from tezgah.tokenizer.tokenizer import Tokenizer

    base, *data = operands
    folder = _output(flags.o, "extend")
    old = Tokenizer.load(base)
    new = old.extend(_texts(data, "counting words"), flags.add)
    if new.vocab_size == old.vocab_size:
        raise InputError("the texts give no pair to merge: no token was added. Give more text.")
    if new.vocab_size < old.vocab_size + flags.add:
        say(f"tokenizer: the texts support {new.vocab_size - old.vocab_size:,} new tokens of {flags.add:,}")
    new.save(folder)
    value: dict[str, Any] = {
        "tokenizer": str(folder / "tokenizer.json"),
        "vocab_size": new.vocab_size,
        "added": new.vocab_size - old.vocab_size,
    }
    if flags.keep:
        changed = changed_words(old, new, _texts(list(flags.keep), "reading what should stay"))
        value["share_of_kept_words_changed"] = changed
    return Answer(lines(value), value)


def explain(operands: list[str], flags: Plain) -> Answer:
    """Show what a tokenizer does to a text."""
    from tezgah.tokenizer.explain import explain, visible
    from tezgah.tokenizer.tokenizer import Tokenizer

    told = explain(Tokenizer.load(operands[0]).json, operands[1])
    same = told.normalized == told.text
    shown = [
        f"normalized  {'as it is' if same else visible(told.normalized.encode())}",
        f"pieces      {' | '.join(piece.text for piece in told.pieces)}",
        "",
    ]
    for piece in told.pieces:
        shown.append(f"{piece.text}")
        if len(piece.merges) > 1:
            shown.append(f"  merges  {' → '.join(' '.join(step) for step in piece.merges)}")
        shown.append(f"  tokens  {'  '.join(f'{token.text} ({token.id})' for token in piece.tokens)}")
    ids = [token.id for piece in told.pieces for token in piece.tokens]
    shown += ["", f"ids         {' '.join(map(str, ids))}"]
    if [token.id for token in told.processed] != ids:
        shown.append(f"processed   {' '.join(f'{token.text} ({token.id})' for token in told.processed)}")
    return Answer("\n".join(shown), msgspec.to_builtins(told))


def _counted(data: list[str], flags: TrainFlags, path: Path) -> "Words":
    """The words of the files: as they were counted before where nothing has changed."""
    from tezgah.corpus.inputs import list_inputs
    from tezgah.corpus.settings import CorpusSettings
    from tezgah.tokenizer.counts import read_words, write_words
    from tezgah.tokenizer.learn import count, rule_of
    from tezgah.tokenizer.texts import utf8

    listing = [[file.relative, file.size, file.mtime_ns] for file in list_inputs(CorpusSettings(source=tuple(data)))]
    told = fingerprint([rule_of(flags.algorithm, flags.split), flags.normalize, data, listing])
    if path.exists():
        words, found = read_words(path)
        if found == told:
            say(f"words: {len(words.counts):,} distinct ones, as counted before in {path}")
            return words
    words = count(utf8(_texts(data, "counting words")), flags.split, flags.algorithm, flags.normalize)
    if not len(words.counts):
        raise InputError(f"{', '.join(data)}: no text in it to learn from. Name other files.")
    write_words(path, words, told)
    return words


def _texts(data: list[str], title: str) -> Iterator[Any]:
    """Arrow batches of the files' documents, with a bar."""
    from tezgah.corpus.inputs import list_inputs
    from tezgah.corpus.readers import read_sources
    from tezgah.corpus.settings import CorpusSettings

    size = sum(file.size for file in list_inputs(CorpusSettings(source=tuple(data))))
    with progress(title, size, "B") as bar:
        yield from read_sources(data, bar.advance)


def _output(folder: str, verb: str) -> Path:
    if not folder:
        raise InputError(f"`tokenizer {verb}` needs -o DIR, the folder to write the tokenizer into.")
    return Path(folder)


TOKENIZER_VERBS: dict[str, Verb] = {
    "tokenizer train": Verb(
        "Train a tokenizer on files, a byte-level BPE unless told otherwise. Words are counted once: another "
        "vocabulary size costs only the merging.",
        ("DATA…",),
        TrainFlags,
        train,
        DATA,
    ),
    "tokenizer extend": Verb(
        "Add tokens to a trained BPE: every id and merge it has stays, new merges follow.",
        ("BASE", "DATA…"),
        ExtendFlags,
        extend,
        f"BASE: {TOKENIZER} {DATA}",
    ),
    "tokenizer explain": Verb(
        "Show the steps from a text to ids: normalized, cut into pieces, merged one by one, finished.",
        ("TOKENIZER", "TEXT"),
        Plain,
        explain,
        TOKENIZER,
    ),
}
