"""BLEU against sacrebleu's own, subtrees against cases small enough to count, and the contrast with verdicts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.evaluation.overlap import Alike, ast_match, measure_overlap
from tezgah.evaluation.task_results import Result
from tezgah.evaluation.tasks import Task, read_tasks

sacrebleu = pytest.importorskip("sacrebleu")
TOKENS = ["if", "return", "x", "y1", "(", "):", "\n    ", "==", "+", "1.5", '"a b"']
texts = st.lists(st.sampled_from(TOKENS), max_size=25).map(" ".join)


@given(text=texts, reference=texts)
def test_bleu_is_sacrebleus_of_sentences(text: str, reference: str) -> None:
    expected = pytest.approx(sacrebleu.sentence_bleu(text, [reference]).score, abs=1e-6)
    alike = Alike()
    assert alike.bleu(text, reference) == expected
    assert alike.keyword_bleu(text, reference, other_weight=1.0) == expected


def test_words_of_python_count_five_times_as_much() -> None:
    """One of two tokens is the same; of the one pair none is, which smoothing counts as half of one."""
    alike = Alike()
    assert alike.bleu("if x", "if y") == pytest.approx((1 / 2 * 1 / 2) ** 0.5 * 100)
    assert alike.keyword_bleu("if x", "if y") == pytest.approx((1 / 1.2 * 1 / 2) ** 0.5 * 100)
    assert alike.keyword_bleu("if x", "or x") == pytest.approx((0.2 / 1.2 * 1 / 2) ** 0.5 * 100)
    assert alike.keyword_bleu("if x", "if x") == 100


def test_a_sentence_of_sacrebleus_documentation() -> None:
    """Of a corpus of one sentence, with four tokens or more, the two figures of sacrebleu are one."""
    text, reference = "It wasn't surprising to anyone at all.", "It was not unexpected to anyone at all."
    assert Alike().bleu(text, reference) == pytest.approx(sacrebleu.corpus_bleu([text], [[reference]]).score, abs=1e-6)


# Shares of the reference's subtrees: prompt, text, reference, how many, of how many.
TREES = [
    # The worked example of the `codebleu` package (1.0 there): other names, the same tree.
    ("", "def add ( a , b ) :\n return a + b", "def sum ( first , second ) :\n return second + first", 1, 1),
    ("def f(x):\n", "    return x + 1\n", "    return x - 1\n", 2, 4),  # name and value; not sum nor return
    ("def f(x):", "\n    return x + 1\n", "\n    return x + 1\n", 1, 1),
    ("def f(x):\n", "    y = x\n    return y\n", "    return x\n", 1, 1),  # more than is asked for costs nothing
    ("def f(x):\n", "    return x\n", "    y = x\n    return y\n", 2, 5),  # assignment, name, name, return, name
    ("def f(x):\n    return x\n", "    pass\n", "    return x\n", 0, 1),  # the prompt's own do not count
    ("def f(x):\n", "    return (x\n", "    return x\n", 0, 1),
    ("def f(x):\n", "    return " + "(" * 5_000, "    return x\n", 0, 1),
    ("def f(x):\n", "    return " + "x+" * 50_000 + "x\n", "    return x\n", 0, 1),  # too deep to be walked
    ("# ş\ndef f(x): ", "return x", "return x", 1, 1),
]


@pytest.mark.parametrize(("prompt", "text", "reference", "part", "whole"), TREES, ids=range(len(TREES)))
def test_subtrees_are_counted(prompt: str, text: str, reference: str, part: int, whole: int) -> None:
    assert ast_match(prompt, text, reference) == pytest.approx(100 * part / whole)


def result(task_id: str, sample: int, completion: str, passed: bool) -> Result:
    return Result(
        task_id=task_id,
        sample=sample,
        raw=completion,
        completion=completion,
        parses=True,
        runs=True,
        passed=passed,
        reason="",
    )


def task(name: str, solution: str | None) -> Task:
    return Task(name, "def f(x):\n", "def check(f): pass", "f", solution)


def test_the_contrast_is_of_samples_that_passed_and_failed(tmp_path: Path) -> None:
    tasks = [task("a", "    return x\n"), task("b", "    return x\n"), task("none", None)]
    same, other = "    return x\n", "    y = 7 + x\n"
    rows = [result("a", 0, same, True), result("a", 1, other, True), result("b", 0, same, False)]
    found = measure_overlap(tasks, Alike(), [*rows, result("none", 0, same, True)], tmp_path)
    assert (found.samples, found.passed, found.failed) == (3, 2, 1)
    contrast = found.ast_match  # of Return(Name) and Name the other has the name
    assert contrast.passed is not None and contrast.failed is not None
    assert contrast.all.value == pytest.approx(250 / 3)
    assert (contrast.passed.value, contrast.failed.value) == (75, 100)
    assert contrast.passed.low is None, "one task alone has samples that passed"
    written = [json.loads(line) for line in (tmp_path / "overlap.jsonl").read_text().splitlines()]
    assert [(row["task_id"], row["sample"], row["ast_match"]) for row in written] == [
        ("a", 0, 100.0),
        ("a", 1, 50.0),
        ("b", 0, 100.0),
    ]
    assert json.loads((tmp_path / "overlap.json").read_text())["ast_match"]["failed"]["value"] == 100
    passing = measure_overlap(tasks, Alike(), rows[:2], tmp_path)
    assert passing.bleu.failed is None
    with pytest.raises(InputError, match="which no task has"):
        measure_overlap(tasks[2:], Alike(), rows, tmp_path)


def test_every_solution_of_human_eval_is_like_itself(shared_data: Path, tmp_path: Path) -> None:
    tasks = read_tasks(shared_data / "text" / "HumanEval.jsonl.gz")[:40]
    rows = [result(each.task_id, 0, each.canonical_solution or "", True) for each in tasks]
    found = measure_overlap(tasks, Alike(), rows, tmp_path)
    for contrast in (found.bleu, found.keyword_bleu, found.ast_match):
        assert contrast.all.value == pytest.approx(100)
