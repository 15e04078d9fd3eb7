"""Models against `transformers`: the same folder, the same logits."""

import json

import msgspec
import pytest
import torch

from tezgah.errors import InputError
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import load_model, save_model
from tezgah.models.cost import count_parameters, flops_per_token
from tezgah.models.settings import ModelSettings

SMALL = ModelSettings(n_layers=2, width=64, n_heads=4, context_length=32)
SHAPES: dict[str, dict[str, object]] = {
    "gpt2 untied without query, key and value biases": {"shape": "gpt2", "tied": False, "qkv_bias": False},
    "gpt2 tied": {"shape": "gpt2"},
    "qwen3 grouped": {"n_kv_heads": 2},
    "qwen3 tied with wide heads": {"head_dim": 24, "tied": True},
}


@pytest.fixture(params=list(SHAPES.values()), ids=list(SHAPES))
def model(request):
    config = build_config(msgspec.structs.replace(SMALL, **request.param), vocab_size=300)
    model = build_model(config, seed=1).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # away from the zeros and ones of a fresh model, which would hide mistakes
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


@pytest.fixture
def ids():
    return torch.randint(0, 300, (3, 32), generator=torch.Generator().manual_seed(1))


def test_transformers_opens_the_folder_with_equal_logits(model, ids, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_model(model, tmp_path, separator_id=0)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    with torch.no_grad():
        ours, expected = model(ids), theirs(ids).logits
    assert (ours - expected).abs().max() / expected.abs().max() < 1e-5


def test_a_folder_opens_as_the_model_that_was_saved(model, ids, tmp_path):
    save_model(model, tmp_path, separator_id=0)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(ids), model(ids))


def test_counted_parameters_are_the_models(model):
    assert count_parameters(model.config) == sum(parameter.numel() for parameter in model.parameters())


def test_cached_logits_equal_those_of_the_whole(model, ids):
    model, cache = model.double(), model.double().new_cache(3, 32)
    with torch.no_grad():
        parts = [model(ids[:, :10], cache=cache)] + [model(ids[:, i : i + 1], cache=cache) for i in range(10, 32)]
        torch.testing.assert_close(torch.cat(parts, 1), model(ids), atol=1e-12, rtol=1e-9)


def test_rows_of_a_cache_can_be_repeated(model, ids):
    cache = model.new_cache(3, 32)
    with torch.no_grad():
        model(ids[:, :10], cache=cache)
        cache.keep_rows(torch.tensor([2, 2]))
        again = model(ids[2:, 10:12].expand(2, 2), cache=cache)
        torch.testing.assert_close(again, model(ids[2:, :12])[:, 10:].expand(2, 2, -1), atol=1e-4, rtol=1e-4)


def test_right_padding_changes_nothing_before_it(model, ids):
    mask = torch.ones_like(ids)
    mask[:, 20:] = 0
    with torch.no_grad():
        torch.testing.assert_close(model(ids, mask)[:, :20], model(ids[:, :20]), atol=1e-4, rtol=1e-4)


def test_a_fresh_model_guesses_evenly():
    for shape, objective in (("qwen3", "causal"), ("gpt2", "causal"), ("modernbert", "mlm"), ("bert", "mlm")):
        settings = msgspec.structs.replace(SMALL, shape=shape, objective=objective)
        model = build_model(build_config(settings, 300), seed=1)
        ids = torch.randint(0, 300, (4, 32))
        with torch.no_grad():
            assert abs(float(model.loss(ids, ids.roll(-1, 1))) / ids.numel() - 5.704) < 0.1  # ln 300


def test_the_textbook_model_has_the_textbooks_parameters():
    settings = ModelSettings(shape="gpt2", size="small", context_length=256, tied=False, qkv_bias=False)
    config = build_config(settings, vocab_size=50_257)
    assert count_parameters(config) == 162_419_712
    # 6 × (12 × (4 + 8) × 768² matrices, biases and norms, + head) + attention at half
    stack = 12 * (12 * 768**2 + 768 + 3072 + 768 + 4 * 768) + 2 * 768
    assert flops_per_token(config) == 6 * (stack + 50_257 * 768 + 12 * 256 * 768)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 40), "damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "t5"}'), "t5"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "vocab_size"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(tmp_path, damage, message):
    save_model(build_model(build_config(SMALL, 300), 1), tmp_path, 0)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    save_model(build_model(build_config(SMALL, 300), 1), tmp_path, 0)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ModelSettings(), "n_layers and width"),
        (ModelSettings(size="huge"), "huge"),
        (ModelSettings(shape="gpt2", n_layers=1, width=30, n_heads=4), "multiple"),
        (ModelSettings(shape="gpt2", size="small", n_kv_heads=2), "n_kv_heads"),
        (ModelSettings(n_layers=1, width=64, n_heads=4, n_kv_heads=3), "divide"),
        (ModelSettings(n_layers=1, width=64, head_dim=7), "odd"),
        (ModelSettings(size="tiny", dropout=0.1), "dropout"),
        (
            ModelSettings(objective="mlm", shape="gpt2", size="small"),
            r'^\[model\] shape "gpt2" cannot learn objective "mlm"\. Choose modernbert or bert, '
            r'or set objective = "causal"\.$',
        ),
        (ModelSettings(shape="bert", size="tiny"), 'shape "bert" cannot learn objective "causal".* objective = "mlm"'),
        (ModelSettings(objective="mlm", n_layers=1, width=30, n_heads=4), "multiple"),
        (ModelSettings(objective="mlm", n_layers=1, width=20, n_heads=4), "odd"),
        (ModelSettings(objective="mlm", size="tiny", n_kv_heads=2), "n_kv_heads"),
        (ModelSettings(objective="mlm", shape="bert", size="tiny", qkv_bias=False), "qkv_bias"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        build_config(settings, 300)


@pytest.mark.parametrize(
    ("shape", "field", "value"),
    [
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "scale_attn_weights", False),
        ("qwen3", "layer_types", ["sliding_attention"]),
        ("qwen3", "use_sliding_window", True),
        ("qwen3", "rope_parameters", {"rope_type": "longrope", "rope_theta": 1e4, "factor": 2.0}),
    ],
)
def test_a_computation_we_do_not_do_is_refused_by_name(tmp_path, shape, field, value):
    save_model(build_model(build_config(msgspec.structs.replace(SMALL, shape=shape), 300), 1), tmp_path, 0)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(InputError, match="is not computed"):
        load_model(tmp_path)


@pytest.mark.parametrize(("shape", "field"), [("gpt2", "layer_norm_epsilon"), ("qwen3", "rms_norm_eps")])
def test_another_epsilon_is_read(tmp_path, ids, shape, field):
    transformers = pytest.importorskip("transformers")
    save_model(build_model(build_config(msgspec.structs.replace(SMALL, shape=shape), 300), 1), tmp_path, 0)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields | {field: 0.3}))
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits
        torch.testing.assert_close(load_model(tmp_path)(ids), theirs, atol=1e-5, rtol=1e-4)


def test_more_tokens_than_the_context_are_refused(model):
    with pytest.raises(ValueError, match="33 tokens exceed context_length 32"):
        model(torch.zeros(1, 33, dtype=torch.long))
