"""What two models write after the same prompts, with the same seeds, and how that differs."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

import msgspec
import numpy as np

from tezgah.errors import InputError
from tezgah.evaluation.continuations import Continuation
from tezgah.evaluation.intervals import Interval, mean_interval, ratio_interval
from tezgah.evaluation.prompts import Family
from tezgah.evaluation.wording import TypicalWord, distinct_share, typical_words, words_of
from tezgah.seeds import named_seed

MOST_TYPICAL = 8  # words shown of each side
STANDS_OUT = 1.0  # standard deviations; with few completions little is beyond 1.96

Complete = Callable[[Sequence[str], int, Sequence[int]], Iterable[list[str]]]
Score = Callable[[Sequence[tuple[str, str]]], list[Continuation]]


class WordShift(msgspec.Struct, frozen=True, kw_only=True):
    """What another word in a prompt changes in what one model writes after it.

    `shift` is in nats per token: how much likelier continuations are after the word that they were written after than
    after the other; 0 where the word changes nothing. `distinct` are different words per word, of each side.
    """

    model: str
    words: tuple[str, str]
    shift: Interval | None  # None where nothing was written
    distinct: tuple[float, float]
    typical: list[TypicalWord]


class PromptTexts(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and what each model wrote after it, `texts[model][candidate]`."""

    prompt: str
    word: str
    texts: list[list[str]]


class FamilyTexts(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the prompt file: its prompts, and, where it has several words, what these change."""

    line: str
    prompts: list[PromptTexts]
    shifts: list[WordShift]


class SideBySide(msgspec.Struct, frozen=True, kw_only=True):
    """Two models beside one another.

    `bits_per_byte[writer][reader]` is what the reader makes of what the writer wrote, None where nothing was.
    `typical` are the words of the first model's texts, and, at the end, of the second's.
    """

    models: list[str]
    families: list[FamilyTexts]
    bits_per_byte: list[list[Interval | None]]
    distinct: list[float]
    typical: list[TypicalWord]


def write_texts(complete: Complete, families: Sequence[Family], n: int, seed: int) -> list[list[str]]:
    """`n` texts after every prompt, families in order; the prompts of a family have the same random streams."""
    prompts = [prompt for family in families for prompt in family.prompts]
    seeds = [named_seed(seed, "prompts", row) for row, family in enumerate(families) for _ in family.prompts]
    return list(complete(prompts, n, seeds))


def compare_texts(
    names: Sequence[str], families: Sequence[Family], texts: Sequence[list[list[str]]], scores: Sequence[Score]
) -> SideBySide:
    """Set side by side what two models wrote: `texts[model][prompt][candidate]`; `scores` are the models' own."""
    if len(names) != 2:
        raise InputError(f"two models are compared, not {len(names)}.")
    prompts = [prompt for family in families for prompt in family.prompts]
    everything = [text for side in texts for row in side for text in row]
    background = words_of(everything)
    flat = [[text for row in side for text in row] for side in texts]
    found, at = [], 0
    for family in families:
        here = range(at, at + len(family.prompts))
        at += len(family.prompts)
        rows = [
            PromptTexts(prompt=prompts[row], word=word, texts=[side[row] for side in texts])
            for row, word in zip(here, family.words, strict=True)
        ]
        shifts = [
            _shift(name, family, (one, two), [side[row] for row in here], score, background)
            for one, two in combinations(range(len(family.words)), 2)
            for name, side, score in zip(names, texts, scores, strict=True)
        ]
        found.append(FamilyTexts(line=family.line, prompts=rows, shifts=shifts))
    return SideBySide(
        models=list(names),
        families=found,
        bits_per_byte=[[_bits(prompts, side, score) for score in scores] for side in texts],
        distinct=[distinct_share(side) for side in flat],
        typical=_standing_out(typical_words(words_of(flat[0]), words_of(flat[1]), background)),
    )


def _shift(
    name: str, family: Family, pair: tuple[int, int], rows: list[list[str]], score: Score, background: Counter[str]
) -> WordShift:
    """What one model's texts after one word are worth after the other."""
    one, two = pair
    texts = [(here, there, text) for here, there in ((one, two), (two, one)) for text in rows[here] if text]
    own = score([(family.prompts[here], text) for here, _, text in texts])
    other = score([(family.prompts[there], text) for _, there, text in texts])
    gains = [(b.nats - a.nats) / a.tokens for a, b in zip(own, other, strict=True) if a.tokens]
    typical = typical_words(words_of(rows[one]), words_of(rows[two]), background)
    return WordShift(
        model=name,
        words=(family.words[one], family.words[two]),
        shift=mean_interval(gains, f"shift {family.line}") if gains else None,
        distinct=(distinct_share(rows[one]), distinct_share(rows[two])),
        typical=_standing_out(typical),
    )


def _bits(prompts: Sequence[str], side: list[list[str]], score: Score) -> Interval | None:
    """Bits per byte of all texts of a side under a model, by prompt."""
    pairs = [(row, prompt, text) for row, prompt in enumerate(prompts) for text in side[row] if text]
    if not pairs:
        return None
    totals = np.zeros((2, len(prompts)))
    for (row, _, _), scored in zip(pairs, score([(prompt, text) for _, prompt, text in pairs]), strict=True):
        totals[:, row] += scored.nats / math.log(2), scored.bytes
    return ratio_interval(totals[0], totals[1], "side by side")


def _standing_out(words: list[TypicalWord]) -> list[TypicalWord]:
    """The most typical words of each side."""
    first = [each for each in words if each.z >= STANDS_OUT][:MOST_TYPICAL]
    second = [each for each in words if each.z <= -STANDS_OUT][-MOST_TYPICAL:]
    return first + second
