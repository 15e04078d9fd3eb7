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
