"""The chapters of docs/learn run as they stand and print what they show, in both languages.

The convention: a page's ```python blocks are run in order in one namespace, and what one prints is
the ```text block right after it, to the letter; one without such a block prints nothing.
"""

import io
import re
import tokenize
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ENGLISH = Path(__file__).parents[1] / "docs" / "learn"
TURKISH = ENGLISH / "tr"
PAGES = [*sorted(ENGLISH.glob("*.md")), *sorted(TURKISH.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHAPTERS = {"tensors.md", "autograd.md", "attention.md", "loss.md", "bert.md", "gpt2.md"}


class Snippet(NamedTuple):
    """A block of code, what the page says it prints, and the line of the page it begins at."""

    code: str
    shown: str
    line: int


def snippets(page: str) -> list[Snippet]:
    """The code blocks of a page's text, each with the output that follows it.

    >>> snippets("```python\\nprint(1)\\n```\\n\\n```text\\n1\\n```\\n")
    [Snippet(code='print(1)\\n', shown='1\\n', line=2)]
    """
    found: list[Snippet] = []
    is_answered = True
    for fence in FENCE.finditer(page):
        language, body = fence.groups()
        if language == "python":
            found.append(Snippet(body, "", page[: fence.start(2)].count("\n") + 1))
            is_answered = False
        else:
            assert language == "text" and not is_answered, f"a block that is no code and no output:\n{body}"
            found[-1] = found[-1]._replace(shown=body)
            is_answered = True
    return found


def without_comments(code: str) -> list[str]:
    """The code as Python reads it, in pieces.

    >>> without_comments("x = 1  # one\\n") == without_comments("x = 1  # bir\\n")
    True
    """
    dropped = (tokenize.COMMENT, tokenize.NL)
    return [token.string for token in tokenize.generate_tokens(io.StringIO(code).readline) if token.type not in dropped]


def page_name(page: Path) -> str:
    """A page as a test's name."""
    return page.relative_to(ENGLISH).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_page_prints_what_it_shows(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for snippet in snippets(page.read_text(encoding="utf-8")):
        printed = io.StringIO()
        # Its own lines, so that a traceback names the page and the line on it.
        code = compile("\n" * (snippet.line - 1) + snippet.code, str(page), "exec")
        with redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == snippet.shown, f"{page_name(page)}, line {snippet.line}"


@pytest.mark.parametrize("page", sorted(ENGLISH.glob("*.md")), ids=page_name)
def test_both_languages_have_the_same_snippets(page: Path) -> None:
    english, turkish = (snippets((room / page.name).read_text(encoding="utf-8")) for room in (ENGLISH, TURKISH))
    assert [without_comments(each.code) for each in english] == [without_comments(each.code) for each in turkish]
    assert [each.shown for each in english] == [each.shown for each in turkish]


def test_every_chapter_is_there_and_linked_from_the_index() -> None:
    for room in (ENGLISH, TURKISH):
        assert {page.name for page in room.glob("*.md")} == CHAPTERS | {"README.md"}
        links = re.findall(r"^\d\. \[.+?\]\((.+?)\)", (room / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
        assert len(links) == len(CHAPTERS) and set(links) == CHAPTERS


def test_the_numbers_that_readers_look_for_are_printed() -> None:
    pages = {name: snippets((ENGLISH / name).read_text(encoding="utf-8")) for name in CHAPTERS}
    printed = {name: "".join(each.shown for each in found) for name, found in pages.items()}
    assert "dL/dw -0.0898   dL/db -0.0817" in printed["autograd.md"]
    assert "ln 7.4541e-05 = -9.5042" in printed["loss.md"] and "ln 48725 = 10.794" in printed["loss.md"]
    assert "109,482,240" in printed["bert.md"] and "108,891,648" in printed["bert.md"]
    assert "124,439,808" in printed["gpt2.md"]
