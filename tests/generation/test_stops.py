import re

from hypothesis import given
from hypothesis import strategies as st

from tezgah.generation.stops import ends_block, first_block

STARTS = ["\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif"]
code = st.lists(
    st.sampled_from([*STARTS, "\n", "\n    ", " ", "x", "return 1", "def", "if", "i", "\r\n", "é"]), max_size=12
).map("".join)


@given(code | st.text())
def test_the_cut_is_the_one_of_codeparrot(text):
    assert first_block(text) == re.split("|".join(STARTS), text)[0].rstrip()


@given(code)
def test_what_is_cut_does_not_change_with_what_follows(text):
    """So generation may stop as soon as a block has ended."""
    if ends_block(text):
        assert first_block(text + "\n    more\nclass") == first_block(text)


def test_indented_and_first_lines_are_not_cut():
    body = "def f(x):\n    if x:\n        print(x)\n    # done\n    return x"
    assert first_block(body) == body
    assert not ends_block(body)


OWN = "import math\n# Area.\nclass Side:\n    pass\ndef area_of(x):\n    pass\ndef area(a, b):\n    return a * b"


def test_a_function_that_the_prompt_has_not_begun_is_whole():
    assert first_block(OWN, "area") == OWN
    assert not ends_block(OWN, "area")
    for start in STARTS:
        assert first_block(f"\n{OWN}\n\n{start} x", "area") == f"\n{OWN}"
        assert ends_block(f"\n{OWN}\n{start}", "area")
    assert first_block("print(1)\ndef areas():\n", "area") == "print(1)\ndef areas():"


@given(st.lists(st.sampled_from([*STARTS, "\ndef f(", "def f", "(x):", "\n", "    ", "1"]), max_size=12).map("".join))
def test_what_is_cut_after_a_function_does_not_change_with_what_follows(text):
    if ends_block(text, "f"):
        assert first_block(text + "\ndef f(x)\nclass", "f") == first_block(text, "f")
