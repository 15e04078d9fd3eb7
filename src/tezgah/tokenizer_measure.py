"""`tezgah tokenizer measure`: several tokenizers on several data sets, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb
from tezgah.errors import InputError
from tezgah.tokenizer_operands import DATA, TOKENIZER, keywords_of, sources_of, texts_of, told_apart

if TYPE_CHECKING:
    from tezgah.corpus.inputs import Source
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokenizer_table import Reading


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


def measure(operands: list[str], flags: MeasureFlags) -> Answer:
    """Measure tokenizers on data sets, side by side."""
    from tezgah.tokenizer.keywords import known_words
    from tezgah.tokenizer.tokenizer import Tokenizer
    from tezgah.tokenizer_table import Comparison, tables, value

    if flags.o:
        from tezgah.tokenizer_bars import draw_bars, picture_kind

        picture_kind(Path(flags.o))
    paths, data = told_apart(operands)
    sources = {name: sources_of([operand]) for name, operand in data.items()}  # says what is missing first
    keywords = keywords_of(flags.keywords) if flags.keywords else ()
    tokenizers = {name: Tokenizer.load(path) for name, path in paths.items()}
    readings = _readings(tokenizers, sources)
    known = {name: known_words(tokenizer, keywords) for name, tokenizer in tokenizers.items() if keywords}
    found = Comparison(readings, known, _spelled(readings, tokenizers, flags.word))
    text, told = tables(found), {"tokenizers": paths, "data": data, **value(found), "picture": flags.o or None}
    if flags.o:
        draw_bars(readings, Path(flags.o))
        text += f"\n\n{flags.o}"
    return Answer(text, told)


def _readings(tokenizers: "Mapping[str, Tokenizer]", data: "Mapping[str, list[Source]]") -> "list[Reading]":
    """Every tokenizer on every data set, data set by data set."""
    from tezgah.tokenizer.measure import measure_all
    from tezgah.tokenizer.telling import telling_tokens
    from tezgah.tokenizer_table import Reading

    measured = {}
    for name, sources in data.items():
        found = measure_all(list(tokenizers.values()), texts_of(sources, f"measuring on {name}"))
        if not found[0].measures.words:
            raise InputError(f"{sources[0].name}: holds no word to measure on. Name other files.")
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


MEASURE = Verb(
    "Measure tokenizers on data sets, side by side: length, words, coverage, the unknown, speed.",
    ("TOKENIZER…", "DATA…"),
    MeasureFlags,
    measure,
    f"{TOKENIZER} {DATA} Each of them is a data set.\n"
    "continued: words of two tokens or more. used: ids that occur; rare: ids that occur fewer than 10 times, or "
    "never. unknown: tokens for what the vocabulary cannot spell; partial: tokens that are bytes and no whole "
    "characters. MB/s: encoding on all cores. Most telling are the tokens that a data set has most above the "
    "others; of one data set alone, those that save most bytes.",
)
