"""A run whose model learns to fill masks, from texts to a folder that transformers fills masks with."""

import json
from pathlib import Path
from typing import Any

import pytest

import tezgah
from tests import quick
from tezgah.errors import InputError
from tezgah.pipeline import run
from tezgah.recipe import make_recipe

WORDS = ("kedi", "köpek", "kuş", "balık")
TEXT = "\n".join(
    f"Bir gün {number % 9} {WORDS[number % 4]}, kapıdaki {WORDS[number % 4]} gibi güldü." for number in range(400)
)
FLAGS = {
    "tokenizer.vocab_size": "300",
    "model.objective": "mlm",
    "model.n_layers": "2",
    "model.width": "32",
    "model.context_length": "32",
    "train.steps": "60",
    "train.batch_size": "16",
    "train.compile": "false",
    "train.device": "cpu",
    "train.precision": "fp32",
    "train.threads": "1",
    "train.validation_steps": "30",
    "train.checkpoint_steps": "30",
    "train.sample_prompts": '["Bir gün 3 [MASK], kapıdaki [MASK] gibi güldü."]',
}


def recipe(texts: Path, **more: str) -> Any:
    return make_recipe(
        {"corpus": {"source": str(texts)}}, FLAGS | {key.replace("__", "."): value for key, value in more.items()}
    )


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "cats.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["modernbert", "bert"])
def folder(request: pytest.FixtureRequest, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    run(recipe(texts, model__shape=request.param, train__steps="200"), folder)
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_model_learns_to_fill_masks(folder: Path) -> None:
    first, *_, last = rows(folder)
    assert last["validation_loss"] < first["validation_loss"] - 1
    assert last["masked_accuracy"] > first["masked_accuracy"]
    assert 0 <= last["accuracy"] <= 1
    evaluation = json.loads((folder / "evaluation.json").read_text())
    if json.loads((folder / "model" / "config.json").read_text())["model_type"] == "modernbert":
        assert evaluation["masked_accuracy"] > 0.2  # a BERT learns so short a text by its positions
    assert set(evaluation["baselines"]) == {"pairs of neighbours"}
    assert "[MASK]" not in last["samples"][0]["text"]
    report = (folder / "report.html").read_text()
    assert first["samples"][0]["prompt"] == last["samples"][0]["prompt"]
    assert "before training</th><th>after 200 steps" in report and last["samples"][0]["text"] in report
    assert "Masked accuracy" in report and "Bits per byte" not in report


def test_evaluating_a_run_says_what_the_run_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tezgah.cli import main

    assert main(["evaluate", str(folder), "--json"]) == 0
    told, written = json.loads(capsys.readouterr().out), json.loads((folder / "evaluation.json").read_text())
    for name in ("loss", "perplexity", "masked_accuracy", "masked", "word_perplexity"):
        assert told[name] == pytest.approx(written[name])


def test_transformers_fills_as_tezgah_does(folder: Path) -> None:
    from transformers import pipeline

    model: Any
    model, tokenizer = tezgah.load(folder / "model")
    assert tokenizer is not None
    text = "Bir gün 3 [MASK], kapıdaki kedi gibi güldü."
    ours = tezgah.fill(model, tokenizer, text, n=3)
    theirs = pipeline("fill-mask", str(folder / "model"))(text, top_k=3)
    assert [each.ids[0][0] for each in ours] == [each["token"] for each in theirs]
    assert [each.score for each in ours] == pytest.approx([each["score"] for each in theirs], rel=1e-4)


def test_a_stopped_run_goes_on_to_the_same_bits(
    folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.leave_out(monkeypatch)
    shape = json.loads((folder / "model" / "config.json").read_text())["model_type"]
    run(recipe(texts, model__shape=shape, train__schedule="constant", train__steps="30"), tmp_path / "parts")
    run(recipe(texts, model__shape=shape, train__schedule="constant"), tmp_path / "parts")
    run(recipe(texts, model__shape=shape, train__schedule="constant"), tmp_path / "whole")
    parts, whole = (tmp_path / each / "model" / "model.safetensors" for each in ("parts", "whole"))
    assert parts.read_bytes() == whole.read_bytes()
    assert [row.get("loss") for row in rows(tmp_path / "parts")] == [
        row.get("loss") for row in rows(tmp_path / "whole")
    ]


def test_a_start_from_pairs_fills_masks_before_the_first_step(
    folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.leave_out(monkeypatch)
    if json.loads((folder / "model" / "config.json").read_text())["model_type"] == "bert":
        pytest.skip("a BERT has no start from pairs")
    run(recipe(texts, train__start="pairs", train__steps="1"), tmp_path / "run")
    assert rows(tmp_path / "run")[0]["masked_accuracy"] > rows(folder)[0]["masked_accuracy"] + 0.1


def test_what_cannot_learn_masks_is_one_line(texts: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="objective"):
        recipe(texts, model__shape="gpt2")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"train__sample_prompts": '["Bir [MASK]", "Bir gün"]'},
            r"\[train\] sample_prompts: 'Bir gün' has no \[MASK\]",
        ),
        ({"train__sample_prompts": '["[MASK:0]"]'}, r"\[train\] sample_prompts: \[MASK:0\]: a mask stands for one"),
        ({"tokenizer__mask": "false"}, r'\[tokenizer\] mask = false: \[model\] objective = "mlm" needs a \[MASK\]'),
    ],
)
def test_a_recipe_without_masks_is_refused_before_anything_is_made(
    more: dict[str, str], told: str, texts: Path
) -> None:
    with pytest.raises(InputError, match=told):
        recipe(texts, **more)


def test_a_ready_tokenizer_needs_a_mask_and_prompts_fit_the_context(texts: Path, tmp_path: Path) -> None:
    tezgah.Tokenizer.train([TEXT], 280).save(tmp_path / "maskless")
    ready = {"tokenizer__path": str(tmp_path / "maskless")}
    with pytest.raises(InputError, match=r"maskless: the tokenizer has no \[MASK\]"):
        run(recipe(texts, **ready), tmp_path / "run")
    assert not (tmp_path / "run" / "tokens").exists()
    with pytest.raises(InputError, match=r"\[train\] sample_prompts: a text has 33 masks, the model sees 32 at once"):
        run(recipe(texts, train__sample_prompts='["[MASK:33]"]'), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
