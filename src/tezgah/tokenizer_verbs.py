"""The verbs of the tokenizer by itself: `tezgah tokenizer train`, `extend`, `encode`, `measure` and `explain`."""

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.console import say
from tezgah.cores import available_cores
from tezgah.errors import InputError
from tezgah.files import atomic_folder, fingerprint
from tezgah.lock import locked
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
from tezgah.tokenizer_measure import MEASURE
from tezgah.tokenizer_operands import DATA, TOKENIZER, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tezgah.tokenizer.count import Words
    from tezgah.tokenizer.explain import Token


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


class EncodeFlags(Plain, frozen=True):
    """Flags of `tokenizer encode`."""

    o: Annotated[
        str, Meta(description="folder for ids.npy and offsets.npy; without it the ids are printed, a document a line")
    ] = ""


def train(operands: list[str], flags: TrainFlags) -> Answer:
    """Train a tokenizer on files."""
    from tezgah.tokenizer.learn import COUNTING, check_size
    from tezgah.tokenizer.tokenizer import Tokenizer

    folder = _output(flags.o, "train")
    split, algorithm, normalize = flags.split, flags.algorithm, flags.normalize
    check_size(flags.vocab_size, algorithm)
    listing = _listing(operands)  # says what is missing before anything is made
    counted = {}
    with locked(folder):
        if algorithm in COUNTING:
            words = _counted(operands, listing, flags, Path(flags.words) if flags.words else folder / "words.parquet")
            tokenizer = Tokenizer.from_words(words, flags.vocab_size, split, algorithm, normalize)
            counted = {"words": int(words.counts.sum()), "distinct_words": len(words.counts)}
        else:
            texts = texts_of(operands, "reading")
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
    if folder.resolve() in (Path(base).resolve(), Path(base).resolve().parent):
        raise InputError(f"{folder}: is where BASE lies, which would be overwritten. Give another -o.")
    old = Tokenizer.load(base)
    _listing([*data, *flags.keep])  # says what is missing before anything is made
    with locked(folder):
        new = old.extend(texts_of(data, "counting words"), flags.add)
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
    if not flags.keep:
        return Answer(lines(value), value)
    changed = changed_words(old, new, texts_of(list(flags.keep), "reading what should stay"))
    told = "share_of_kept_words_changed"
    return Answer(lines(value | {told: f"{100 * changed:.4f} %"}), value | {told: changed})


def encode(operands: list[str], flags: EncodeFlags) -> Answer:
    """Turn files into ids."""
    from tezgah.tokenizer.tokenizer import Tokenizer

    path, *files = operands
    tokenizer = Tokenizer.load(path)
    encoded = (tokenizer.encode_batch(batch) for batch in texts_of(files, "encoding"))
    if not flags.o:
        rows = [ids[begin:end].tolist() for ids, ends in encoded for begin, end in pairwise(ends)]
        return Answer("\n".join(" ".join(map(str, row)) for row in rows), {"tokenizer": path, "ids": rows})
    value = {"tokenizer": path, **_write_ids(Path(flags.o), tokenizer.vocab_size, encoded)}
    return Answer(lines(value), value)


def _write_ids(folder: Path, vocab_size: int, encoded: "Iterator[tuple[NDArray[Any], NDArray[Any]]]") -> dict[str, Any]:
    """Write `ids.npy` and where each document's end in it, `offsets.npy`, (documents + 1,)."""
    import numpy as np

    from tezgah.tokens.index import dtype_of
    from tezgah.tokens.npy import NpyWriter

    with (
        atomic_folder(folder) as made,
        closing(NpyWriter(made / "ids.npy", dtype_of(vocab_size))) as ids,
        closing(NpyWriter(made / "offsets.npy", "int64")) as offsets,
    ):
        offsets.append(np.zeros(1, np.int64))
        for row_ids, ends in encoded:
            offsets.append(ends[1:] + ids.length)
            ids.append(row_ids)
    return {"documents": offsets.length - 1, "tokens": ids.length, "ids": str(folder / "ids.npy")}


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
        shown.append(f"{piece.text}{'  (an added token, found before cutting)' if piece.is_added else ''}")
        if len(piece.merges) > 1:
            shown.append(f"  merges  {' → '.join(' '.join(step) for step in piece.merges)}")
        shown.append(f"  tokens  {_shown(piece.tokens) or 'none: the vocabulary cannot spell it'}")
    ids = [token.id for piece in told.pieces for token in piece.tokens]
    shown += ["", f"ids         {' '.join(map(str, ids))}"]
    if [token.id for token in told.processed] != ids:
        shown.append(f"processed   {_shown(told.processed)}")
    return Answer("\n".join(shown), msgspec.to_builtins(told))


def _shown(tokens: "tuple[Token, ...]") -> str:
    return "  ".join(f"{token.text} ({token.id}{', unknown' if token.is_unknown else ''})" for token in tokens)


def _listing(data: list[str]) -> list[list[Any]]:
    """The files, as far as a change of them shows without reading any."""
    from tezgah.corpus.inputs import list_inputs
    from tezgah.corpus.settings import CorpusSettings

    return [[file.relative, file.size, file.mtime_ns] for file in list_inputs(CorpusSettings(source=tuple(data)))]


def _counted(data: list[str], listing: list[list[Any]], flags: TrainFlags, path: Path) -> "Words":
    """The words of the files: as they were counted before where nothing has changed."""
    from tezgah.tokenizer.counts import counted_words
    from tezgah.tokenizer.learn import rule_of
    from tezgah.tokenizer.normalize import NORMALIZERS, Normalizer
    from tezgah.tokenizer.texts import utf8

    rule = rule_of(flags.algorithm, flags.split)
    told = fingerprint([rule, flags.normalize, data, listing])
    texts = Normalizer(NORMALIZERS[flags.normalize]).chunks(utf8(texts_of(data, "counting words")))
    return counted_words(path, told, texts, rule, available_cores())


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
    "tokenizer encode": Verb(
        "Turn files into ids: printed, a document a line, or written as plain arrays.",
        ("TOKENIZER", "DATA…"),
        EncodeFlags,
        encode,
        f"{TOKENIZER} {DATA} Special tokens that a text spells are text.",
    ),
    "tokenizer explain": Verb(
        "Show the steps from a text to ids: normalized, cut into pieces, merged one by one, finished.",
        ("TOKENIZER", "TEXT"),
        Plain,
        explain,
        TOKENIZER,
    ),
    "tokenizer measure": MEASURE,
}
