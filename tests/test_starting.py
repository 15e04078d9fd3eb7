"""A training that starts from a model that is there: a foreign folder, or a run of our own."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import tezgah
from tests import quick
from tests.models.hugging_face import MODELS, new_model
from tezgah import cli, pipeline
from tezgah.errors import InputError
from tezgah.fields import shown
from tezgah.files import hash_file
from tezgah.recipe import make_recipe
from tezgah.stages import stamps

ROWS = 320  # of the foreign models: some more than their tokenizer's 300 ids
CONTEXT = 24
QUICK: dict[str, Any] = {
    "batch_size": 4,
    "compile": False,
    "threads": 1,
    "device": "cpu",
    "precision": "fp32",
    "validation_batches": 1,
    "sample_tokens": 0,
    "warmup_steps": 0,
    "schedule": "constant",
}
STILL = {"learning_rate": 1e-30, "muon_learning_rate": 1e-30}


@pytest.fixture(scope="module", autouse=True)
def _known_matrix_rate() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tezgah.training.loop.matrix_rate", lambda place: 1e12)  # it takes seconds
        yield


def text(number: int) -> str:
    return f"Bir gün {number} kedi {number * number} fareyle karşılaştı. Fareler {number % 7} kez güldü.\n" * 3


@pytest.fixture(scope="module")
def tokenizer() -> tezgah.Tokenizer:
    return tezgah.Tokenizer.train(map(text, range(80)), vocab_size=300)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(60):
        (folder / f"{number}.txt").write_text(text(number))
    return folder


@pytest.fixture
def foreign(tmp_path: Path, tokenizer: tezgah.Tokenizer) -> Path:
    """A GPT-2 that `transformers` wrote, with its tokenizer."""
    return write_foreign("gpt2", tmp_path / "foreign", tokenizer)


def write_foreign(name: str, folder: Path, tokenizer: tezgah.Tokenizer | None) -> Path:
    model_class, config_class, settings = MODELS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, name, (model_class, config_class, settings | {"vocab_size": ROWS}))
        new_model(name).save_pretrained(folder)
    if tokenizer:
        tokenizer.save(folder)
    return folder


def recipe(texts: Path, start: Path | str, steps: int = 4, **tables: Any) -> Any:
    """A recipe's tables; fields given are added to the tables they are given by."""
    told = {
        "corpus": {"source": str(texts)},
        "model": {"from": str(start)} | tables.get("model", {}),
        "train": {"steps": steps} | QUICK | tables.get("train", {}),
    }
    return told | {name: fields for name, fields in tables.items() if name not in told}


