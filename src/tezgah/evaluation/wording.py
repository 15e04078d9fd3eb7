"""In what words two sets of texts differ, without a judgement of what the words mean.

Log-odds with an informative Dirichlet prior: Monroe, Colaresi and Quinn 2008, "Fightin' Words", equations 16, 18, 22.
A word's odds on each side are drawn towards its share in all texts, so that rare words need more to stand out.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable

import msgspec

PRIOR_WORDS = 100.0  # how many words of all texts the prior is worth on each side
WORD = re.compile(r"\w+(?:['’]\w+)*")


class TypicalWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word that one side has more than the other: `z` is its log-odds ratio in standard deviations."""

    word: str
    z: float
    first: int  # how often each side has it
    second: int


def words_of(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, as it is written: lower-casing would join I and ı, or part them, by language.

    >>> sorted(words_of(["Ben ışık, ben I'm"]).items())
    [('Ben', 1), ("I'm", 1), ('ben', 1), ('ışık', 1)]
    """
    return Counter(word for text in texts for word in WORD.findall(text))


def distinct_share(texts: Iterable[str]) -> float:
    """Different words per word (Li et al. 2016, "A Diversity-Promoting Objective Function", distinct-1).

    >>> distinct_share(["a b a b"]), distinct_share([""])
    (0.5, 0.0)
    """
    counts = words_of(texts)
    return len(counts) / counts.total() if counts else 0.0


def typical_words(first: Counter[str], second: Counter[str], all_texts: Counter[str]) -> list[TypicalWord]:
    """Words by how typical they are of the first side, the most typical first; the last are those of the second.

    `all_texts`, which hold both sides, give the prior. Where they have one word alone, it is typical of neither.
    """
    scale = PRIOR_WORDS / max(1, all_texts.total())
    totals = first.total() + PRIOR_WORDS, second.total() + PRIOR_WORDS
    found = []
    for word in first.keys() | second.keys():
        prior = all_texts[word] * scale
        own, other = first[word] + prior, second[word] + prior
        z = 0.0
        if len(all_texts) > 1:
            odds = math.log(own / (totals[0] - own)) - math.log(other / (totals[1] - other))
            z = odds / math.sqrt(1 / own + 1 / other)
        found.append(TypicalWord(word=word, z=z, first=first[word], second=second[word]))
    return sorted(found, key=lambda each: (-each.z, each.word))
