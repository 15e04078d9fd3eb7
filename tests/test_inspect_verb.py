"""`tezgah inspect`: what it tells of one model and of two, as text and as one object, and what it says of bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hugging_face import MODELS, saved
from tezgah import cli
from tezgah.models.checkpoint import load_model, save_model
from tezgah.models.cost import count_parameters
from tezgah.models.inspection import look
from tezgah.tokenizer.tokenizer import Tokenizer

TEXT = "the cat sat on the mat"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small GPT-2 and its tokenizer in it."""
    monkeypatch.chdir(tmp_path)
    saved("gpt2", tmp_path / "a")
    Tokenizer.train([TEXT], vocab_size=20, algorithm="characters").save(tmp_path / "a")
    return tmp_path


def told(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(command.split()) == 0
    return capsys.readouterr().out


def answer(command: str, capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(told(f"{command} --json", capsys), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("name", MODELS)
def test_every_family_is_told_of_in_lines_of_a_hundred_columns(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(name, tmp_path / "m")
    for flags in ("", " --all"):
        text = told(f"inspect m{flags}", capsys)
        assert max(map(len, text.splitlines())) <= 100
    value = answer("inspect m", capsys)
    counted = count_parameters(look(tmp_path / "m").config)
    assert value["parameters"] == counted == sum(part["parameters"] for part in value["architecture"])
    assert f"{counted:,}" in text


def test_fields_that_change_nothing_are_listed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = here / "a" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"summary_type": "cls_index", "colour": "red"}))
    ignored = answer("inspect a", capsys)["ignored_fields"]
    assert {"summary_type", "colour"} <= set(ignored)
    assert not {"n_embd", "model_type", "scale_attn_weights"} & set(ignored)
    text = " ".join(told("inspect a", capsys).split())
    assert f"Fields of config.json on which nothing here depends: {', '.join(ignored)}." in text


@pytest.mark.parametrize("name", ["gpt2, classification", "bert, classification"])
def test_labels_count_as_read_where_they_are_and_are_not_written_elsewhere(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(name, tmp_path / "m")
    ignored = answer(f"inspect {tmp_path / 'm'}", capsys)["ignored_fields"]
    assert not {"id2label", "problem_type"} & set(ignored)
    saved("bert, masked", tmp_path / "masked")
    save_model(load_model(tmp_path / "masked"), tmp_path / "again")
    assert "id2label" not in json.loads((tmp_path / "again" / "config.json").read_text())


def test_one_object_has_what_the_tables_have(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = answer("inspect a --context 12 --batch 3", capsys)
    assert (value["context_length"], value["batch"], value["tied"], value["family"]) == (12, 3, True, "gpt2")
    assert value["use_bytes"]["bf16"]["cache"] == 3 * 2 * 2 * 12 * 32 * 2
    assert value["use_bytes"]["fp32"]["weights"] == 4 * value["parameters"]
    weights = load_file(here / "a" / "model.safetensors")
    assert {tensor["name"] for tensor in value["tensors"]} == set(weights)
    for tensor in value["tensors"]:
        wide = weights[tensor["name"]].double()
        assert (tensor["shape"], tensor["dtype"]) == (list(wide.shape), "F32")
        assert tensor["mean"] == pytest.approx(float(wide.mean()), rel=1e-9)
        assert tensor["deviation"] == pytest.approx(float(wide.std(correction=0)), rel=1e-9)
        assert (tensor["min"], tensor["max"]) == (float(wide.min()), float(wide.max()))
    assert value["tokenizer"] == {"vocab_size": 12, "hash": Tokenizer.load(here / "a").hash}


def test_blocks_that_are_alike_are_told_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told("inspect a", capsys)
    assert "blocks.*.attention.query" in text
    assert "transformer.h.*.mlp.c_fc.weight" in text
    assert "blocks.1" not in text
    text = told("inspect a --all", capsys)
    assert "blocks.1.attention.query" in text
    assert "transformer.h.1.mlp.c_fc.weight" in text
    assert "*" not in text


def test_a_configuration_alone_tells_architecture_and_costs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = answer("inspect a", capsys)
    (here / "a" / "model.safetensors").unlink()
    alone = answer("inspect a", capsys)
    assert alone == whole | {"tensors": None}
    assert "these figures are of its config.json alone" in told("inspect a", capsys)


def test_weights_that_are_no_numbers_are_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = here / "a" / "model.safetensors"
    tensors = load_file(path)
    tensors["transformer.wte.weight"][0, :5] = torch.nan
    tensors["transformer.ln_f.bias"][:] = torch.inf
    save_file(tensors, path, {"format": "pt"})
    assert "not finite" in told("inspect a", capsys)
    found = {tensor["name"]: tensor for tensor in answer("inspect a", capsys)["tensors"]}
    assert found["transformer.wte.weight"]["not_finite"] == 5
    assert found["transformer.ln_f.bias"]["mean"] is None


def test_a_model_and_itself_are_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = told("inspect a a", capsys)
    assert "configuration: the same\ntokenizer: the same" in text
    assert text.endswith("tensors: 28 in both, 28 of them equal\n")


def test_of_two_models_what_differs_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(here / "a", here / "b")
    config = json.loads((here / "b" / "config.json").read_text())
    (here / "b" / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 1e-3}))
    Tokenizer.train([f"{TEXT} of a dog"], vocab_size=30, algorithm="characters").save(here / "b")
    tensors = load_file(here / "b" / "model.safetensors")
    tensors["transformer.h.0.ln_1.weight"] = -tensors["transformer.h.0.ln_1.weight"]
    tensors["transformer.extra"] = torch.ones(2)
    save_file(tensors, here / "b" / "model.safetensors", {"format": "pt"})
    value = answer("inspect a b", capsys)
    assert value["configuration"] == {"stack.norm_epsilon": [1e-5, 1e-3]}
    assert value["tokenizer"]["equal"] is False
    found = value["tensors"]
    assert (found["first_only"], found["second_only"], found["shapes"]) == ([], ["transformer.extra"], {})
    assert (found["compared"], found["equal"]) == (28, 27)
    farthest = found["distances"][0]
    assert (farthest["name"], farthest["relative"], farthest["cosine"]) == ("h.0.ln_1.weight", 2.0, -1.0)
    text = told("inspect a b", capsys)
    assert "h.0.ln_1.weight" in text and "2.0000  -1.0000" in text
    assert "tokenizer vocab size" in text


def test_models_without_weights_are_compared_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(here / "a", here / "b", ignore=shutil.ignore_patterns("*.safetensors", "tokenizer*"))
    assert answer("inspect a b", capsys)["tensors"] is None
    assert "No model.safetensors in b" in told("inspect a b", capsys)


def test_large_weights_are_read_under_a_bar(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tezgah.inspect_verb.PROGRESS_BYTES", 0)
    numbers = f"{answer('inspect a', capsys)['parameters']:,}"
    for command in ("inspect a", "inspect a a"):
        assert cli.main(command.split()) == 0
        assert f"reading weights: {numbers} of {numbers} numbers, 100 %" in capsys.readouterr().err


REFUSED = {
    "inspect nowhere": "nowhere: no such folder. Give a run folder",
    "inspect .": ".: no model in it (no config.json).",
    "inspect a nowhere": "nowhere: no such folder.",
    "inspect a a a": "`inspect` takes MODEL [MODEL] and no more: a is too many.",
    "inspect a --context 25": "--context 25: a sees 24 tokens at most.",
    "inspect a --context 0": "--context must be a whole number, 1 or more",
    "inspect a a --attention text": "--attention draws one MODEL: a is too many.",
    "inspect a --attention text -o page.png": "page.png: the page is HTML.",
    "inspect a --attention abcdefghijklmnopqrstuvwxyzabcdefghi": "--attention: the text has 35 tokens, and a sees 24",
    "inspect a --attention text -o a/config.json/x.html": "a/config.json/x.html: cannot be written",
    "inspect bare --attention text": "bare: has no tokenizer beside its model. Add a tokenizer.json.",
    "inspect torn": "torn/model.safetensors: damaged",
    "inspect foreign": "foreign/config.json: model_type 'mamba' is not one this tezgah reads",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(here / "a", here / "bare", ignore=shutil.ignore_patterns("tokenizer*"))
    shutil.copytree(here / "bare", here / "torn")
    (here / "torn" / "model.safetensors").write_bytes(b"torn")
    (here / "foreign").mkdir()
    (here / "foreign" / "config.json").write_text('{"model_type": "mamba"}')
    before = sorted(here.rglob("*"))
    assert cli.main(command.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith(f"tezgah: {REFUSED[command]}")
    assert sorted(here.rglob("*")) == before