def go(folder: Path, tables: Any, restart: bool = False, with_report: bool = False) -> Any:
    """A run; its report, which takes seconds, is empty where it is not asked for."""
    stations = pipeline.real_stations() if with_report else quick.quick_stations()
    return pipeline.run(make_recipe(tables), folder, restart=restart, stations=stations)


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def check_logits(kind: Any, tokenizer: tezgah.Tokenizer, start: Path, trained: Path) -> None:
    """What `transformers` reads from both folders is the same model, which sees 16 tokens in the second."""
    ids = torch.from_numpy(tokenizer.encode("Bir gün 3 kedi")).long()[None, :16]
    before, after = (kind.from_pretrained(folder).eval() for folder in (start, trained))
    assert after.config.max_position_embeddings == 16
    with torch.no_grad():
        torch.testing.assert_close(after(ids).logits, before(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt", "gpt2", "llama, every bias, tied", "llama, yarn", "qwen3"])
def test_a_step_of_no_length_leaves_the_foreign_model_as_it_is(
    name: str, texts: Path, tokenizer: tezgah.Tokenizer, tmp_path: Path
) -> None:
    start = write_foreign(name, tmp_path / "foreign", tokenizer)
    go(tmp_path / "run", recipe(texts, start, steps=1, model={"context_length": 16}, train=STILL))
    assert (tmp_path / "run" / "model" / "tokenizer.json").read_text() == (start / "tokenizer.json").read_text()
    check_logits(transformers.AutoModelForCausalLM, tokenizer, start, tmp_path / "run" / "model")
    assert rows(tmp_path / "run")[1]["tokens"] == 4 * 16


def test_a_foreign_model_learns_from_own_text(texts: Path, foreign: Path, tmp_path: Path) -> None:
    result = go(tmp_path / "run", recipe(texts, foreign, steps=10), with_report=True)
    told = rows(tmp_path / "run")
    assert told[1]["tokens"] == 4 * CONTEXT  # the folder's own context
    assert told[10]["validation_loss"] < told[0]["validation_loss"] - 0.5
    assert result.evaluation["bits_per_byte"] == pytest.approx(told[10]["bits_per_byte"], rel=1e-5)
    model, _ = tezgah.load(tmp_path / "run")
    assert model.config.vocab_size == ROWS  # padding rows stay
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"{sum(parameter.numel() for parameter in model.parameters()):,}" in report


@pytest.mark.parametrize("name", ["bert, masked", "modernbert, masked"])
def test_an_encoder_goes_on_filling_masks(name: str, texts: Path, tmp_path: Path) -> None:
    filled = tezgah.Tokenizer.train(map(text, range(80)), vocab_size=300, mask=True)
    start, masked = write_foreign(name, tmp_path / "foreign", filled), {"objective": "mlm", "context_length": 16}
    still = recipe(texts, start, steps=1, model=masked, train=STILL)
    go(tmp_path / "still", still)
    check_logits(transformers.AutoModelForMaskedLM, filled, start, tmp_path / "still" / "model")
    written = make_recipe(tomllib.loads((tmp_path / "still" / "recipe.toml").read_text()))
    assert written.model == make_recipe(still).model
    go(tmp_path / "run", recipe(texts, start, steps=12, model=masked, train={"learning_rate": 0.01}))
    told = rows(tmp_path / "run")
    assert told[12]["validation_loss"] < told[0]["validation_loss"] - 0.3
    assert told[0]["validation_loss"] == rows(tmp_path / "still")[0]["validation_loss"]
    longer = recipe(texts, start, steps=14, model=masked, train={"learning_rate": 0.01})
    go(tmp_path / "run", longer)  # from a checkpoint
    assert rows(tmp_path / "run")[-1]["step"] == 14
    tezgah.Tokenizer.train(map(text, range(80)), vocab_size=300).save(start)
    with pytest.raises(InputError, match=r"foreign: the tokenizer has no \[MASK\]"):
        go(tmp_path / "maskless", recipe(texts, start, model=masked))


def test_a_run_goes_on_in_another_run(texts: Path, foreign: Path, tmp_path: Path) -> None:
    go(tmp_path / "first", recipe(texts, foreign, steps=6))
    go(tmp_path / "second", recipe(texts, tmp_path / "first", steps=1, train=STILL))
    first, second = rows(tmp_path / "first"), rows(tmp_path / "second")
    assert second[0]["validation_loss"] == pytest.approx(first[6]["validation_loss"], rel=1e-5)
    for start in (tmp_path / "first", tmp_path / "first" / "checkpoints" / "step-000006"):
        with pytest.raises(InputError, match=r"lies in the run folder itself, which moves it out of the way. Name ano"):
            go(tmp_path / "first", recipe(texts, start))


def test_an_extended_tokenizer_gets_rows_of_the_mean(
    texts: Path, foreign: Path, tokenizer: tezgah.Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = tokenizer.extend(map(text, range(60)), add=40)
    larger.save(tmp_path / "larger")
    tables = recipe(texts, foreign, steps=1, train=STILL, tokenizer={"path": str(tmp_path / "larger")})
    go(tmp_path / "run", tables)
    said = f"vocabulary: {ROWS:,} rows made {larger.vocab_size:,}; new ones are the mean of the old"
    err = capsys.readouterr().err
    assert err.count(said) == 1
    assert f"model: starts from the weights in {foreign}\n" in err
    assert "warning" not in err
    old = tezgah.load(foreign)[0].embedding.weight
    new = tezgah.load(tmp_path / "run")[0].embedding.weight
    assert len(new) == larger.vocab_size > ROWS
    torch.testing.assert_close(new[:ROWS], old)
    torch.testing.assert_close(new[ROWS:], old.mean(0).expand(len(new) - ROWS, -1))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    assert theirs.config.vocab_size == larger.vocab_size


def test_another_tokenizer_is_warned_of(
    texts: Path, foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tezgah.Tokenizer.train((text(number)[::-1] for number in range(60)), vocab_size=300)
    other.save(tmp_path / "other")
    go(tmp_path / "run", recipe(texts, foreign, steps=1, tokenizer={"path": str(tmp_path / "other")}))
    assert f"of 300 ids are other tokens than those that {foreign} has learned" in capsys.readouterr().err


def test_once_there_is_a_checkpoint_the_folder_is_not_needed(texts: Path, foreign: Path, tmp_path: Path) -> None:
    shorter = {"context_length": 16}
    go(tmp_path / "whole", recipe(texts, foreign, steps=6, model=shorter))
    go(tmp_path / "run", recipe(texts, foreign, steps=4, model=shorter))
    foreign.rename(tmp_path / "gone")
    assert go(tmp_path / "run", recipe(texts, foreign, steps=4, model=shorter)).made == []
    assert go(tmp_path / "run", recipe(texts, foreign, steps=6, model=shorter)).made == ["train", "evaluate", "report"]
    files = [tmp_path / run / "model" / "model.safetensors" for run in ("whole", "run")]
    assert hash_file(files[0]) == hash_file(files[1])
    before = sorted((tmp_path / "run").rglob("*"))
    for told, restart in (
        (recipe(texts, foreign, steps=6, model=shorter), True),
        (recipe(texts, foreign, steps=6), False),
    ):
        with pytest.raises(InputError, match="foreign: no such folder"):  # a new training does need it
            go(tmp_path / "run", told, restart=restart)
        assert sorted((tmp_path / "run").rglob("*")) == before
    with pytest.raises(InputError, match="elsewhere: no such folder"):
        go(tmp_path / "run", recipe(texts, tmp_path / "elsewhere", steps=6, model=shorter))


def test_a_changed_folder_is_seen(texts: Path, foreign: Path, tmp_path: Path) -> None:
    def fingerprints() -> dict[str, str]:
        return {stage: stamp.fingerprint for stage, stamp in stamps(make_recipe(recipe(texts, foreign))).items()}

    def redone(before: dict[str, str]) -> list[str]:
        return [stage for stage, fingerprint in fingerprints().items() if before[stage] != fingerprint]

    told = fingerprints()
    os.utime(foreign / "config.json", ns=(1, 1))
    assert redone(told) == []
    os.utime(foreign / "model.safetensors", ns=(1, 1))
    assert redone(told) == ["train"]
    told = fingerprints()
    (foreign / "config.json").write_text((foreign / "config.json").read_text() + " ")
    assert redone(told) == ["train"]
    told = fingerprints()
    (foreign / "tokenizer.json").write_text((foreign / "tokenizer.json").read_text() + " ")
    assert redone(told) == ["tokenizer", "tokens", "train"]


def test_an_unfinished_training_refuses_another_model_by_name(
    texts: Path, foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tezgah.training.saving.Checkpoints.write_model", stopped)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "run", recipe(texts, foreign))
    os.utime(foreign / "model.safetensors", ns=(1, 1))
    with pytest.raises(InputError, match=f"has changed: the model in {foreign} is another than it was"):
        go(tmp_path / "run", recipe(texts, foreign))
    copy = shutil.copytree(foreign, tmp_path / "copy")
    told = f"has changed: [model] from {shown(str(foreign))} → {shown(str(copy))}"
    with pytest.raises(InputError, match=re.escape(told)):
        go(tmp_path / "run", recipe(texts, copy))


def test_a_finished_run_is_looked_through_without_torch(texts: Path, foreign: Path, tmp_path: Path) -> None:
    lines = [f"[corpus]\nsource = '{texts}'\n[model]\nfrom = '{foreign}'\n[train]\nsteps = 1\nsample_tokens = 0"]
    lines += ["compile = false\nvalidation_batches = 1\n"]
    (tmp_path / "small.toml").write_text("\n".join(lines))
    command = ["run", str(tmp_path / "small.toml"), "--run", str(tmp_path / "run")]
    assert cli.main(command) == 0
    code = "import sys; from tezgah.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    for path in (tmp_path / "small.toml", tmp_path / "run" / "recipe.toml"):
        command[1] = str(path)
        done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
        assert done.stderr.count(": up to date") == 6
        assert done.stdout.endswith("False\n")


def test_what_cannot_be_trained_is_refused_before_anything_is_made(
    texts: Path, foreign: Path, tokenizer: tezgah.Tokenizer, tmp_path: Path
) -> None:
    bert = write_foreign("bert, masked", tmp_path / "bert", tokenizer)
    headless = write_foreign("modernbert", tmp_path / "headless", tokenizer)
    masked: dict[str, Any] = {"objective": "mlm"}
    bare = write_foreign("gpt2", tmp_path / "bare", None)
    (tmp_path / "empty").mkdir()
    pickled, torn = (shutil.copytree(foreign, tmp_path / name) for name in ("pickled", "torn"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    (torn / "model.safetensors").write_bytes((foreign / "model.safetensors").read_bytes()[:-8])
    cases = [
        (
            bert,
            {},
            r"\[model\] from: .*bert: a bert looks both ways, and learns to fill masks. Set \[model\] objective",
        ),
        (
            foreign,
            masked,
            r'\[model\] objective = "mlm": the gpt2 in .*foreign goes on from a text. Leave objective out',
        ),
        (headless, masked, r"\[model\] from: .*headless: has no masked-LM head. Name a folder saved from"),
        (bare, {}, r"bare: no tokenizer there. Set \[tokenizer\] path to a tokenizer.json"),
        (pickled, {}, "pytorch_model.bin: a pickle, which can run any code, is not opened"),
        (torn, {}, "model.safetensors: damaged"),
        (tmp_path / "empty", {}, r"empty: no model in it \(no config.json\)"),
        (tmp_path / "nowhere", {}, "nowhere: no such folder"),
        (
            foreign,
            {"context_length": 25},
            rf"\[model\] context_length 25: the model in {foreign} sees 24 tokens at once",
        ),
    ]
    for number, (start, model, said) in enumerate(cases):
        run = tmp_path / f"run-{number}"
        with pytest.raises(InputError, match=said) as refusal:
            go(run, recipe(texts, start, model=model))
        assert "\n" not in str(refusal.value)
        assert not (run / "corpus").exists()


def test_load_takes_a_precision_and_a_vocabulary(foreign: Path, tokenizer: tezgah.Tokenizer) -> None:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(foreign).eval()
    ids = torch.tensor([[1, 2, 3]])
    for name in ("float32", "bfloat16", "float16", "float64"):
        model, found = tezgah.load(foreign, name)
        assert found is not None and found.hash == tokenizer.hash
        assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, name)}
        tolerance = 0.1 if "16" in name else 1e-5
        with torch.no_grad():
            torch.testing.assert_close(model(ids).float(), theirs(ids).logits, rtol=tolerance, atol=tolerance)
    assert tezgah.load(foreign, vocab_size=400)[0](ids).shape == (1, 3, 400)
    with pytest.raises(InputError, match="^tezgah.load: dtype must be one of float32, bfloat16, .*, not 'int8'.$"):
        tezgah.load(foreign, "int8")
    with pytest.raises(InputError, match="^tezgah.load: vocab_size must be a whole number, 1 or more, not 0.$"):
        tezgah.load(foreign, vocab_size=0)
    with pytest.raises(InputError, match="open the folder with tezgah.load instead"):
        tezgah.new_model(300, seed=1, **dict[str, Any]({"from": str(foreign)}))


def test_a_loaded_model_is_trained_on_texts_with_rows_for_every_id(foreign: Path, tokenizer: tezgah.Tokenizer) -> None:
    documents = [text(number) for number in range(60)]
    larger = tokenizer.extend(documents, add=40)
    model, _ = tezgah.load(foreign)
    with pytest.raises(InputError, match=r"has 340 ids, the model 320 rows. Open it with .*vocab_size=340\)"):
        tezgah.train(model, larger, documents, steps=1, **QUICK)
    model, _ = tezgah.load(foreign, vocab_size=larger.vocab_size)
    assert tezgah.train(model, larger, documents, steps=1, **QUICK).steps == 1


def test_a_folder_without_a_tokenizer_says_so_where_text_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = write_foreign("gpt2", tmp_path / "bare", None)
    model, tokenizer = tezgah.load(bare)
    assert tokenizer is None
    assert model(torch.tensor([[1, 2]])).shape == (1, 2, ROWS)
    capsys.readouterr()
    for command in (["generate", str(bare), "Bir"], ["evaluate", str(bare), __file__]):
        assert cli.main(command) == 2
        assert capsys.readouterr().err == f"tezgah: {bare}: has no tokenizer beside its model. Add a tokenizer.json.\n"
