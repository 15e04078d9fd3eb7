"""`tezgah score` judges files of samples, and says what is wrong with one in a line."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tezgah import cli, score_verb
from tezgah.evaluation.sandbox import landlock, pool

pytestmark = pytest.mark.skipif(not landlock.interface(), reason="no Landlock here")

TASKS = [
    {
        "task_id": f"own/{number}",
        "prompt": f"def plus(x):\n    '''Add {number}.'''\n",
        "entry_point": "plus",
        "test": f"def check(candidate):\n    assert candidate(1) == {1 + number}, 'not \\x1b[31m{number}'\n",
    }
    for number in range(2)
]
SAMPLES = [
    {"task_id": f"own/{task}", "completion": f"    return x + {added}\n"} for task in (1, 0) for added in (0, 1, 1)
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return write(tmp_path / "tasks.jsonl", TASKS), write(tmp_path / "samples.jsonl", SAMPLES)


def write(path: Path, rows: list[Any]) -> str:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def test_json_tells_each_sample_in_order_and_pass_at_k(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", *files, "--k", "1,3", "--workers", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["task_id"], row["passed"]) for row in told["samples"]] == [
        ("own/1", False), ("own/1", True), ("own/1", True), ("own/0", True), ("own/0", False), ("own/0", False),
    ]  # fmt: skip
    assert {row["reason"] for row in told["samples"]} == {
        "passed", "AssertionError: not \\x1b[31m1", "AssertionError: not \\x1b[31m0"
    }  # fmt: skip
    assert {k: found["value"] for k, found in told["pass_at_k"].items()} == {"1": 0.5, "3": 1.0}
    assert told["pass_at_k"]["1"]["low"] <= 0.5 <= told["pass_at_k"]["1"]["high"]
    assert told["isolation"].startswith("landlock+seccomp")


def test_rows_go_to_stdout_or_to_a_file(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", *files]) == 0
    told = capsys.readouterr()
    shown = told.out.splitlines()
    rows = [json.loads(line) for line in shown[:6]]
    assert [list(row) for row in rows] == [["task_id", "passed", "reason"]] * 6
    assert shown[6].startswith("pass@1") and "0.5000 [" in shown[6]
    assert "score: 6 of 6 samples" in told.err
    assert cli.main(["score", *files, "-o", str(tmp_path / "rows.jsonl")]) == 0
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows
    assert capsys.readouterr().out.startswith("pass@1")


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = write(tmp_path / "tasks.jsonl.gz", TASKS)
    good = write(tmp_path / "good.jsonl.gz", SAMPLES)
    wrong: dict[str, tuple[list[Any], str]] = {
        "unknown": (
            [{"task_id": "own/9", "completion": ""}],
            "`task_id` own/9 is in no task; own/0 is one of 2 that are",
        ),
        "no-completion": ([{"task_id": "own/1"}], "line 1: `completion` is missing"),
        "a-number": ([{"task_id": "own/1", "completion": 3}], "line 1: `completion` is int, not text"),
        "empty": ([], "holds no sample"),
        "half": ([{"task_id": "\ud800", "completion": ""}], "`task_id` '\\ud800' cannot be printed"),
    }
    for name, (rows, message) in wrong.items():
        assert cli.main(["score", tasks, write(tmp_path / f"{name}.jsonl", rows)]) == 2
        told = capsys.readouterr().err
        assert f"{name}.jsonl" in told and message in told and told.count("\n") == 1
    for given, message in {
        "0": "-k: 0 is not from 1",
        "1,x": "-k must be whole numbers",
        "4": "-k: 4 is not from",
    }.items():
        assert cli.main(["score", tasks, good, "--k", given, "--seconds", "1"]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["score", tasks, good, "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err


def test_tasks_without_a_sample_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks, samples = write(tmp_path / "tasks.jsonl", TASKS), write(tmp_path / "samples.jsonl", SAMPLES[:1])
    assert cli.main(["score", tasks, samples]) == 0
    assert "warning: 1 of 2 tasks have no sample and do not count." in capsys.readouterr().err


def test_a_weak_sandbox_is_refused_and_can_be_accepted(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LAYERS", ())
    assert cli.main(["score", *files]) == 2
    assert "the sandbox is weak on this system" in capsys.readouterr().err
    assert cli.main(["score", *files, "--accept-weak-isolation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["isolation"] == "weak"


def test_no_torch_is_loaded(files: tuple[str, str]) -> None:
    test = "import sys; from tezgah import cli; cli.main(sys.argv[1:]); print('torch' in sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", test, "score", *files]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr.endswith("False\n")


@pytest.mark.parametrize("flags", [["--k", "4"], ["-o", "/dev/null/rows.jsonl"], ["-o", "."], ["-o", "/tmp"]])
def test_what_cannot_be_told_is_not_judged_first(
    flags: list[str], files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_verb, "_judged", lambda *_: pytest.fail("it judged"))
    assert cli.main(["score", *files, *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1
