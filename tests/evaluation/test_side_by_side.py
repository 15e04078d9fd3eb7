import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.evaluation.continuations import Continuation
from tezgah.evaluation.prompts import Family, read_family, read_prompts
from tezgah.evaluation.side_by_side import compare_texts, write_texts
from tezgah.evaluation.wording import PRIOR_WORDS, distinct_share, typical_words, words_of

FAMILIES = [Family("{He|She} is", ("He", "She"), ("He is", "She is")), Family("Bir", ("",), ("Bir",))]


def echo(prompts, n, seeds):
    """A model whose texts tell what it was asked."""
    return [
        [f" {prompt} {seed % 97} {candidate}" for candidate in range(n)]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def score(pairs):
    """A word of the prompt that comes again costs a nat, another two; a token is a word."""
    found = []
    for prompt, text in pairs:
        words = text.split()
        nats = sum(1.0 if word in prompt.split() else 2.0 for word in words)
        found.append(Continuation(nats=nats, tokens=len(words), bytes=len(text.encode())))
    return found


def test_the_prompts_of_a_family_have_the_same_seeds_and_lines_have_others():
    asked = []

    def noting(prompts, n, seeds):
        asked.extend(seeds)
        return echo(prompts, n, seeds)

    texts = write_texts(noting, FAMILIES, 2, 7)
    assert asked[0] == asked[1] != asked[2]
    assert [len(row) for row in texts] == [2, 2, 2]
    assert write_texts(echo, FAMILIES, 2, 7) == texts != write_texts(echo, FAMILIES, 2, 8)


def test_a_shift_is_how_much_likelier_texts_are_after_their_own_word():
    texts = write_texts(echo, FAMILIES, 3, 1)
    found = compare_texts(["a", "b"], FAMILIES, [texts, texts], [score, score])
    family = found.families[0]
    assert [(each.model, each.words) for each in family.shifts] == [("a", ("He", "She")), ("b", ("He", "She"))]
    shift = family.shifts[0].shift
    assert shift is not None
    assert (shift.value, shift.low, shift.high) == pytest.approx((0.25, 0.25, 0.25))  # one of four words, a nat
    assert found.families[1].shifts == []
    assert [row.texts for row in found.families[1].prompts] == [[texts[2], texts[2]]]
    bits, again = found.bits_per_byte[0]
    assert bits is not None
    assert bits == again
    prompts = ("He is", "She is", "Bir")
    everything = [(prompt, text) for prompt, row in zip(prompts, texts, strict=True) for text in row]
    nats, sizes = sum(each.nats for each in score(everything)), sum(len(text) for _, text in everything)
    assert bits.value == pytest.approx(nats / math.log(2) / sizes)


def test_models_that_write_nothing_are_told_so():
    found = compare_texts(["a", "b"], FAMILIES, [[[""], [""], [""]]] * 2, [score, score])
    assert found.bits_per_byte == [[None, None], [None, None]]
    assert found.families[0].shifts[0].shift is None
    assert found.distinct == [0, 0]
    with pytest.raises(InputError, match="two models"):
        compare_texts(["a"], FAMILIES, [], [])


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1).map(Counter)


@given(first=counts, second=counts)
def test_typical_words_are_those_of_the_formulas_of_monroe_and_others(first, second):
    everything = first + second
    found = {each.word: each for each in typical_words(first, second, everything)}
    size = sum(everything.values())
    for word in everything:
        alpha = PRIOR_WORDS * everything[word] / size
        y_i, y_j, n_i, n_j = first[word], second[word], sum(first.values()), sum(second.values())
        delta = math.log((y_i + alpha) / (n_i + PRIOR_WORDS - y_i - alpha)) if len(everything) > 1 else 0
        delta -= math.log((y_j + alpha) / (n_j + PRIOR_WORDS - y_j - alpha)) if len(everything) > 1 else 0
        variance = 1 / (y_i + alpha) + 1 / (y_j + alpha)
        assert found[word].z == pytest.approx(delta / math.sqrt(variance), abs=1e-9)
        assert (found[word].first, found[word].second) == (y_i, y_j)
    order = [each.z for each in typical_words(first, second, everything)]
    assert order == sorted(order, reverse=True)


def test_what_one_side_says_stands_out():
    first, second = words_of(["the king and the crown"] * 9), words_of(["the dog and the bone"] * 9)
    found = typical_words(first, second, first + second)
    assert {each.word for each in found[:2]} == {"king", "crown"}
    assert {each.word for each in found[-2:]} == {"dog", "bone"}
    assert all(abs(each.z) < 1e-9 for each in found[2:-2])
    assert distinct_share(["a a", "b"]) == pytest.approx(2 / 3)


def test_prompts_are_read_line_by_line(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text('"\\nWhen they came back"\n\n{Ali|Ayşe|İpek} geldi \ndef f(x): return {x}\n', encoding="utf-8")
    quoted, family, code = read_prompts(path)
    assert quoted.prompts == ("\nWhen they came back",)
    assert (family.words, family.prompts[2]) == (("Ali", "Ayşe", "İpek"), "İpek geldi")
    assert code.prompts == ("def f(x): return {x}",)
    path.write_bytes(b"\xef\xbb\xbfa\x0cb\xe2\x80\xa8c\r\nd\n")
    assert [each.line for each in read_prompts(path)] == ["a\x0cb\u2028c", "d"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{a|b} and {c|d}", "p, line 1: has 2 places"),
        ("{a|a} is", "names a word twice"),
        ("{a| } is", "or none"),
        ('"\\x"', "not a text in JSON's quotes"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line, told):
    with pytest.raises(InputError, match=told):
        read_family(line, "p, line 1")


def test_files_of_prompts_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_prompts(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match="holds no prompt"):
        read_prompts(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes("ışık".encode("iso8859_9"))
    with pytest.raises(InputError, match="not UTF-8 .byte 0"):
        read_prompts(tmp_path / "latin.txt")


def test_a_single_prompt_has_figures_without_bounds():
    texts = [[[" He goes"], [""]], [[""], [""]]]
    found = compare_texts(["a", "b"], FAMILIES[:1], texts, [score, score])
    shift, bits = found.families[0].shifts[0].shift, found.bits_per_byte[0][0]
    assert shift is not None and bits is not None
    assert (str(shift), str(bits)) == ("0.5000 [–]", f"{3 / math.log(2) / 8:.4f} [–]")
