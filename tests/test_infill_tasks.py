"""`tezgah evaluate --tasks` of a model with the tokens of filling in the middle, and samples beside their solutions."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import tezgah
from tezgah.cli import main
from tezgah.completing import Infiller, infiller
from tezgah.tokenizer.infill import infill_tokens

TEXTS = ["def twice(x):\n    return 2 * x\n" * 6, "def half(x):\n    return x / 2\n" * 6]
ROW = {
    "prompt": "def twice(x):\n",
    "entry_point": "twice",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
    "canonical_solution": "    y = 2 * x\n    return y\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, one of them with the tokens, and three tasks."""
    home = tmp_path_factory.mktemp("models")
    for name in ("plain", "infilling"):
        tokenizer = tezgah.Tokenizer.train(TEXTS, vocab_size=280, infill=name == "infilling")
        model = tezgah.new_model(280, n_layers=1, width=24, n_heads=2, context_length=64)
        settings: dict[str, Any] = {"steps": 3, "batch_size": 2, "compile": False, "threads": 1, "sample_tokens": 0}
        tezgah.train(model, tokenizer, TEXTS, folder=home / name, **settings)
    rows = (json.dumps({"task_id": f"t/{number}", **ROW}) + "\n" for number in range(3))
    (home / "tasks.jsonl").write_text("".join(rows))
    return home


def evaluated(folder: Path, name: str, output: Path, *flags: str) -> int:
    if sys.platform != "linux":
        pytest.skip("the sandbox is for Linux")
    asked = ["--tasks", str(folder / "tasks.jsonl"), "-n", "2", "--max-new-tokens", "8", "-o", str(output)]
    return main(["evaluate", str(folder / name), *asked, *flags])


def test_lines_are_filled_in_by_a_model_that_has_the_tokens_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated(folder, "infilling", tmp_path / "a") == 0
    assert "infilled lines right" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "a" / "infill.jsonl").read_text().splitlines()]
    assert [row["task_id"] for row in rows] == ["t/0", "t/1", "t/2"]
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["infill_exact_match"]["value"] == sum(row["matches"] for row in rows) / 3
    assert evaluated(folder, "plain", tmp_path / "b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["infill_exact_match"] is None
    assert not (tmp_path / "b" / "infill.jsonl").exists()


def test_compare_sets_lines_filled_in_side_by_side(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform != "linux":
        pytest.skip("the sandbox is for Linux")

    def compared(name: str, *flags: str) -> str:
        asked = ["--tasks", str(folder / "tasks.jsonl"), "-n", "1", "--max-new-tokens", "4"]
        models = [str(folder / "infilling"), str(folder / name)]
        assert main(["compare", *models, *asked, "-o", str(tmp_path / f"{name}.html"), *flags]) == 0
        return capsys.readouterr().out

    assert "infilled lines right, second − first" in compared("infilling")
    answer = json.loads(compared("infilling", "--json"))["tasks"]
    assert answer["infilled"]["mcnemar"] == {"only_first": 0, "only_second": 0, "exact": 1.0, "mid_p": 1.0}
    assert answer["infilled"]["difference"]["difference"]["value"] == 0
    assert "infilled" not in compared("plain")
    one = json.loads(compared("plain", "--json"))["tasks"]
    assert one["infilled"] is None and one["summaries"][1]["infill_exact_match"] is None
    assert "does not fill in the middle" in (tmp_path / "plain.html").read_text(encoding="utf-8")


def test_overlap_stands_under_what_it_does_not_say(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sacrebleu")
    assert evaluated(folder, "plain", tmp_path / "c", "--overlap") == 0
    shown = capsys.readouterr().out
    assert "does not measure whether they are correct:\n0 to 100" in shown and "6 failed" in shown
    assert evaluated(folder, "plain", tmp_path / "c", "--overlap", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["overlap"] == json.loads((tmp_path / "c" / "overlap.json").read_text())
    assert answer["overlap"]["samples"] == 6 and answer["overlap"]["bleu"]["passed"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--overlap"], "--overlap compares samples of --tasks"), (["--overlap", "--tasks", "T"], "no task has. Leave")],
)
def test_overlap_without_solutions_is_refused_before_anything_is_sampled(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    pytest.importorskip("sacrebleu")
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({"task_id": "t", **ROW, "canonical_solution": None}) + "\n")
    words = [str(path) if flag == "T" else flag for flag in flags]
    output = ["-o", str(tmp_path / "out")] if "T" in flags else []
    assert main(["evaluate", str(folder / "plain"), *words, *output]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sacrebleu.metrics", None)
        assert evaluated(folder, "plain", tmp_path / "d", "--overlap") == 2
    assert "pip install 'tezgah[overlap]'" in capsys.readouterr().err


def test_a_gap_is_given_with_both_sides_and_ends_with_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that writes a text of our own, letter by letter."""
    model, tokenizer = tezgah.load(folder / "infilling")
    assert tokenizer is not None
    text, read = "    y = 2\n    return y\n", []

    def write(model, prompt, most, sampling, separator_id, is_finished, vocab_size):
        read.append(list(prompt))
        ids = tokenizer.encode(text).tolist()
        return [next(ids[:size] for size in range(len(ids) + 1) if is_finished(ids[:size]) or size == len(ids))]

    monkeypatch.setattr("tezgah.generation.decode.generate_ids", write)
    fill = infiller(model, tokenizer, 30)
    assert isinstance(fill, Infiller)
    written = fill("def f(x):\n", "    return z\n")
    assert written.startswith("    y = 2\n ") and "y\n" not in written.strip()
    tokens = infill_tokens(tokenizer)
    assert tokens is not None
    before, after = (tokenizer.encode(each).tolist() for each in ("def f(x):\n", "    return z\n"))
    assert read == [[tokens.prefix, *before, tokens.suffix, *after, tokens.middle]]
    plain, plain_tokenizer = tezgah.load(folder / "plain")
    assert plain_tokenizer is not None and infiller(plain, plain_tokenizer, 30) is None
