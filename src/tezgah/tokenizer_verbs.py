"""The verbs of the tokenizer by itself: `tezgah tokenizer train`, `extend`, `encode`, `measure` and `explain`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.console import progress, say
from tezgah.cores import available_cores
from tezgah.errors import InputError
from tezgah.files import fingerprint, locked
from tezgah.settings import PositiveInt
from tezgah.tokenizer.settings import Split

if TYPE_CHECKING:
    from tezgah.tokenizer.count import Words
    from tezgah.tokenizer.explain import Token
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokenizer_table import Reading

TOKENIZER = "TOKENIZER is a tokenizer.json, or a folder that holds one or GPT-2's two files."
DATA = "DATA are files, folders or globs: text, source code, .jsonl, .parquet, each as a recipe's corpus reads them."


class TrainFlags(Plain, frozen=True):
    """Flags of `tokenizer train`."""

    o: Annotated[str, Meta(description="folder for tokenizer.json and the counted words (words.parquet)")] = ""
    vocab_size: Annotated[PositiveInt, Meta(description="ids in all: <|endoftext|>, 256 bytes, merges")] = 8_192
    split: Annotated[Split, Meta(description="how text is cut into words before merging")] = "turkish-safe"
    words: Annotated[
        str, Meta(description="counted words to read, or to write where they are missing; default words.parquet in -o")
    ] = ""


class ExtendFlags(Plain, frozen=True):
    """Flags of `tokenizer extend`."""

    o: Annotated[str, Meta(description="folder for the new tokenizer.json")] = ""
    add: Annotated[PositiveInt, Meta(description="new tokens, at most")] = 8_000
    keep: Annotated[
        tuple[str, ...], Meta(description="texts that should stay as they are: how many of their words change is told")
    ] = ()


class MeasureFlags(Plain, frozen=True):
    """Flags of `tokenizer measure`."""

    keywords: Annotated[
        str, Meta(description="which of these are one token: python, or a file of words, one a line")
    ] = ""
    word: Annotated[
        tuple[str, ...],
        Meta(description="a word to show in every tokenizer; several as a list", extra={"commas": False}),
    ] = ()
    o: Annotated[str, Meta(description="picture to draw: .png, .svg or .pdf")] = ""


def train(operands: list[str], flags: TrainFlags) -> Answer:
    """Train a tokenizer on files."""
    from tezgah.tokenizer.tokenizer import Tokenizer

    folder = _output(flags.o, "train")
    with locked(folder):
        words = _counted(operands, flags.split, Path(flags.words) if flags.words else folder / "words.parquet")
        tokenizer = Tokenizer.from_words(words, flags.vocab_size, flags.split)
        tokenizer.save(folder)
    value = {
        "tokenizer": str(folder / "tokenizer.json"),
        "vocab_size": tokenizer.vocab_size,
        "words": int(words.counts.sum()),
        "distinct_words": len(words.counts),
    }
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


def measure(operands: list[str], flags: MeasureFlags) -> Answer:
    """Measure tokenizers on data sets, side by side."""
    from tezgah.tokenizer.keywords import keywords_of, known_words
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokenizer_operands import told_apart
    from tezgah.tokenizer_table import Comparison, tables, value

    if flags.o:
        from tezgah.tokenizer_bars import draw_bars, picture_kind

        picture_kind(Path(flags.o))
    paths, data = told_apart(operands)
    keywords = keywords_of(flags.keywords) if flags.keywords else ()
    tokenizers = {name: Tokenizer.load(path) for name, path in paths.items()}
    readings = _readings(tokenizers, data)
    known = {name: known_words(tokenizer, keywords) for name, tokenizer in tokenizers.items() if keywords}
    found = Comparison(readings, known, _spelled(readings, tokenizers, flags.word))
    text, told = tables(found), {"tokenizers": paths, "data": data, **value(found), "picture": flags.o or None}
    if flags.o:
        draw_bars(readings, Path(flags.o))
        text += f"\n\n{flags.o}"
    return Answer(text, told)


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


def _shown(tokens: "Sequence[Token]") -> str:
    return "  ".join(f"{token.text} ({token.id}{', unknown' if token.is_unknown else ''})" for token in tokens)


def _readings(tokenizers: "Mapping[str, Tokenizer]", data: Mapping[str, str]) -> "list[Reading]":
    """Every tokenizer on every data set, data set by data set."""
    from tezgah.tokenizer.measure import measure_all
    from tezgah.tokenizer.telling import telling_tokens
    from tezgah.tokenizer_table import Reading

    measured = {}
    for name, operand in data.items():
        found = measure_all(list(tokenizers.values()), _texts([operand], f"measuring on {name}"))
        if not found[0].measures.words:
            raise InputError(f"{operand}: holds no word to measure on. Name other files.")
        measured[name] = dict(zip(tokenizers, found, strict=True))
    telling = {
        tokenizer: dict(zip(data, telling_tokens([measured[name][tokenizer] for name in data]), strict=True))
        for tokenizer in tokenizers
    }
    return [
        Reading(name, tokenizer, measured[name][tokenizer], telling[tokenizer][name])
        for name in data
        for tokenizer in tokenizers
    ]


def _spelled(
    readings: "Sequence[Reading]", tokenizers: "Mapping[str, Tokenizer]", words: tuple[str, ...]
) -> dict[str, dict[str, list[bytes]]]:
    """The tokens of single words in every tokenizer."""
    spelling = {reading.tokenizer: reading.measured.spelling.bytes for reading in readings}
    return {
        word: {name: [spelling[name][each] for each in of.encode(word)] for name, of in tokenizers.items()}
        for word in words
    }


def _counted(data: list[str], split: Split, path: Path) -> "Words":
    """The words of the files: as they were counted before where nothing has changed."""
    from tezgah.corpus.inputs import list_inputs
    from tezgah.corpus.settings import CorpusSettings
    from tezgah.tokenizer.count import count_texts
    from tezgah.tokenizer.counts import read_words, write_words
    from tezgah.tokenizer.texts import utf8

    listing = [[file.relative, file.size, file.mtime_ns] for file in list_inputs(CorpusSettings(source=tuple(data)))]
    told = fingerprint([split, data, listing])
    if path.exists():
        words, found = read_words(path)
        if found == told:
            say(f"words: {len(words.counts):,} distinct ones, as counted before in {path}")
            return words
    words = count_texts(utf8(_texts(data, "counting words")), split, available_cores())
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
        "Train a byte-level BPE on files. Words are counted once: another vocabulary size costs only the merging.",
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
    "tokenizer measure": Verb(
        "Measure tokenizers on data sets, side by side: length, words, coverage, the unknown, speed.",
        ("TOKENIZER…", "DATA…"),
        MeasureFlags,
        measure,
        f"{TOKENIZER} {DATA} Each of them is a data set.\n"
        "continued: words of two tokens or more. used: ids that occur; rare: ids that occur fewer than 10 times, or "
        "never. unknown: tokens for what the vocabulary cannot spell; partial: tokens that are bytes and no whole "
        "characters. MB/s: encoding on all cores. Most telling are the tokens that a data set has most above the "
        "others; of one data set alone, those that save most bytes.",
    ),
    "tokenizer explain": Verb(
        "Show the steps from a text to ids: normalized, cut into pieces, merged one by one, finished.",
        ("TOKENIZER", "TEXT"),
        Plain,
        explain,
        TOKENIZER,
    ),
}
