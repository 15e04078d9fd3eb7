"""Cutting: parts join to the text, stay within the limit, and end where a person would end them."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tezgah.corpus.columns import BEGINS
from tezgah.corpus.cut import cut_at, cut_long, cut_points

TEXTS = st.text(st.sampled_from("aé€𝄞 \n\r\t") | st.characters(exclude_categories=["Cs"]), max_size=300)


def documents(texts: list[str]) -> pa.RecordBatch:
    paths = [f"{place}.txt" for place in range(len(texts))]
    return pa.record_batch({"text": pa.array(texts, pa.string()), "path": paths, BEGINS: [True] * len(texts)})


def rejoined(batch: pa.RecordBatch) -> list[tuple[str, str]]:
    """(path, text) of whole texts, put together in plain Python."""
    whole: list[tuple[str, str]] = []
    for row in batch.to_pylist():
        if row[BEGINS]:
            whole.append((row["path"], row["text"]))
        else:
            path, text = whole[-1]
            assert path == row["path"]
            whole[-1] = (path, text + row["text"])
    return whole


@given(st.lists(TEXTS, max_size=5), st.integers(1, 50))
def test_parts_join_to_the_text_and_stay_within_the_limit(texts, limit):
    batch = documents(texts)
    cut = cut_long(batch, limit)
    cut.validate(full=True)  # Arrow finds a character that was cut in two
    assert rejoined(cut) == list(zip(batch["path"].to_pylist(), texts, strict=True))
    assert all(0 < len(part.encode()) <= max(limit, 4) for part in cut["text"].to_pylist() if part or "" not in texts)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(4, 50), st.data())
def test_a_slice_of_a_batch_is_cut_like_a_batch_of_its_own(texts, limit, data):
    start = data.draw(st.integers(0, len(texts)))
    sliced, own = documents(texts).slice(start), documents(texts[start:])
    assert cut_long(sliced, limit)["text"].to_pylist() == cut_long(own, limit)["text"].to_pylist()


@given(TEXTS, st.integers(4, 50), st.integers(0, 400))
def test_a_part_depends_only_on_what_lies_within_its_limit(text, limit, extra):
    """So a text that is read piece by piece is cut like one that is held whole."""
    content = text.encode()
    points = cut_points(content, limit)
    known = cut_points(content[: limit + 1 + extra], limit)
    assert known == points[: len(known)]


@given(st.lists(st.text("ab .\n", min_size=1, max_size=30).map(lambda text: text.strip() or "x"), min_size=1))
def test_where_paragraphs_fit_every_part_ends_with_one(paragraphs):
    paragraphs = [" ".join(each.split()) or "x" for each in paragraphs]
    text = "\n\n".join(paragraphs)
    parts = cut_long(documents([text]), 40)["text"].to_pylist()
    assert all(part.endswith("\n\n") for part in parts[:-1])
    greedy = [""]  # as a person would fill pages of 40 bytes
    for place, paragraph in enumerate(paragraphs):
        piece = paragraph + ("\n\n" if place < len(paragraphs) - 1 else "")
        greedy = [*greedy[:-1], greedy[-1] + piece] if len(greedy[-1] + piece) <= 40 else [*greedy, piece]
    assert parts == greedy


def test_without_paragraphs_lines_then_words_then_characters_end_a_part():
    cases = {"aa\nbb\ncc": ["aa\nbb\n", "cc"], "aa bb cc": ["aa bb ", "cc"], "ççççç": ["ççç", "çç"], "𝄞𝄞": ["𝄞", "𝄞"]}
    for text, parts in cases.items():
        assert cut_long(documents([text]), 7)["text"].to_pylist() == parts


def test_windows_line_ends_make_paragraphs_too():
    parts = cut_long(documents(["one\r\n\r\ntwo\r\nthree"]), 14)["text"].to_pylist()
    assert parts == ["one\r\n\r\n", "two\r\nthree"]


def test_other_columns_go_with_every_part():
    batch = cut_at(documents(["abcdef", "gh"]), {0: [2, 4]})
    assert batch.to_pydict() == {
        "text": ["ab", "cd", "ef", "gh"],
        "path": ["0.txt", "0.txt", "0.txt", "1.txt"],
        BEGINS: [True, False, False, True],
    }
