"""`tezgah compare` and `tezgah evaluate`: two small models trained here, on prompts, tasks and files."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import tezgah
from tests.pages import Page
from tezgah.cli import main
from tezgah.compare_page import compare_page, compare_tasks
from tezgah.errors import InputError
from tezgah.evaluation.infilling import Infilled, share_right
from tezgah.evaluation.intervals import mean_interval
from tezgah.evaluation.side_by_side import FamilyTexts, PromptTexts, SideBySide
from tezgah.evaluation.task_results import Result, summarize
from tezgah.task_measure import Measured, model_hash

HOSTILE = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">\x1b[31mred\x1b]0;title\x07\u202e&amp;'
PROMPTS = '"\\nWhen they came back"\n{He|She} works as\n{Ali|Ayşe} eve gelince\n<b onclick=x>\n'
TEXTS = ["def twice(x):\n    return 2 * x\n" * 6, "When they came back, she slept. Ali eve geldi.\n" * 6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`first` and `second`, two small models, and a file of prompts."""
    home = tmp_path_factory.mktemp("models")
    tokenizer = tezgah.Tokenizer.train(TEXTS, vocab_size=300)
    for seed, name in enumerate(("first", "second")):
        model = tezgah.new_model(300, seed=seed, n_layers=1, width=32, n_heads=2, context_length=64)
        settings: dict[str, Any] = {"steps": 15, "batch_size": 2, "compile": False, "threads": 1, "sample_tokens": 0}
        tezgah.train(model, tokenizer, TEXTS[seed:], folder=home / name, **settings)
    (home / "prompts.txt").write_text(PROMPTS, encoding="utf-8")
    return home


def compared(folder: Path, output: Path, *flags: str) -> int:
    words = ["compare", str(folder / "first"), str(folder / "second"), "--max-new-tokens", "8", "-o", str(output)]
    return main([*words, *flags])


