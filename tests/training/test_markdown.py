"""The card's Markdown, held against markdown-it (which `rich` brings)."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.training.markdown import escape, to_html

markdown_it = pytest.importorskip("markdown_it")

word = st.text("abçİz9<>&\"'#.-:/$", min_size=1, max_size=6).filter(
    lambda text: text[0] not in "#.-:>&<" and "<" not in text
)
code = (
    st.text("ab|<&*_ \\`", min_size=1, max_size=8).map(lambda text: text.strip(" `\\").replace("`", "'")).filter(bool)
)
piece = (
    word | code.map(lambda text: f"`{text}`") | word.map(lambda text: f"**{text}**") | st.just("\\*") | st.just("\\|")
)
line = st.lists(piece, min_size=1, max_size=5).map(" ".join)
cell = st.lists(piece.map(lambda text: text.replace("\\|", "|").replace("|", "\\|")), min_size=1, max_size=3).map(
    " ".join
)
heading = st.tuples(st.integers(1, 6), line).map(lambda pair: f"{'#' * pair[0]} {pair[1]}")
items = st.lists(line, min_size=1, max_size=4).map(lambda lines: "\n".join(f"- {each}" for each in lines))
nested = st.tuples(items, items).map(
    lambda pair: pair[0] + "\n" + "\n".join(f"  {each}" for each in pair[1].split("\n"))
)
numbered = st.lists(line, min_size=1, max_size=4).map(
    lambda lines: "\n".join(f"{number}. {each}" for number, each in enumerate(lines, 1))
)
fence = st.lists(st.text("ab<|#- *`&", max_size=9).filter(lambda each: "```" not in each), max_size=4).map(
    lambda lines: "\n".join(["```", *lines, "```"])
)
paragraph = st.lists(line, min_size=1, max_size=3).map("\n".join)


@st.composite
def table(draw):
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=4))
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * width, *body])


class Shape(HTMLParser):
    """What a browser would see, text in quotes; attributes and boxes are ours alone and left out."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.parts += [tag] if tag != "div" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if self.parts[-1] == tag == "tbody":
            self.parts.pop()  # markdown-it leaves an empty one out
        elif tag != "div":
            self.parts.append(f"/{tag}")

    def handle_data(self, data):
        if text := " ".join(data.split()):
            self.parts.append(repr(text))


blocks = heading | items | nested | numbered | fence | table() | paragraph


@given(st.lists(blocks, max_size=5).map("\n\n# between\n\n".join))
def test_a_card_reads_as_markdown_it_reads_it(text):
    theirs = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    assert Shape(to_html(text)).parts == Shape(theirs).parts


@given(st.text('ab #|-*`1.\n\\<>&"~ \t\r\0', max_size=60))
def test_any_text_becomes_closed_tags_of_the_few_kinds(text):
    tags = {part.strip("/") for part in Shape(to_html(text)).parts if part[0] not in "'\""}
    few = "p ul ol li code pre strong table thead tbody tr th td h1 h2 h3 h4 h5 h6"
    assert tags <= set(few.split())


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_escaped_text_is_text_alone_and_always_has_bytes(text):
    escape(text).encode()
    assert all(part[0] in "'\"" for part in Shape(escape(text)).parts)


def test_a_column_of_numbers_stands_right():
    html = to_html("| name | bytes | share |\n| --- | --- | --: |\n| a | 1,024 | – |\n| b | 7.5% | – |")
    assert html.count('<td class="number">') == 4
    assert html.count("<td>") == 2
