import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.killed_tasks import SETTINGS, TASKS, Slow, cut, go
from tezgah.errors import InputError
from tezgah.evaluation.journal import Journal
from tezgah.evaluation.pass_at_k import estimate
from tezgah.evaluation.task_results import Sampled, summarize
from tezgah.evaluation.task_run import run_tasks
from tezgah.evaluation.tasks import read_tasks

SCRIPT = Path(__file__).with_name("killed_tasks.py")
DETERMINISTIC = ("results.jsonl", "settings.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    go(folder)
    return folder


def test_killed_ten_times_the_results_are_the_same_bytes(whole, tmp_path):
    chance = random.Random(3)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    journal = tmp_path / "journal.jsonl"
    kills = 0
    for _ in range(10):
        before = size_of(journal)
        with subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path)], env=environment) as process:
            while process.poll() is None and size_of(journal) == before:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.05)
            if process.poll() is None:
                process.kill()
                kills += 1
    go(tmp_path)
    assert kills == 10
    for name in DETERMINISTIC:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def size_of(path):
    return path.stat().st_size if path.exists() else 0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The same of four tasks."""
    folder = tmp_path_factory.mktemp("small")
    go(folder, tasks=TASKS[:4])
    return folder


@given(share=st.floats(0, 1))
def test_a_journal_torn_anywhere_goes_on_to_the_same_bytes(share, small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("torn")
    data = (small / "journal.jsonl").read_bytes()
    (folder / "settings.json").write_bytes((small / "settings.json").read_bytes())
    (folder / "journal.jsonl").write_bytes(data[: int(share * len(data))])
    go(folder, tasks=TASKS[:4])
    _, again = go(folder, tasks=TASKS[:4])  # what was torn is gone from the journal too, and nothing stands there twice
    assert (again.completed, again.judged) == (0, 0)
    assert len((folder / "journal.jsonl").read_bytes().splitlines()) == len(data.splitlines())
    assert (folder / "results.jsonl").read_bytes() == (small / "results.jsonl").read_bytes()


def test_what_is_there_is_not_made_again(whole, tmp_path):
    _, first = go(tmp_path)
    _, again = go(tmp_path)
    assert (first.completed, again.completed, again.judged) == (150, 0, 0)
    assert (tmp_path / "results.jsonl").read_bytes() == (whole / "results.jsonl").read_bytes()
    told = [json.loads(line) for line in (tmp_path / "timings.jsonl").read_text().splitlines()]
    assert sum(row["samples"] for row in told) == sum(row["verdicts"] for row in told) == 150


def test_a_sample_is_kept_raw_and_cut_and_is_told_to_parse_and_to_run(whole):
    rows = [json.loads(line) for line in (whole / "results.jsonl").read_text().splitlines()]
    assert [(row["task_id"], row["sample"]) for row in rows] == [(t.task_id, k) for t in TASKS for k in range(5)]
    kinds = {row["completion"]: row for row in rows}
    double, open_one, raising, cubed = (
        next(row for text, row in kinds.items() if mark in text) for mark in ("2 * x", "(", "raise", "x ** 3")
    )
    assert [(r["passed"], r["parses"], r["runs"]) for r in (double, open_one, raising, cubed)] == [
        (True, True, True),
        (False, False, False),
        (False, True, False),
        (False, True, True),
    ]
    assert cubed["raw"] == cubed["completion"] + "\nprint(1)\n"
    assert raising["reason"] == "ValueError in <object object at 0x…>"


def test_the_summary_is_that_of_the_rows(whole):
    results, _ = go(whole)
    found = summarize(results, (1, 5), None)
    by_task = [[row.passed for row in results if row.task_id == task.task_id] for task in TASKS]
    for k in (1, 5):
        mean = sum(estimate(5, sum(row), k) for row in by_task) / len(TASKS)
        assert found.pass_at_k[k].value == pytest.approx(mean)
    assert (found.tasks, found.samples) == (30, 150)
    assert found.parses.value == pytest.approx(sum(row.parses for row in results) / 150)
    assert found.runs.low is not None and found.runs.high is not None
    assert found.runs.value == pytest.approx(sum(bool(row.runs) for row in results) / 150)
    assert found.runs.low < found.runs.value < found.runs.high


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model_hash": "9" * 64}, "holds results of another model .1111"),
        ({"tasks_hash": "9" * 64}, "holds results of other tasks"),
        ({"isolation": "weak"}, "holds results of isolation .'none', not 'weak'."),
        ({"sampling": msgspec.structs.replace(SETTINGS.sampling, top_p=0.9)}, "results with top_p = 1.0, not 0.9"),
        ({"sampling": msgspec.structs.replace(SETTINGS.sampling, n=6)}, "results with n = 5, not 6"),
    ],
)
def test_a_folder_of_other_results_is_refused_in_a_line(changed, told, whole):
    with pytest.raises(InputError, match=told) as refused:
        go(whole, settings=msgspec.structs.replace(SETTINGS, **changed))
    assert "\n" not in str(refused.value)


def test_other_versions_are_told_and_kept_as_they_were(whole, tmp_path, capsys):
    for name in ("settings.json", "journal.jsonl"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    go(tmp_path, settings=msgspec.structs.replace(SETTINGS, versions={"python": "4"}))
    assert "began with other versions (python)" in capsys.readouterr().err
    assert (tmp_path / "settings.json").read_bytes() == (whole / "settings.json").read_bytes()


def test_a_damaged_journal_is_refused(whole, tmp_path):
    (tmp_path / "settings.json").write_bytes((whole / "settings.json").read_bytes())
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join([lines[0], b'{"kind": "sample"}\n', *lines[2:]]))
    with pytest.raises(InputError, match=r"journal.jsonl: line 2 is no row of a journal"):
        go(tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(InputError, match="has a journal and no settings.json"):
        go(tmp_path)
    (tmp_path / "settings.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 99 is newer"):
        go(tmp_path)


def test_no_part_of_a_row_stays_where_the_disk_is_full(tmp_path, monkeypatch):
    row = Sampled(task_id="a", sample=0, raw="b", completion="b")
    with Journal[Sampled](tmp_path / "journal.jsonl", Sampled) as journal:
        journal.add([row])
        monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(InputError, match="the disk is full"):
            journal.add([row])
    with Journal[Sampled](tmp_path / "journal.jsonl", Sampled) as journal:
        assert journal.rows == [row]


class Stopped(Exception):
    """In place of a kill."""


def stops_after(count, given):
    """What is given, until a kill comes."""
    for number, each in enumerate(given):
        if number == count:
            raise Stopped
        yield each


def kinds_in(folder):
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [row["kind"] for row in rows]


def test_the_samples_of_every_task_are_kept_at_once(tmp_path, whole):
    slow = Slow()
    with pytest.raises(Stopped):
        run_tasks(TASKS, SETTINGS, lambda *asked: stops_after(3, slow.complete(*asked)), cut, slow.judge, tmp_path)
    assert kinds_in(tmp_path) == ["sample"] * 15
    asked = []

    def complete(tasks, n, seeds):
        asked.append(list(tasks))
        return slow.complete(tasks, n, seeds)

    run_tasks(TASKS, SETTINGS, complete, cut, slow.judge, tmp_path)
    assert asked == [TASKS[:25], TASKS[25:]]  # with all that it was decoded beside, or it could be rounded otherwise
    assert len(kinds_in(tmp_path)) == len(kinds_in(whole))
    assert (tmp_path / "results.jsonl").read_bytes() == (whole / "results.jsonl").read_bytes()


def test_every_verdict_is_kept_at_once(tmp_path, whole):
    slow = Slow()
    with pytest.raises(Stopped):
        run_tasks(TASKS, SETTINGS, slow.complete, cut, lambda given: stops_after(7, slow.judge(given)), tmp_path)
    assert kinds_in(tmp_path) == ["sample"] * 125 + ["verdict"] * 7  # of 25 tasks, which are made together
    go(tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() == (whole / "results.jsonl").read_bytes()


def test_what_runs_is_told_of_tests_that_call_the_function_by_its_name(tmp_path):
    """As those of MBPP do, which never look at `candidate`."""
    code, tests = "def add(a, b):\n    return a + b", ["assert add(1, 2) == 3"]
    row = {"task_id": 1, "text": "Add.", "code": code, "test_list": tests}
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row))
    bodies = ["def add(a, b):\n    return a - b", "def add(a, b):\n    raise ValueError", "def add(a, b:"]
    results = run_tasks(
        read_tasks(tmp_path / "mbpp.jsonl"),
        msgspec.structs.replace(SETTINGS, sampling=msgspec.structs.replace(SETTINGS.sampling, n=3)),
        lambda tasks, n, seeds: [bodies],
        lambda task, text: text,
        Slow().judge,
        tmp_path,
    )
    assert [(row.passed, row.parses, row.runs) for row in results] == [
        (False, True, True),
        (False, True, False),
        (False, False, False),
    ]
