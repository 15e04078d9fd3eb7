"""Named sizes have the numbers of parameters that their papers' checkpoints have."""

import dataclasses
from typing import Any

import pytest
import torch

from tests.models.hugging_face import MODELS, new_model
from tezgah.errors import InputError
from tezgah.models import bert
from tezgah.models.bert import BertFields
from tezgah.models.build import build_config
from tezgah.models.checkpoint import load_model, save_model
from tezgah.models.config import EncoderConfig
from tezgah.models.cost import count_parameters
from tezgah.models.families import FAMILIES
from tezgah.models.settings import SHAPES, SIZES, ModelSettings

GPT2 = {"small": 124_439_808, "medium": 354_823_168, "large": 774_030_080, "xl": 1_557_611_200}


def built_parameters(config: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in FAMILIES[config.family].build(config).parameters())


@pytest.mark.parametrize("size", GPT2)
def test_gpt2s_sizes_are_exact(size: str) -> None:
    config = build_config(ModelSettings(shape="gpt2", size=size, context_length=1_024), vocab_size=50_257)
    assert count_parameters(config) == built_parameters(config) == GPT2[size]


@pytest.mark.parametrize(("architecture", "tensors", "parameters"), [
    ("BertModel", ("pooler.dense.weight",), 109_482_240),
    ("BertModel", ("embeddings.word_embeddings.weight",), 108_891_648),
    ("BertForMaskedLM", (), 109_514_298),
])  # fmt: skip
def test_bert_base_is_exact(architecture: str, tensors: tuple[str, ...], parameters: int) -> None:
    config: EncoderConfig = bert.config_of(BertFields(), architecture, tensors)
    assert count_parameters(config) == built_parameters(config) == parameters


TURC = {"tiny": 4_385_920, "mini": 11_170_560, "small": 28_763_648, "medium": 41_373_184, "base": 109_482_240}
MODERN = {"base": 149_655_232, "large": 395_881_664}


@pytest.mark.parametrize("size", TURC)
def test_berts_sizes_are_exact(size: str) -> None:
    config: Any = build_config(ModelSettings(objective="mlm", shape="bert", size=size), vocab_size=30_522)
    assert (config.head, config.context_length) == ("masked_lm", 512)
    assert count_parameters(dataclasses.replace(config, head="pooler")) == TURC[size]
    assert count_parameters(config) == built_parameters(config)


@pytest.mark.parametrize("size", MODERN)
def test_modernberts_sizes_are_exact(size: str) -> None:
    config = build_config(ModelSettings(objective="mlm", size=size, context_length=8_192), vocab_size=50_368)
    assert count_parameters(config) == built_parameters(config) == MODERN[size]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_counted_without_building(name: str, tmp_path: Any) -> None:
    theirs = new_model(name)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    counted = sum(parameter.numel() for parameter in ours.parameters())
    assert count_parameters(ours.config) == counted
    unread = 61 if name.startswith("bert, masked, untied") else 0  # a bias that nothing reads
    assert counted == sum(parameter.numel() for parameter in theirs.parameters()) - unread


@pytest.mark.parametrize("shape", SIZES)
def test_first_weights_follow_the_seed(shape: Any, tmp_path: Any) -> None:
    from tezgah.models.build import build_model

    objective: Any = "mlm" if shape in SHAPES["mlm"] else "causal"
    sizes: dict[str, Any] = {"n_layers": 2, "width": 32, "n_heads": 2, "context_length": 16}
    config = build_config(ModelSettings(objective=objective, shape=shape, **sizes), 50)
    first, again, other = (build_model(config, seed) for seed in (1, 1, 2))
    weights = [torch.cat([each.flatten() for each in model.parameters()]) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.isfinite(first(torch.arange(16)[None])).all()
    save_model(first, tmp_path, 0)
    assert load_model(tmp_path).config == config


@pytest.mark.parametrize(
    ("asked", "shape", "vocab_size", "depth"),
    [
        ("124M", "gpt2", 50_257, 12),
        ("124m", "gpt2", 50_257, 12),
        ("8M", "qwen3", 4_096, 5),
        ("1.3B", "gpt2", 50_257, 29),
        ("8M", "modernbert", 4_096, 6),
    ],
)
def test_a_number_of_parameters_takes_the_nearest_shape(asked: str, shape: Any, vocab_size: int, depth: int) -> None:
    objective: Any = "mlm" if shape in SHAPES["mlm"] else "causal"
    settings = ModelSettings(objective=objective, shape=shape, size=asked, context_length=1_024)
    config = build_config(settings, vocab_size)
    assert (config.n_layers, config.width, config.stack.head_dim) == (depth, 64 * depth, 64)
    assert asked not in ("124M", "124m") or count_parameters(config) == GPT2["small"]


@pytest.mark.parametrize(("size", "message"), [
    ("1M", r'size "1M": with 50,257 ids the nearest model has 13,\d{3},\d{3} parameters. Choose a size near that'),
    ("999B", r'size "999B": with 50,257 ids the nearest model has'),
    ("auto", r'size "auto" is chosen by `tezgah run`, from its budget. Give a size here.'),
    ("huge", r'size "huge" is not one of tiny, mini, small, medium of shape qwen3, nor "auto" or a number'),
])  # fmt: skip
def test_a_size_that_cannot_be_is_refused(size: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_config(ModelSettings(size=size), vocab_size=50_257)
