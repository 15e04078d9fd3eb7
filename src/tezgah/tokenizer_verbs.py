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
from tezgah.settings import NaturalInt, PositiveInt
from tezgah.tokenizer.settings import (
    ALGORITHM,
    MASK,
    NORMALIZE,
    SPLIT,
    VOCAB_SIZE,
    Algorithm,
    Normalization,
    Split,
)
from tezgah.tokenizer_measure import MEASURE
from tezgah.tokenizer_operands import DATA, TOKENIZER, sources_of, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tezgah.corpus.inputs import Source
    from tezgah.tokenizer.count import Words
    from tezgah.tokenizer.explain import Token


PRINTED_BYTES = 16_000_000  # of text, whose ids are printed


class TrainFlags(Plain, frozen=True):
    """Flags of `tokenizer train`."""

    o: Annotated[str, Meta(description="folder for tokenizer.json and the counted words (words.parquet)")] = ""
    algorithm: Annotated[Algorithm, Meta(description=ALGORITHM)] = "bpe"
    vocab_size: Annotated[PositiveInt, Meta(description=VOCAB_SIZE)] = 8_192
    split: Annotated[Split, Meta(description=SPLIT)] = "turkish-safe"
    normalize: Annotated[Normalization, Meta(description=NORMALIZE)] = "none"
    mask: Annotated[bool, Meta(description=MASK)] = False
    min_frequency: Annotated[NaturalInt, Meta(description="a pair that is rarer is not merged (bpe, wordpiece)")] = 0
    max_token_length: Annotated[
        NaturalInt, Meta(description="tokens of so many bytes or more are not made; 0 is no limit (bpe)")
    ] = 0
    limit_alphabet: Annotated[
        NaturalInt, Meta(description="characters that are tokens, at most, frequent ones first; 0 is all (wordpiece)")
    ] = 0
    words: Annotated[
        str,
        Meta(
            description="counted words of these files: read, or written where missing; default words.parquet in -o "
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
    from tezgah.tokenizer.learn import COUNTING, Method, check_size
    from tezgah.tokenizer.tokenizer import Tokenizer

    folder = _output(flags.o, "train")
    method = Method(
        flags.split,
        flags.algorithm,
        flags.normalize,
        flags.min_frequency,
        flags.max_token_length or None,
        flags.limit_alphabet or None,
        flags.mask,
    )
    check_size(flags.vocab_size, method)
    sources = sources_of(operands)  # says what is missing before anything is made
    counted = {}
    with locked(folder):
        if flags.algorithm in COUNTING:
            words = _counted(sources, flags, folder)
            tokenizer = Tokenizer.from_words(words, flags.vocab_size, method)
            counted = {"words": int(words.counts.sum()), "distinct_words": len(words.counts)}
        else:
            texts = texts_of(sources, "reading")
            tokenizer = Tokenizer.train(
                texts, flags.vocab_size, flags.split, flags.algorithm, flags.normalize, mask=flags.mask
            )
        tokenizer.save(folder)
    value = {"tokenizer": str(folder / "tokenizer.json"), "vocab_size": tokenizer.vocab_size, **counted}
    return Answer(lines(value), value)


def extend(operands: list[str], flags: ExtendFlags) -> Answer:
    """Add tokens to a trained tokenizer."""
    from tezgah.tokenizer.measure import changed_words
    from tezgah.tokenizer.tokenizer import Tokenizer

    base, *data = operands
    folder = _output(flags.o, "extend")
    at = Path(base).resolve()
    if folder.resolve() == (at if at.is_dir() else at.parent):
        raise InputError(f"{folder}: is where BASE lies, which would be overwritten. Give another -o.")
    old = Tokenizer.load(base)
    sources, kept = sources_of(data), sources_of(flags.keep) if flags.keep else []  # missing ones are told of first
    with locked(folder):
        new = old.extend(texts_of(sources, "counting words"), flags.add)
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
    if not kept:
        return Answer(lines(value), value)
    changed = changed_words(old, new, texts_of(kept, "reading what should stay"))
    told = "share_of_kept_words_changed"
    return Answer(lines(value | {told: f"{100 * changed:.4f} %"}), value | {told: changed})


def encode(operands: list[str], flags: EncodeFlags) -> Answer:
    """Turn files into ids."""
    from tezgah.tokenizer.tokenizer import Tokenizer

    path, *files = operands
    sources, size = sources_of(files), 0
    if flags.o:
        _refuse_other_files(Path(flags.o))
    elif (size := sum(file.size for source in sources for file in source.files)) > PRINTED_BYTES:
        raise InputError(f"{size / 1e6:,.0f} MB are too much to print as ids. Give -o DIR for arrays.")
    tokenizer = Tokenizer.load(path)
    encoded = (tokenizer.encode_batch(batch) for batch in texts_of(sources, "encoding"))
    if not flags.o:
        rows = [ids[begin:end].tolist() for ids, ends in encoded for begin, end in pairwise(ends)]
        return Answer("\n".join(" ".join(map(str, row)) for row in rows), {"tokenizer": path, "ids": rows})
    value = {"tokenizer": path, **_write_ids(Path(flags.o), tokenizer.vocab_size, encoded)}
    return Answer(lines(value), value)


def _refuse_other_files(folder: Path) -> None:
    """Refuse a place that holds anything but arrays of an earlier call: these are replaced, nothing else is."""
    if folder.is_file():
        raise InputError(f"{folder}: is a file. Give a folder to -o.")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if others := sorted(held - {"ids.npy", "offsets.npy"}):
        raise InputError(f"{folder}: holds other files ({', '.join(others[:3])}). Give -o a folder of its own.")


def _write_ids(folder: Path, vocab_size: int, encoded: "Iterator[tuple[NDArray[Any], NDArray[Any]]]") -> dict[str, Any]:
    """Write `ids.npy` and where each document's end in it, `offsets.npy`, (documents + 1,)."""
    import numpy as np

    from tezgah.tokens.index import dtype_of
    from tezgah.tokens.npy import NpyWriter

    with (
        atomic_folder(folder.resolve()) as made,
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


def _counted(sources: "list[Source]", flags: TrainFlags, folder: Path) -> "Words":
    """The words of the files: as they were counted before where no file's size or time of change is another."""
    from tezgah.corpus.inputs import listing_of
    from tezgah.tokenizer.counts import counted_words
    from tezgah.tokenizer.learn import Method
    from tezgah.tokenizer.normalize import NORMALIZERS, Normalizer
    from tezgah.tokenizer.texts import utf8

    rule = Method(flags.split, flags.algorithm).rule
    told = fingerprint([rule, flags.normalize, [source.name for source in sources], listing_of(sources)])
    texts = Normalizer(NORMALIZERS[flags.normalize]).chunks(utf8(texts_of(sources, "counting words")))
    path = Path(flags.words) if flags.words else folder / "words.parquet"
    return counted_words(path, told, texts, rule, available_cores(), is_named=bool(flags.words))


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