def test_completions_stand_side_by_side_with_the_same_seeds(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = ("--prompts", str(folder / "prompts.txt"), "--temperature", "0.9")
    assert compared(folder, tmp_path / "a.html", *prompts, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert compared(folder, tmp_path / "b.html", *prompts) == 0
    capsys.readouterr()
    source = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert source == (tmp_path / "b.html").read_text(encoding="utf-8")
    page = Page(source)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "onclick" not in {name for _, attributes in page.tags for name in attributes}
    families = answer["texts"]["families"]
    assert [len(each["prompts"]) for each in families] == [1, 2, 2, 1]
    assert [len(each["shifts"]) for each in families] == [0, 2, 2, 0]
    for family in families:
        for row in family["prompts"]:
            assert [len(side) for side in row["texts"]] == [3, 3]
    assert families[0]["prompts"][0]["prompt"] == "\nWhen they came back"
    assert "\n\nWhen they came back" in page.text  # in a <pre>, whose first newline a browser drops
    own, other = answer["texts"]["bits_per_byte"][0]
    assert own["value"] != other["value"]


def test_prompts_in_rows_of_json_are_taken_as_they_stand(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["\nWhen {they|we} came back", "def f():\n    "]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    told = ("--prompts", str(tmp_path / "prompts.jsonl"), "-n", "1", "--json")
    assert compared(folder, tmp_path / "a.html", *told) == 0
    families = json.loads(capsys.readouterr().out)["texts"]["families"]
    assert [[row["prompt"] for row in family["prompts"]] for family in families] == [[text] for text in texts]


def test_python_compares_as_the_verb_does(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = folder / "prompts.txt"
    assert compared(folder, tmp_path / "a.html", "--prompts", str(prompts), "-n", "2", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    page = tmp_path / "b.html"
    found = tezgah.compare(folder / "first", folder / "second", page, prompts=prompts, n=2, max_new_tokens=8)
    assert page.read_text(encoding="utf-8") == (tmp_path / "a.html").read_text(encoding="utf-8")
    assert found.texts is not None and found.tasks is None and found.page == page
    assert json.loads(msgspec.json.encode(found.texts)) == answer["texts"]
    assert (found.models, found.drawn["n"]) == (answer["models"], 2)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"promts": "a.txt"}, "tezgah.compare: there is no setting promts. Did you mean prompts?"),
        ({"json": True}, "tezgah.compare: there is no setting json."),
        ({"prompts": "a.txt", "n": 0}, "tezgah.compare: n must be a whole number, 1 or more, not 0."),
        ({"tasks": "a.jsonl", "k": (1, 9)}, "-k: 9 is not from 1 to 3"),
        ({}, "give prompts, tasks, or both"),
    ],
)
def test_what_python_cannot_compare_is_told_in_a_line(settings: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        tezgah.compare("a", "b", tmp_path / "page.html", **settings)
    assert told in str(refused.value)


def test_a_model_beside_itself_does_not_differ(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = str(folder / "first")
    words = ["--prompts", str(folder / "prompts.txt"), "--max-new-tokens", "6", "-o", str(tmp_path / "a.html")]
    assert main(["compare", first, f"{first}/", *words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["models"]) == ["first (first)", "first (second)"]
    for family in answer["texts"]["families"]:
        assert all(row["texts"][0] == row["texts"][1] for row in family["prompts"])
    assert answer["texts"]["typical"] == []


def result(task: str, sample: int, passed: bool, completion: str = "pass") -> Result:
    return Result(
        task_id=task,
        sample=sample,
        raw=completion,
        completion=completion,
        parses=True,
        runs=passed,
        passed=passed,
        reason="passed" if passed else HOSTILE,
    )


def measured(passes: list[list[bool]], completion: str = "pass", matches: Sequence[bool] = ()) -> Measured:
    rows = [
        result(f"task/{place}", sample, passed, completion)
        for place, each in enumerate(passes)
        for sample, passed in enumerate(each)
    ]
    infilled = [
        Infilled(task_id=f"task/{place}", line=0, expected="    return x\n", written=HOSTILE, matches=each)
        for place, each in enumerate(matches)
    ]
    return Measured(summarize(rows, (1, 2), None, share_right(infilled)), rows, infilled, None, "none", "block")


def test_the_tasks_that_flipped_are_those_that_one_alone_solved() -> None:
    first = measured([[True, False], [False, False], [True, True], [False, True]], HOSTILE)
    second = measured([[False, False], [False, True], [True, True], [False, True]])
    found = compare_tasks(first, second)
    assert [each.task_id for each in found.only_first] == ["task/0"]
    assert [each.task_id for each in found.only_second] == ["task/1"]
    assert (found.mcnemar.only_first, found.mcnemar.only_second, found.mcnemar.exact) == (1, 1, 1.0)
    assert found.difference.difference.value == 0
    page = Page(compare_page(["a", "b"], None, found, {"n": 2}))
    assert "task/0: solved by a alone" in page.text
    assert "task/1: solved by b alone" in page.text
    assert "No task flipped" not in page.text
    assert "No task flipped" in compare_page(["a", "b"], None, compare_tasks(first, first), {"n": 2})


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=14))
def test_lines_filled_in_are_compared_as_scipy_compares_pairs(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (measured([[True, True]], matches=side) for side in zip(*pairs, strict=True))
    found = compare_tasks(first, second)
    assert found.infilled is not None
    one, other = (sum(a > b for a, b in side) for side in (pairs, [(b, a) for a, b in pairs]))
    expected = scipy.stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert (found.infilled.mcnemar.only_first, found.infilled.mcnemar.only_second) == (one, other)
    assert found.infilled.mcnemar.exact == pytest.approx(expected)
    assert found.infilled.difference.difference.value == pytest.approx((other - one) / len(pairs))
    if one + other <= 13:  # all flips of the signs are tried, which is the binomial test
        assert found.infilled.difference.p_value == pytest.approx(expected)
    text = Page(compare_page(["a", "b"], None, found, {"n": 2})).text
    shares = [str(each.infill_exact_match) for each in found.summaries]
    assert [sum(each.matches for each in side.infilled) / len(pairs) for side in (first, second)] == pytest.approx(
        [float(share.split()[0]) for share in shares], abs=5e-5
    )
    assert "infilled lines right" in text and all(share in text for share in shares)
    assert f"McNemar, a line filled in right: {one:,} by the first alone, {other:,} by the second alone" in text


def test_a_model_that_does_not_fill_in_the_middle_is_said_to() -> None:
    fills, does_not = measured([[True, True]], matches=[True]), measured([[True, True]])
    found = compare_tasks(does_not, fills)
    assert found.infilled is None
    text = Page(compare_page(["a", "b"], None, found, {"n": 2})).text
    assert "infilled lines right" in text and "does not fill in the middle" in text
    assert "line filled in right" not in text
    neither = compare_tasks(does_not, does_not)
    assert neither.infilled is None
    assert "infilled" not in Page(compare_page(["a", "b"], None, neither, {"n": 2})).text


def test_what_models_and_tasks_say_is_text_on_the_page() -> None:
    texts = SideBySide(
        models=[HOSTILE, "b"],
        families=[
            FamilyTexts(
                line=HOSTILE,
                prompts=[PromptTexts(prompt=HOSTILE, word="", texts=[[HOSTILE], ["fine"]])],
                shifts=[],
            )
        ],
        bits_per_byte=[[mean_interval([0.5, 1], "a"), None], [None, None]],
        distinct=[0.1, 0.2],
        typical=[],
    )
    tasks = compare_tasks(measured([[True, True]], HOSTILE), measured([[False, False]], HOSTILE))
    source = compare_page([HOSTILE, "b"], texts, tasks, {"n": 1})
    page = Page(source)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img"}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "\x1b" not in source and "\x07" not in source
    assert "␛[31mred" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "default-src 'none'" in source  # and if one came through, it would not run


def never(*_: Any) -> None:
    raise AssertionError("asked for texts")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "give prompts, tasks, or both"),
        (["--prompts", "none.txt"], "none.txt: cannot be read"),
        (["--prompts", "none.txt", "-o", "page.pdf"], "the comparison is a page"),
        (["--prompts", "p.txt", "--temperature", "-1"], "temperature must be a number, 0 or more"),
        (["--prompts", "p.txt", "--top-p", "1.5"], "top-p must be a number from 0 to 1"),
        (["--prompts", "PROMPTS", "--tasks", "none.jsonl"], "none.jsonl: cannot be read"),
        (["--prompts", "PROMPTS", "--tasks", "none.jsonl", "-k", "9"], "-k: 9 is not from 1 to 3"),
    ],
)
def test_bad_input_is_told_in_a_line(
    folder: Path,
    flags: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tezgah.completing.Completer.__call__", never)  # told before anything is written
    given = [str(folder / "prompts.txt") if flag == "PROMPTS" else flag for flag in flags]
    assert compared(folder, tmp_path / "page.html", *given) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["compare", "FIRST", "nowhere"], ["compare", "nowhere", "FIRST"], ["evaluate", "nowhere"]]
)
def test_a_model_that_is_not_there_is_named_before_anything_is_made(
    folder: Path,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tezgah.completing.Completer.__call__", never)
    tasks, page = tmp_path / "tasks.jsonl", tmp_path / "out.html"
    tasks.write_text('{"task_id": "a", "prompt": "", "entry_point": "f", "test": "def check(f): pass"}\n')
    given = [str(folder / "first") if word == "FIRST" else word for word in words]
    output = page if words[0] == "compare" else page.with_suffix("")
    assert main([*given, "--tasks", str(tasks), "-o", str(output)]) == 2
    assert capsys.readouterr().err.startswith("tezgah: nowhere: no such folder.")
    assert list(tmp_path.iterdir()) == [tasks]


def test_evaluate_shows_sides_of_the_loss(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for file, text in zip(files, TEXTS, strict=True):
        file.write_text(text)
    command = ["evaluate", str(folder / "first"), *map(str, files)]
    assert main([*command, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert list(plain) == ["model", "loss", "perplexity", "bits_per_byte", "tokens", "bytes", "documents"]
    assert main([*command, "--by", "position,source,confidence", "--json"]) == 0
    full = json.loads(capsys.readouterr().out)
    assert full["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert list(full["by_source"]) == [str(file) for file in files]
    assert main([*command, "--stride", "8", "--by", "position,source,confidence"]) == 0
    shown = capsys.readouterr().out
    assert "tokens before" in shown and "confidence" in shown and str(files[1]) in shown
    assert main([*command, "--stride", "100"]) == 2
    assert "stride is 100 and the model sees 64 tokens at once" in capsys.readouterr().err
    assert main([*command, "--by", "word"]) == 2
    assert "by must be a list of position, source or confidence" in capsys.readouterr().err


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    pytest.importorskip("tezgah.evaluation.sandbox")
    if sys.platform != "linux":
        pytest.skip("the sandbox is for Linux")
    row = {
        "prompt": "def twice(x):\n",
        "entry_point": "twice",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n",
        "canonical_solution": "    return 2 * x\n",
    }
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps({"task_id": f"t/{number}", **row}) + "\n" for number in range(3)))
    return path


def test_evaluate_tells_pass_at_k_of_tasks(
    folder: Path, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(folder / "first"), "--tasks", str(tasks), "-n", "3", "-o", str(tmp_path / "out")]
    command += ["--max-new-tokens", "12", "--temperature", "0.7"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "pass@1" in shown and "contamination          3 of 3" not in shown and "isolation" in shown
    written = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == written
    assert (answer["tasks"], answer["samples"]) == (3, 9)
    assert 0 < answer["solution_bits_per_byte"]["value"] < 20
    assert answer["contamination"]["longest"] == 0  # the run's corpus is of one text, in the other's split
    held = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert (held["isolation"], held["sampling"]["until"]) == (answer["isolation"], "block")
    command[1] = str(folder / "second")
    assert main(command) == 2
    assert "holds results of another model" in capsys.readouterr().err


def test_compare_tells_which_tasks_flipped(
    folder: Path, tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(folder, tmp_path / "page.html", "--tasks", str(tasks), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["samples"] for each in answer["tasks"]["summaries"]] == [9, 9]
    assert (tmp_path / "page" / "first" / "results.jsonl").is_file()
    assert "McNemar" in Page((tmp_path / "page.html").read_text()).text


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--tasks", "t.jsonl"], "--tasks needs -o"),
        (["-o", "out"], "Give --tasks too"),
        (["--tasks", "t.jsonl", "-o", "out", "--stride", "3"], "takes neither --stride nor --by"),
        (["--tasks", "t.jsonl", "-o", "out", "-k", "x"], "-k must be whole numbers"),
        (["--tasks", "t.jsonl", "-o", "out", "-k", "30"], "-k: 30 is not from 1 to 20, the samples of a task"),
        (["--tasks", "t.jsonl", "-o", "out", "--temperature", "0"], "gives the same sample 20 times"),
        (["--tasks", "t.jsonl", "-o", "out", "--top-p", "0"], "--top-p 0 leaves no token to draw"),
    ],
)
def test_what_tasks_cannot_be_asked_is_told_in_a_line(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "-k" in flags or "--temperature" in flags:
        pytest.importorskip("tezgah.evaluation.sandbox")
    assert main(["evaluate", str(tmp_path), *flags]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


REFERENCE = [
    'def area_of_rectangle(a: float, b: float):\n    """Returns the area of a rectangle with sides a and b."""\n',
    'def get_urls_from_html(html):\n    """Get all embedded URLs in a HTML string."""\n',
]


def test_four_candidates_of_two_functions_end_with_their_block_and_come_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["-n", "4", "--temperature", "0.4", "--top-p", "0.95", "--seed", "1", "--until", "block"]

    def candidates(*prompts: str) -> list[str]:
        words = ["generate", str(folder / "first"), *prompts, *flags, "--max-new-tokens", "40", "--json"]
        assert main(words) == 0
        return [each["text"] for each in json.loads(capsys.readouterr().out)["candidates"]]

    found = candidates(*REFERENCE)
    assert len(found) == 8 and found == candidates(*REFERENCE)
    assert found[4:] == candidates(REFERENCE[1])
    for place, text in enumerate(found):
        prompt = REFERENCE[place // 4]
        assert text.startswith(prompt)
        later = text[len(prompt) :].split("\n")[1:]
        assert not any(line.startswith(("class", "def", "#", "@", "print", "if")) for line in later)


def test_three_numbered_completions_of_each_model_stand_on_the_page(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text('"\\nWhen they came back"\n', encoding="utf-8")
    assert compared(folder, tmp_path / "a.html", "--prompts", str(prompts), "-n", "3", "--json") == 0
    (family,) = json.loads(capsys.readouterr().out)["texts"]["families"]
    assert [len(side) for side in family["prompts"][0]["texts"]] == [3, 3]
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert [page.count(f'<p class="caption">{number}</p>') for number in (1, 2, 3, 4)] == [2, 2, 2, 0]


def test_what_names_the_separator_is_part_of_a_model(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("{}")
    before = model_hash(str(tmp_path))
    assert model_hash(str(tmp_path)) == before
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    assert model_hash(str(tmp_path)) != before
