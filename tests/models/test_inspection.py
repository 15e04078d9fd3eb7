"""A model's parts and costs are told from its configuration, and its weights from the file, as torch would."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hugging_face import MODELS, saved
from tezgah.models import weight_statistics
from tezgah.models.bert import BertFields, config_of
from tezgah.models.build import build_config
from tezgah.models.cost import (
    cache_bytes,
    count_parameters,
    flops_per_token,
    forward_flops_per_token,
    training_bytes,
    training_memory,
)
from tezgah.models.inspection import alike, config_fields, in_order, look, parts, ties
from tezgah.models.settings import ModelSettings
from tezgah.models.weight_statistics import Distance, compare, distance_of, statistics_of

FILE = "model.safetensors"
SMALL = ModelSettings(shape="gpt2", size="small", context_length=1_024)


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_of_every_family_sum_to_its_parameters(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path)
    looked = look(tmp_path)
    every = parts(looked.config)
    assert sum(part.parameters for part in every) == count_parameters(looked.config)
    folded = alike(every)
    assert sum(each.times * each.part.parameters for each in folded) == count_parameters(looked.config)
    layers, first = looked.config.n_layers, looked.config.stack.first_norm
    assert {each.times for each in folded if "*" in each.part.name} == {layers, layers - (not first)}
    assert looked.files is not None
    assert set(looked.files.shapes) <= set(theirs.state_dict())
    (tmp_path / FILE).unlink()
    assert look(tmp_path).files is None


def test_the_parts_of_gpt2_are_those_of_the_paper() -> None:
    config = build_config(SMALL, vocab_size=50_257)
    found = {each.part.name: (each.part.shapes, each.times) for each in alike(parts(config))}
    assert found["embedding"] == (((50_257, 768),), 1)
    assert found["blocks.*.attention.query"] == (((768, 768), (768,)), 12)
    assert found["blocks.*.mlp.up"] == (((3_072, 768), (3_072,)), 12)
    assert found["norm"] == (((768,), (768,)), 1)
    assert ties(config) is True


def test_flops_of_a_forward_pass_are_those_that_torch_counts(tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("gpt2", "llama", "bert, masked"):
        theirs = saved(name, tmp_path)
        config, ids = look(tmp_path).config, torch.arange(24)[None]
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            theirs(ids)
        stack = config.stack
        products = 4 * config.n_layers * 24 * stack.n_heads * stack.head_dim
        counted = counter.get_total_flops() / 24 - (products / 2 if stack.causal else 0)  # they compute what is masked
        assert forward_flops_per_token(config) == pytest.approx(counted, rel=0.05)  # ours has the norms and biases
        assert flops_per_token(config) == 3 * forward_flops_per_token(config)


def test_costs_of_a_shorter_text_and_of_gpt2_small() -> None:
    config = build_config(SMALL, vocab_size=50_257)
    layers = forward_flops_per_token(config, 512) - forward_flops_per_token(config, 256)
    assert layers == 2 * 12 * 256 * 768
    assert cache_bytes(config, 1_024, 4) == 2 * 12 * 12 * 64 * 1_024 * 4
    memory = training_memory(config, 2, muon=False, low_precision=True, holds_attention=False)
    assert (memory.weights, memory.copies) == (4 * 124_439_808, 2 * 124_439_808)
    assert (memory.gradients, memory.optimizer) == (4 * 124_439_808, 8 * 124_439_808)
    assert memory.total == training_bytes(config, 2, muon=False, low_precision=True, holds_attention=False)
    half = training_memory(config, 2, muon=False, low_precision=True, holds_attention=False, context_length=512)
    assert 2 * half.activations == memory.activations


def test_an_encoders_attention_is_counted_whole() -> None:
    config = config_of(BertFields(), "BertForMaskedLM", ())
    apart = forward_flops_per_token(config, 512) - forward_flops_per_token(config, 256)
    assert apart == 4 * 12 * 256 * 768
    assert ties(config_of(BertFields(), "BertModel", ())) is None


def test_a_local_layer_is_counted_by_its_window() -> None:
    config = build_config(ModelSettings(objective="mlm", size="base", context_length=8_192), 50_368)
    apart = forward_flops_per_token(config, 512) - forward_flops_per_token(config, 256)
    assert apart == 4 * 8 * 256 * 768  # every third of 22 layers sees all
    near = forward_flops_per_token(config, 100) - forward_flops_per_token(config, 50)
    assert near == 4 * 22 * 50 * 768


def test_fields_are_named_by_their_path() -> None:
    fields = config_fields(build_config(ModelSettings(n_layers=2, width=64), vocab_size=100))
    assert fields["stack.rope.theta"] == 10_000.0
    assert fields["vocab_size"] == 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_statistics_are_torchs(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_statistics, "PIECE", 100)
    torch.manual_seed(1)
    tensor = (1e3 + 5 * torch.randn(7, 43)).to(dtype)
    tensor[2] = 0
    read: list[int] = []
    found, wide = statistics_of(tensor, read.append), tensor.double()
    assert found.mean == pytest.approx(float(wide.mean()), rel=1e-12)
    assert found.deviation == pytest.approx(float(wide.std(correction=0)), rel=1e-12)
    assert (found.least, found.most, found.zeros) == (float(wide.min()), float(wide.max()), 43)
    assert (found.numbers, found.finite, sum(read)) == (301, 301, 301)


def test_statistics_of_what_is_no_number_and_of_nothing() -> None:
    found = statistics_of(torch.tensor([1.0, math.inf, math.nan, 3.0]))
    assert (found.numbers, found.finite, found.mean, found.deviation) == (4, 2, 2.0, 1.0)
    assert statistics_of(torch.tensor([math.nan])).finite == 0
    assert statistics_of(torch.empty(0, 5)).numbers == 0
    assert statistics_of(torch.tensor(2.5)).mean == 2.5


def test_distance_and_cosine_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_statistics, "PIECE", 10)
    torch.manual_seed(1)
    a, b = torch.randn(6, 7), torch.randn(6, 7)
    found = distance_of(a, b)
    assert found.relative == pytest.approx(float((a - b).norm() / a.norm()), rel=1e-6)
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)), rel=1e-5)
    zeros = torch.zeros(3)
    assert distance_of(zeros, zeros) == Distance(0.0, 1.0, True)
    assert distance_of(zeros, torch.ones(3)) == Distance(None, None, False)
    assert distance_of(torch.ones(3), zeros) == Distance(1.0, None, False)
    assert distance_of(torch.full((3,), math.nan), zeros) == Distance(None, None, False)


def test_two_models_that_differ_in_one_tensor(tmp_path: Path) -> None:
    for side in ("a", "b"):
        saved("gpt2", tmp_path / side)
    changed = "transformer.h.1.mlp.c_fc.weight"
    tensors = load_file(tmp_path / "b" / FILE)
    before, tensors[changed] = tensors[changed], tensors[changed] * 1.5
    save_file(tensors, tmp_path / "b" / FILE, {"format": "pt"})
    compared = compared_folders(tmp_path)
    assert (len(compared.distances), compared.equal) == (len(tensors), len(tensors) - 1)
    name, distance = next(iter(compared.distances.items()))
    assert name == changed.removeprefix("transformer.")
    assert (distance.relative, distance.cosine) == (pytest.approx(0.5), pytest.approx(1.0))
    assert before.shape == tensors[changed].shape
    assert (compared.first_only, compared.second_only, compared.reshaped) == ((), (), {})


def test_names_with_and_without_a_prefix_are_the_same_and_others_are_told(tmp_path: Path) -> None:
    saved("bert", tmp_path / "a")  # embeddings.…
    saved("bert, masked", tmp_path / "b")  # bert.embeddings.…
    compared = compared_folders(tmp_path)
    assert compared.first_only == ("pooler.dense.bias", "pooler.dense.weight")
    assert all(name.startswith("cls.predictions.") for name in compared.second_only)
    assert "embeddings.word_embeddings.weight" in compared.distances


def test_shapes_that_are_others_are_told(tmp_path: Path) -> None:
    for side in ("a", "b"):
        saved("gpt2", tmp_path / side)
    tensors = load_file(tmp_path / "b" / FILE)
    tensors["transformer.wte.weight"] = torch.zeros(70, 32)
    save_file(tensors, tmp_path / "b" / FILE, {"format": "pt"})
    assert compared_folders(tmp_path).reshaped == {"wte.weight": ((61, 32), (70, 32))}


def compared_folders(folder: Path) -> Any:
    a, b = look(folder / "a"), look(folder / "b")
    assert a.files is not None and b.files is not None
    return compare(a.files, b.files, (a.family.prefix, b.family.prefix))


def test_a_tensor_of_several_pieces_is_never_held_as_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    widened: list[int] = []
    double = torch.Tensor.double

    def seen(tensor: torch.Tensor) -> torch.Tensor:
        widened.append(tensor.numel())
        return double(tensor)

    monkeypatch.setattr(torch.Tensor, "double", seen)
    statistics_of(torch.ones(3 << 15, dtype=torch.bfloat16))
    assert max(widened) == weight_statistics.PIECE


def test_order_counts_blocks() -> None:
    assert in_order(json.loads('["h.10.w", "h.9.w", "h.2.w", "a"]')) == ["a", "h.2.w", "h.9.w", "h.10.w"]
