import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.generation.endings import TextEnding, check_stops
from tezgah.generation.stops import first_block
from tezgah.tokenizer.stream import StreamOfBytes

PIECES = st.lists(st.text("ab\n", max_size=4).map(str.encode), max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


def read(pieces, stop=(), until_block=False):
    """The text, why it ended, and the pieces let go on the way."""
    ending = TextEnding(StreamOfBytes(pieces.__getitem__), stop, until_block)
    shown, reason = [], None
    for place in range(len(pieces)):
        reason = ending.add(place)
        shown.append(ending.take())
        if reason:
            break
    return ending.close(), reason, [*shown, ending.take()]


def cut(text, stops):
    """The plain way: character by character, until a stop is complete."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@given(pieces=PIECES, stops=STOPS)
def test_a_text_ends_before_the_stop_that_is_complete_first_wherever_tokens_end(pieces, stops):
    text, reason, shown = read(pieces, stops)
    expected, is_cut = cut(b"".join(pieces).decode(), stops)
    assert (text, reason) == (expected, "stop" if is_cut else None)
    assert "".join(shown) == text


@given(pieces=PIECES, stops=STOPS)
def test_what_is_shown_is_never_taken_back_and_holds_no_more_than_must_wait(pieces, stops):
    whole, _ = cut(b"".join(pieces).decode(), stops)
    ending, read_so_far = TextEnding(StreamOfBytes(pieces.__getitem__), stops), ""
    for place, piece in enumerate(pieces):
        if ending.add(place):
            break
        read_so_far += piece.decode()
        assert whole.startswith(ending.text)
        waits = read_so_far[len(ending.text) :]
        assert not waits or any(stop.startswith(waits) for stop in stops)


@given(pieces=st.lists(st.text("adefclsi#\n ", max_size=6).map(str.encode), max_size=12))
def test_until_block_cuts_what_first_block_cuts(pieces):
    text, _, shown = read(pieces, until_block=True)
    assert text == first_block(b"".join(pieces).decode())
    assert "".join(shown) == text


@given(text=st.text(max_size=12), data=st.data())
def test_characters_that_are_cut_anywhere_come_whole(text, data):
    whole = text.encode()
    ends = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[begin:end] for begin, end in zip([0, *ends], [*ends, len(whole)], strict=True)]
    got, _, shown = read(pieces)
    assert got == "".join(shown) == text
    assert not any("\ufffd" in piece for piece in shown if "\ufffd" not in text)


def test_half_a_character_at_the_end_becomes_the_replacement():
    assert read(["ö".encode()[:1]])[0] == "\ufffd"


def test_a_partial_stop_at_the_end_is_text():
    assert read([b"a = 1\n\n"], ["\n\n\nclass"]) == ("a = 1\n\n", None, ["a = 1", "\n\n"])


def test_overlapping_beginnings_are_not_missed():
    assert read([b"\n\n\ncl", b"ass A"], ["\n\nclass"]) == ("\n", "stop", ["\n", "", ""])


def test_an_empty_stop_is_refused():
    with pytest.raises(InputError, match="a stop is empty"):
        check_stops(["a", ""])
