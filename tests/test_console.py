"""Progress reads well on a terminal, in a file, and after it was interrupted."""

import os
import pty
import subprocess
import sys

import pytest

from tezgah import console
from tezgah.console import heard_by, progress, say, warn


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(console, "monotonic", clock)
    return clock


def on_a_terminal(program: str, columns: int = 200) -> str:
    """What a program writes to a terminal, escape sequences and all."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    child = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not piece:
            break
        written += piece
    child.wait()
    os.close(ours)
    return written.decode()


def test_a_file_gets_a_line_every_half_minute_and_one_at_the_end(clock, capsys):
    with progress("training", total=100, unit="steps") as bar:
        for step in range(100):
            clock.now += 1
            bar.advance(1, f"loss {step}")
    assert capsys.readouterr().err.splitlines() == [
        "training: 30 of 100 steps, 30 %, 1 steps/s, 1 min 10 s left, loss 29",
        "training: 60 of 100 steps, 60 %, 1 steps/s, 40 s left, loss 59",
        "training: 90 of 100 steps, 90 %, 1 steps/s, 10 s left, loss 89",
        "training: 100 of 100 steps, 100 %, 1 steps/s, took 1 min 40 s, loss 99",
    ]


def test_what_an_earlier_run_did_is_counted_but_not_in_the_rate(clock, capsys):
    with progress("training", total=1_000, unit="steps", done=900) as bar:
        clock.now += 50
        bar.advance(100)
    assert capsys.readouterr().err.splitlines()[-1] == "training: 1,000 of 1,000 steps, 100 %, 2 steps/s, took 50 s"


def test_an_unknown_end_has_no_share_and_no_time_left(clock, capsys):
    with progress("reading", total=None, unit="documents") as bar:
        clock.now += 31
        bar.advance(62_000)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 62,000 documents, 2,000 documents/s",
        "reading: 62,000 documents, 2,000 documents/s, took 31 s",
    ]


def test_nothing_to_do_divides_by_nothing(clock, capsys):
    with progress("reading", total=0, unit="documents"):
        pass
    assert capsys.readouterr().err == "reading: 0 of 0 documents, took 0 s\n"


def test_a_failure_is_not_followed_by_a_closing_line(clock, capsys):
    with pytest.raises(ZeroDivisionError), progress("reading", total=2, unit="documents"):
        1 / 0
    assert capsys.readouterr().err == ""


def test_messages_go_to_stderr(capsys):
    say("one")
    warn("two")
    assert capsys.readouterr() == ("", "one\nwarning: two\n")


def test_what_is_said_is_heard_while_one_listens(capsys):
    heard: list[tuple[str, str]] = []
    say("before")
    with pytest.raises(ZeroDivisionError), heard_by(lambda kind, message: heard.append((kind, message))):
        say("one")
        warn("two")
        with progress("training", total=1, unit="steps") as bar:
            bar.advance(1)
        1 / 0
    say("after")
    assert heard == [("message", "one"), ("warning", "two")]


def test_a_terminal_shows_a_bar_with_rate_and_note():
    screen = on_a_terminal(
        "from tezgah.console import progress, warn\n"
        "with progress('training [bold]', total=40, unit='steps', done=8) as bar:\n"
        "    for step in range(32):\n"
        "        bar.advance(1, f'loss [{step}]')\n"
        "    warn('seen above the bar')\n"
    )
    last = screen.splitlines()[-1] if not screen.endswith("\x1b[?25h") else screen.splitlines()[-2]
    assert "training [bold]" in last
    assert "40 of 40 steps, 100 %" in last
    assert "steps/s" in last
    assert "loss [31]" in last  # brackets are text, not markup
    assert "warning: seen above the bar" in screen


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError"])
def test_a_terminal_gets_its_cursor_back(error):
    screen = on_a_terminal(
        "from tezgah.console import progress\n"
        "with progress('training', total=40, unit='steps') as bar:\n"
        f"    bar.advance(); raise {error}\n"
    )
    hidden, shown = screen.rfind("\x1b[?25l"), screen.rfind("\x1b[?25h")
    assert -1 < hidden < shown


def test_a_dumb_terminal_gets_lines():
    program = "import os; os.environ['TERM'] = 'dumb'\nfrom tezgah.console import progress\n"
    screen = on_a_terminal(program + "with progress('x', total=2, unit='steps') as bar: bar.advance(2)")
    assert "\x1b" not in screen
    assert "x: 2 of 2 steps, 100 %" in screen
