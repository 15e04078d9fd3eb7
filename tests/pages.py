"""A page as a browser sees it, and what every page of ours keeps to."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, text, and whether every tag is closed in turn."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def attributes(self, *names):
        return [value for _, attributes in self.tags for name, value in attributes.items() if name in names]


def check_stands_alone(source):
    """Nothing is fetched and no script runs; ids and colours that are referred to are there, in light and in dark."""
    page = Page(source)
    assert "http:" not in source
    assert "https:" not in source
    assert "script" not in {tag for tag, _ in page.tags}
    references = page.attributes("href", "src", "xlink:href") + re.findall(r"url\(([^)]*)\)", source)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {each for each in references if each != "data:,"} <= {f"#{each}" for each in ids}
    assert [each for each in page.attributes("for") if each not in ids] == []
    light, dark = re.findall(r":root \{(.*?)\}", source, re.DOTALL)[:2]
    used = set(re.findall(r"var\((--c[0-9a-f]{6})\)", source))
    assert used
    assert used <= set(re.findall(r"(--\w+):", light))
    assert used - {"--cffffff"} <= set(re.findall(r"(--\w+):", dark))
