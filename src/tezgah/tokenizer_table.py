"""What `tezgah tokenizer measure` found, as tables to read and as one JSON object."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tezgah.answers import percent, table
from tezgah.tokenizer.explain import visible
from tezgah.tokenizer.keywords import Known
from tezgah.tokenizer.measure import Measured, Measures

LONGEST_SHOWN = 24  # characters of a token in a table
HEAD = (
    *("data", "tokenizer", "ids", "bytes/token", "tokens/word", "continued", "used", "rare"),
    *("unknown", "partial", "MB/s"),
)


class Reading(NamedTuple):
    """A tokenizer on a data set, both by name."""

    data: str
    tokenizer: str
    measured: Measured
    telling: list[bytes]

    @property
    def megabytes_per_second(self) -> float:
        """Of text encoded, in units of 10⁶ bytes."""
        return self.measured.measures.bytes / 1e6 / max(self.measured.encode_seconds, 1e-9)


class Comparison(NamedTuple):
    """Several tokenizers on several data sets, and by tokenizer what they make of single words."""

    readings: Sequence[Reading]
    known: Mapping[str, Known]
    spelled: Mapping[str, Mapping[str, list[bytes]]]  # word → tokenizer → its tokens


def tables(found: Comparison) -> str:
    """Everything as tables, one under the other."""
    parts = [table(HEAD, [_row(reading) for reading in found.readings])]
    if found.known:
        words = next(iter(found.known.values())).words
        head: tuple[str, ...] = (f"one token, of {words:,} words", "bare", "spaced", "missing bare", "missing spaced")
        parts.append(table(head, [(name, *_known(known)) for name, known in found.known.items()]))
    for word, by_tokenizer in found.spelled.items():
        spelled = [(name, f"{len(each):,}", " | ".join(map(visible, each))) for name, each in by_tokenizer.items()]
        parts.append(table((visible(word.encode()), "tokens", ""), spelled))
    longest = {reading.tokenizer: reading.measured.measures.longest_tokens for reading in found.readings}
    listed = [(name, _listed(token.encode() for token in each)) for name, each in longest.items()]
    parts.append(table(("tokenizer", "longest tokens"), listed))
    telling = [(reading.data, reading.tokenizer, _listed(reading.telling)) for reading in found.readings]
    parts.append(table(("data", "tokenizer", "most telling tokens"), telling))
    return "\n\n".join(parts)


def value(found: Comparison) -> dict[str, Any]:
    """Everything as one JSON object."""
    return {
        "measures": [
            {
                "data": reading.data,
                "tokenizer": reading.tokenizer,
                **msgspec.to_builtins(reading.measured.measures),
                "megabytes_per_second": reading.megabytes_per_second,
                "telling_tokens": [token.decode(errors="replace") for token in reading.telling],
            }
            for reading in found.readings
        ],
        "keywords": msgspec.to_builtins(dict(found.known)),
        "words": {
            word: {name: list(map(visible, tokens)) for name, tokens in by_tokenizer.items()}
            for word, by_tokenizer in found.spelled.items()
        },
    }


def _row(reading: Reading) -> tuple[str, ...]:
    measures: Measures = reading.measured.measures
    shares = (
        *(measures.words_continued, measures.vocabulary_used, measures.vocabulary_rare),
        *(measures.tokens_unknown, measures.tokens_partial),
    )
    return (
        reading.data,
        reading.tokenizer,
        f"{measures.vocab_size:,}",
        f"{measures.bytes_per_token:.3f}",
        f"{measures.tokens_per_word:.3f}",
        *map(percent, shares),
        f"{reading.megabytes_per_second:.1f}",
    )


def _known(known: Known) -> tuple[str, ...]:
    lacking = (known.missing, known.missing_with_space)
    return (*(f"{known.words - len(each):,}" for each in lacking), *(" ".join(each) or "–" for each in lacking))


def _listed(tokens: Iterable[bytes]) -> str:
    return "  ".join(_cut(visible(token)) for token in tokens) or "–"


def _cut(token: str) -> str:
    """A token short enough for a table, runs of one or two characters told by their length.

    >>> _cut("\\\\n" + "␣" * 40)
    '\\\\n␣×40'
    """
    token = re.sub(r"(.{1,2}?)\1{7,}", lambda run: f"{run[1]}×{len(run[0]) // len(run[1])}", token)
    return token if len(token) <= LONGEST_SHOWN else f"{token[:LONGEST_SHOWN]}…"
