"""fp8 is for hidden matrices in training, leaves names, files and readings alone, and is refused where it cannot be."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.training import test_loop as training
from tezgah.errors import InputError
from tezgah.models.build import build_config, build_model
from tezgah.models.causal import CausalLM
from tezgah.models.settings import ModelSettings
from tezgah.training import float8, loop
from tezgah.training.optimizer import build_optimizer
from tezgah.training.place import Place, choose_place
from tezgah.training.settings import TrainSettings

SETTINGS = msgspec.structs.replace(training.SETTINGS, precision="fp8")


def small(width: int = 32) -> CausalLM:
    shape = ModelSettings(n_layers=2, width=width, n_heads=2, context_length=16)
    model: CausalLM = build_model(build_config(shape, 64), seed=1)
    return model


@pytest.fixture
def lower() -> Iterator[Callable[[nn.Module], None]]:
    """Makes a model as it is while it trains."""
    pytest.importorskip("torchao")
    with ExitStack() as stack:
        yield lambda model: stack.enter_context(float8.multiplying_in_float8(model, emulated=True))


def test_a_machine_without_fp8_is_named(tmp_path):
    with pytest.raises(InputError, match=r'\[train\] precision = "fp8" needs a GPU .+; here is cpu .+ Use "auto"\.$'):
        training.train(tmp_path, SETTINGS)


def test_an_older_gpu_and_a_missing_library_are_named(monkeypatch):
    there = Place(torch.device("cuda"), torch.bfloat16, 1, compiled=False, float8=True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    with pytest.raises(InputError, match="here is cuda NVIDIA A100"):
        float8.check_float8(there)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(float8, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"torchao is not installed. `pip install 'tezgah\[fp8\]'`"):
        float8.check_float8(there)
    monkeypatch.setattr(float8, "find_spec", lambda name: "is there")
    float8.check_float8(there)


def test_a_model_is_used_elsewhere_in_bf16():
    place = choose_place(TrainSettings(precision="fp8", device="cpu", compile=False, threads=1))
    assert place.matrix_dtype == torch.bfloat16
    assert place.environment()["precision"] == "float8"


def test_hidden_matrices_alone_are_converted_and_keep_their_names_and_parameters(lower):
    model = small()
    before = dict(model.named_parameters())
    lower(model)
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    converted = {name for name, module in model.named_modules() if type(module).__name__ == "Float8Linear"}
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert converted == {name for name in linear if name.startswith("stack.blocks.")}
    assert linear - converted == {"head"}
    muon = build_optimizer(model, SETTINGS).param_groups[0]
    assert muon["algorithm"] == "muon"
    assert set(muon["param_names"]) == {f"{name}.weight" for name in converted}


def test_a_matrix_with_an_odd_side_is_left_as_it_is(lower):
    model = small(width=40)
    lower(model)
    assert type(model.get_submodule("stack.blocks.0.attention.query")) is nn.Linear


def test_afterwards_it_is_the_model_it_was():
    pytest.importorskip("torchao")
    model = small()
    before = dict(model.named_modules()), dict(model.named_parameters())
    with float8.multiplying_in_float8(model, emulated=True):
        assert dict(model.named_modules()) != before[0]
        model.eval()
    assert (dict(model.named_modules()), dict(model.named_parameters())) == before
    assert not any(module.training for module in model.modules())


def test_products_are_rounded_in_training_and_plain_in_a_reading(lower):
    plain = small()
    for parameter in plain.stack.blocks.parameters():
        parameter.data.add_(torch.sin(torch.arange(parameter.numel())).view_as(parameter), alpha=0.1)
    low = deepcopy(plain)
    lower(low)
    ids = torch.arange(16)[None]
    exact, rounded = plain(ids), low(ids)
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, atol=0.05, rtol=0.2)
    assert torch.equal(plain.eval()(ids), low.eval()(ids))


def test_a_training_in_fp8_learns_and_writes_a_plain_folder(tmp_path, monkeypatch):
    pytest.importorskip("torchao")
    multiplying = float8.multiplying_in_float8
    monkeypatch.setattr(loop, "check_float8", lambda place: None)
    monkeypatch.setattr(loop, "multiplying_in_float8", lambda model: multiplying(model, emulated=True))
    rows = training.train(tmp_path / "fp8", SETTINGS)
    plain = training.train(tmp_path / "bf16", msgspec.structs.replace(SETTINGS, precision="bf16"))
    assert training.losses(rows) != training.losses(plain)
    assert training.losses(rows) == pytest.approx(training.losses(plain), rel=2e-2)
    for name in ("model/model.safetensors", "checkpoints/step-000006/training_state/optimizer.safetensors"):
        low, full = load_file(tmp_path / "fp8" / name), load_file(tmp_path / "bf16" / name)
        assert {key: (t.dtype, t.shape) for key, t in low.items()} == {k: (t.dtype, t.shape) for k, t in full.items()}
    configs = [json.loads((tmp_path / each / "model" / "config.json").read_text()) for each in ("fp8", "bf16")]
    assert configs[0] == configs[1]
    longer = training.train(tmp_path / "fp8", msgspec.structs.replace(SETTINGS, steps=8))
    assert longer[:7] == rows
