"""A model trained to fill in the middle reads what follows a gap; the same without `fim_rate` cannot."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tezgah
from tezgah.cli import main
from tezgah.errors import InputError
from tezgah.generation.completions import completions
from tezgah.generation.infill import place_prompt
from tezgah.generation.settings import GenerationSettings
from tezgah.pipeline import run
from tezgah.recipe import make_recipe

LETTERS = "ab"
FLAGS = {
    "tokenizer.algorithm": "bytes",
    "model.n_layers": "2",
    "model.width": "40",
    "model.n_heads": "2",
    "model.context_length": "20",
    "tokens.documents": "separate",
    "train.steps": "420",
    "train.batch_size": "64",
    "train.compile": "false",
    "train.device": "cpu",
    "train.precision": "fp32",
    "train.threads": "1",
    "train.validation_steps": "420",
    "train.validation_batches": "1",
    "train.sample_tokens": "0",
    "train.checkpoint_steps": "420",
}
GAPS = [(letter, f"{digits}{letter.upper()})") for digits in (137, 274, 411, 548) for letter in LETTERS]


def recipe(folder: Path, **more: str) -> Any:
    flags = FLAGS | {key.replace("__", "."): value for key, value in more.items()}
    return make_recipe({"corpus": {"source": str(folder / "texts.jsonl")}}, flags)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of brackets, `(b375B)`: a letter, three digits, the letter once more. Those of GAPS are not in it."""
    folder = tmp_path_factory.mktemp("infill")
    kept = {f"({letter}{after}" for letter, after in GAPS}
    texts = {f"({letter}{digits:03}{letter.upper()})" for letter in LETTERS for digits in range(1_000)} - kept
    rows = random.Random(1).sample(sorted(texts), len(texts))
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    return folder


@pytest.fixture(scope="module")
def trained(home: Path, monkeypatch_module: pytest.MonkeyPatch) -> dict[str, Path]:
    """A run with `fim_rate`, and a short one without: it never reads what follows, however long it is trained."""
    monkeypatch_module.setattr("tezgah.training.loop.matrix_rate", lambda place: 1e12)
    for rate, steps in (("0.5", "420"), ("0", "40")):
        run(recipe(home, tokens__fim_rate=rate, train__steps=steps), home / rate)
    return {rate: home / rate for rate in ("0.5", "0")}


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def filled(folder: Path) -> list[str]:
    """What a model writes into each gap behind an opening bracket."""
    model, tokenizer = tezgah.load(folder)
    assert tokenizer is not None
    settings = GenerationSettings(max_new_tokens=6)
    prompts = [place_prompt(model, tokenizer, "(", after, settings)[0] for _, after in GAPS]
    found = sorted(completions(model, tokenizer, prompts, settings), key=lambda each: each.prompt)
    return [each.text for each in found]


def test_what_follows_a_gap_is_read_by_the_one_and_not_by_the_other(trained: dict[str, Path]) -> None:
    letters = [letter for letter, _ in GAPS]
    assert np.mean([text == letter for text, letter in zip(filled(trained["0.5"]), letters, strict=True)]) >= 0.9
    without = filled(trained["0"])
    assert len(set(without)) == 1, "all it is told is the bracket"
    assert np.mean([text[:1] == letter for text, letter in zip(without, letters, strict=True)]) <= 0.5


def test_complete_fills_a_gap_in_a_file(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter, after = GAPS[2]
    (tmp_path / "gap.txt").write_text(f"({after}")
    place = f"{tmp_path / 'gap.txt'}:1:2"
    assert main(["complete", str(trained["0.5"]), place, "--max-new-tokens", "6", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    wanted = {"candidate": 0, "completion": letter, "reason": "end", "tokens": 1}
    assert answer["is_infilled"] and answer["candidates"] == [wanted]


def test_held_out_text_is_the_same_for_both(trained: dict[str, Path]) -> None:
    found = [json.loads((trained[rate] / "evaluation.json").read_text()) for rate in ("0.5", "0")]
    assert [each["tokens"] for each in found] == [found[0]["tokens"]] * 2 and found[0]["bytes"] == found[1]["bytes"]
    held_out = [np.load(trained[rate] / "tokens" / "validation-00000.npy") for rate in ("0.5", "0")]
    assert np.array_equal(*held_out)


def test_a_ready_tokenizer_without_the_tokens_is_named_before_anything_is_encoded(
    trained: dict[str, Path], home: Path, tmp_path: Path
) -> None:
    ready = trained["0"] / "tokenizer"
    with pytest.raises(InputError, match=rf"{ready}: the tokenizer has no <\|fim_prefix\|>") as caught:
        run(recipe(home, tokens__fim_rate="0.5", tokenizer__path=str(ready)), tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run" / "tokens").exists()
    ours = trained["0.5"] / "tokenizer"
    for stage in ("tokenizer", "tokens"):
        run(recipe(home, tokens__fim_rate="0.5", tokenizer__path=str(ours)), tmp_path / "run", only=stage)
    for name in ("train-00000.npy", "validation-00000.npy"):
        again, first = (folder / "tokens" / name for folder in (tmp_path / "run", trained["0.5"]))
        assert again.read_bytes() == first.read_bytes()
