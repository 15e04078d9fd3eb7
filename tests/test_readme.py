"""The README's commands run and print what is shown, and both languages show the same.

The convention: a table whose second heading is "Command" (in Turkish "Komut") is run, row after row,
in one fresh folder that holds the clone's examples. There a code span of the second column is a
command for bash, one of the third a line that it prints. In such a line `…` stands for anything,
white space counts once, and a decimal number may be off by a fifth, for precision and rounding
differ between machines. A table whose second heading goes on, "Command, minutes", is not run.
"""

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tezgah import verbs

ROOT = Path(__file__).parents[1]
ENGLISH, TURKISH = ROOT / "README.md", ROOT / "README.tr.md"
PAGES = [ENGLISH, TURKISH, *sorted((ROOT / "docs").rglob("*.md"))]
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
DECIMAL = r"\d+\.\d+(?:e-?\d+)?"


class Row(NamedTuple):
    """One row of a table of commands."""

    heading: str  # of the commands' column
    commands: list[str]
    lines: list[str]  # what they print


def rows(page: Path) -> list[Row]:
    """The rows of every table of commands in a page."""
    found, heading = [], None
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<= )\|(?= )", line.strip("|"))] if line.startswith("| ") else []
        assert not (heading and cells) or len(cells) == 3, f"{page.name}: a row needs three cells: {line}"
        if len(cells) != 3:
            heading = heading if line.startswith("|---") else None
        elif heading is None:
            heading = cells[1] if re.match("Command|Komut", cells[1]) else ""
        elif heading:
            found.append(Row(heading, spans(cells[1]), spans(cells[2])))
    return found


def spans(cell: str) -> list[str]:
    """The code spans of a table's cell."""
    return [match[2] for match in SPAN.finditer(cell)]


def says(shown: str, printed: str) -> bool:
    """Whether a printed line is the one that is shown."""
    parts = re.split(f"({DECIMAL}|…)", " ".join(shown.split()))
    pattern = "".join(
        ".*" if part == "…" else f"({DECIMAL})" if re.fullmatch(DECIMAL, part) else re.escape(part) for part in parts
    )
    match = re.fullmatch(pattern, " ".join(printed.split()))
    numbers = [float(part) for part in parts if re.fullmatch(DECIMAL, part)]
    return match is not None and all(
        math.isclose(number, float(found), rel_tol=0.2) for number, found in zip(numbers, match.groups(), strict=True)
    )


def missing(shown: list[str], printed: list[str]) -> list[str]:
    """The shown lines that were not printed in this order."""
    left = iter(printed)
    return [line for line in shown if not any(says(line, each) for each in left)]


def test_the_commands_run_and_print_what_is_shown(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "TERM": "dumb"}
    shown = [row for row in rows(ENGLISH) if row.heading == "Command"]
    assert len(shown) > 20
    for row in shown:
        printed = []
        for command in row.commands:
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            printed += done.stdout.splitlines()
        assert missing(row.lines, printed) == [], "\n".join([*row.commands, *printed])


def test_both_languages_show_the_same_commands_and_outputs() -> None:
    english, turkish = rows(ENGLISH), rows(TURKISH)
    assert [row[1:] for row in english] == [row[1:] for row in turkish]
    assert [row.heading == "Command" for row in english] == [row.heading == "Komut" for row in turkish]


def test_every_verb_is_shown() -> None:
    commands = [command for row in rows(ENGLISH) for command in row.commands]
    assert [verb for verb in verbs.VERBS if not any(f"tezgah {verb} " in command for command in commands)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> list[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("this model 0.4694", "  this model  0.4100", True),
        ("this model 0.4694", "  this model  0.9100", False),
        ("corpus: train 2 documents", "corpus: train 3 documents", False),
        ("training: 100 steps … 2 processes; …", "training: 100 steps on cpu, 2 processes; matrix rate 9", True),
        ("documents 1", "documents      11", False),
        ('{"loss": 1.5}', '{"loss": 1.4}', True),
    ],
)
def test_a_recorded_line_is_told_from_another(shown: str, printed: str, expected: bool) -> None:
    assert says(shown, printed) is expected


def test_recorded_lines_are_looked_for_in_their_order() -> None:
    assert missing(["a", "b"], ["x", "a", "b"]) == []
    assert missing(["b", "a"], ["a", "b"]) == ["a"]
