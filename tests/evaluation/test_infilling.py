"""Lines left out of solutions: which, what is right, and that a kill changes no byte."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tezgah.evaluation.infilling import gap_of, run_infilling, share_right
from tezgah.evaluation.tasks import Task, read_tasks

SOLUTION = "    y = x\n\n    for _ in range(3):\n        y += x\n    return y\n"


def task(number: int, solution: str | None = SOLUTION) -> Task:
    return Task(f"task/{number}", "def f(x):\n", "def check(f): pass", "f", solution)


TASKS = [task(number) for number in range(12)] + [task(12, None)]


def right(before: str, after: str) -> str:
    """What a model that knows the solution writes, with other white space at the end."""
    whole = TASKS[0].prompt + SOLUTION
    assert whole.startswith(before) and whole.endswith(after)
    return whole[len(before) : len(whole) - len(after)].rstrip("\n") + " \n\n"


@given(solution=st.text("ab \n\r\t\f\u2028", max_size=40), name=st.text(max_size=5))
@example(solution="    return 1", name="no end of line")
@example(solution="", name="")
def test_a_gap_is_a_line_that_is_not_blank(solution: str, name: str) -> None:
    found = gap_of(Task(name, "def f():\n", "", "f", solution))
    lines = solution.split("\n")
    if not solution.strip():
        assert found is None
        return
    assert found is not None and found.line.strip()
    assert found.before + found.line + found.after == "def f():\n" + solution
    assert found.line.removesuffix("\n") == lines[found.number] and "\n" not in found.line[:-1]
    assert found == gap_of(Task(name, "def f():\n", "", "f", solution))


def test_every_line_may_be_the_one() -> None:
    found = [gap_of(task(number)) for number in range(200)]
    numbers = [gap.number for gap in found if gap]
    assert {number: numbers.count(number) > 25 for number in set(numbers)} == dict.fromkeys((0, 2, 3, 4), True)


def test_every_solution_of_human_eval_has_its_gap(shared_data: Path) -> None:
    tasks = read_tasks(shared_data / "text" / "HumanEval.jsonl.gz")
    gaps = [gap_of(each) for each in tasks]
    assert len(gaps) == 164
    for each, gap in zip(tasks, gaps, strict=True):
        assert gap is not None and gap.line in (each.canonical_solution or "")


@pytest.mark.parametrize(
    ("fill", "share"),
    [
        (right, 1.0),
        (lambda before, after: right(before, after).lstrip(), 0.0),  # the indent is asked for, too
        (lambda before, after: right(before, after) + "x", 0.0),
        (lambda before, after: "", 0.0),
        (lambda before, after: "    y = x" if before == "def f(x):\n" else "?", 1 / 6),
    ],
)
def test_the_line_itself_is_right_but_for_white_space_at_its_end(fill, share, tmp_path: Path) -> None:
    found = share_right(run_infilling(TASKS, fill, tmp_path))
    first = sum(gap.number == 0 for each in TASKS if (gap := gap_of(each)))
    assert found is not None
    assert found.value == (share if share != 1 / 6 else first / 12)
    assert found.low is not None and found.high is not None and found.low < found.high


def test_without_solutions_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert run_infilling([task(1, None), task(2, "\n \n")], right, tmp_path) == []
    assert share_right([]) is None


@settings(max_examples=30)
@given(share=st.floats(0, 1))
def test_a_journal_torn_anywhere_goes_on_to_the_same_bytes(share: float, tmp_path_factory: pytest.TempPathFactory):
    whole, torn = (tmp_path_factory.mktemp(name) for name in ("whole", "torn"))
    expected = run_infilling(TASKS, right, whole)
    data = (whole / "infill.jsonl").read_bytes()
    (torn / "infill.jsonl").write_bytes(data[: int(share * len(data))])
    asked = []

    def fill(before: str, after: str) -> str:
        asked.append(before)
        return right(before, after)

    assert run_infilling(TASKS, fill, torn) == expected
    assert (torn / "infill.jsonl").read_bytes() == data
    assert len(asked) == 12 - data[: int(share * len(data))].count(b"\n")
