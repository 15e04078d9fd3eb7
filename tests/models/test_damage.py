"""Folders that are damaged, or mean harm: one clear line, and nothing taken or run."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hugging_face import new_model, saved
from tezgah.errors import InputError
from tezgah.models.checkpoint import load_model

FILE = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved("gpt2", tmp_path)
    return tmp_path


def refused(folder: Path) -> str:
    """What is said, in one line."""
    with pytest.raises(InputError) as error:
        load_model(folder)
    said = str(error.value)
    assert "\n" not in said
    assert str(folder) in said
    return said


def with_header(folder: Path, header: bytes, rest: bytes = b"") -> None:
    (folder / FILE).write_bytes(struct.pack("<Q", len(header)) + header + rest)


@pytest.mark.parametrize("share", [0, 1, 5, 8, 200, 0.5, 0.99])
def test_a_truncated_file(share: float, folder: Path) -> None:
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[: int(share * len(whole)) if isinstance(share, float) else share])
    assert "damaged" in refused(folder)


def test_a_header_whose_tensors_overlap(folder: Path) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    with_header(folder, json.dumps({"a": entry, "b": entry}).encode(), bytes(16))
    assert "damaged" in refused(folder)


def test_a_header_of_a_hundred_megabytes(folder: Path) -> None:
    with open(folder / FILE, "wb") as file:
        file.write(struct.pack("<Q", 100_000_001))
        file.truncate(100_000_100)
    assert "damaged" in refused(folder)


def test_a_header_with_a_dtype_that_does_not_fit_the_bytes(folder: Path) -> None:
    with_header(folder, b'{"a": {"dtype": "F64", "shape": [4], "data_offsets": [0, 16]}}', bytes(16))
    assert "damaged" in refused(folder)


def test_integers_in_place_of_weights(folder: Path) -> None:
    tensors = load_file(folder / FILE)
    tensors["transformer.ln_f.weight"] = torch.ones(32, dtype=torch.int64)
    save_file(tensors, folder / FILE, {"format": "pt"})
    assert "transformer.ln_f.weight" in refused(folder)


def test_missing_and_surplus_tensors_are_all_named(folder: Path) -> None:
    tensors = load_file(folder / FILE)
    gone = ["transformer.ln_f.bias", "transformer.h.1.attn.c_attn.weight"]
    for name in gone:
        tensors.pop(name)
    save_file(tensors, folder / FILE, {"format": "pt"})
    said = refused(folder)
    assert all(name in said for name in gone)
    saved("gpt2", folder)
    tensors = load_file(folder / FILE) | {"transformer.h.7.ln_1.bias": torch.ones(2), "extra": torch.ones(2)}
    save_file(tensors, folder / FILE, {"format": "pt"})
    said = refused(folder)
    assert "extra, transformer.h.7.ln_1.bias" in said


def test_shapes_that_disagree_with_the_configuration(folder: Path) -> None:
    rewrite(folder, lambda config: config | {"n_embd": 64})
    assert "(61, 32) where config.json says (61, 64)" in refused(folder)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]], name: str = "config.json") -> None:
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_layer", -1), ("n_layer", 10**9), ("n_layer", "2"), ("n_layer", 1.5), ("n_embd", 10**12), ("n_head", 0),
        ("n_head", 5), ("layer_norm_epsilon", "1e-5"), ("layer_norm_epsilon", 0), ("resid_pdrop", 2.0),
        ("vocab_size", True), ("tie_word_embeddings", "no"), ("activation_function", "tanh"),
        ("scale_attn_by_inverse_layer_idx", True), ("add_cross_attention", True), ("pruned_heads", {"0": [1]}),
        ("auto_map", {"AutoModel": "code.Model"}), ("quantization_config", {"bits": 4}), ("model_type", "mamba"),
        ("model_type", ["gpt2"]), ("architectures", ["GPT2DoubleHeadsModel"]), ("architectures", "GPT2"),
        ("layer_norm_epsilon", float("nan")), ("n_inner", -4),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used_is_named(field: str, value: Any, folder: Path) -> None:
    rewrite(folder, lambda config: config | {field: value})
    assert field in refused(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_activation", "relu"), ("classifier_activation", "silu"), ("classifier_pooling", "max"),
        ("layer_types", ["full_attention"]), ("layer_types", ["full_attention", "chunked_attention"]),
        ("local_attention", -1), ("local_attention", 10**12), ("num_attention_heads", 3), ("num_attention_heads", 32),
        ("norm_eps", 0), ("mlp_dropout", 2), ("rope_parameters", {"rope_theta": 1e4}),
        ("rope_parameters", {"full_attention": {"rope_type": "linear"}}), ("architectures", ["ModernBertForTokens"]),
    ],
)  # fmt: skip
def test_a_modernbert_that_cannot_be_used_is_named(field: str, value: Any, tmp_path: Path) -> None:
    saved("modernbert, masked", tmp_path)
    rewrite(tmp_path, lambda config: config | {field: value})
    assert field in refused(tmp_path)


def test_unknown_fields_are_passed_over_and_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(folder, lambda config: config | {"colour": "red", "weather": 1, "use_cache": False})
    load_model(folder)
    assert "colour, weather" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["longrope", "su", 7, None])
def test_rotary_scalings_that_are_not_computed_are_named(kind: Any, tmp_path: Path) -> None:
    saved("llama, linear", tmp_path)
    rewrite(tmp_path, lambda config: config | {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4}})
    if kind is None:
        load_model(tmp_path)
    else:
        assert "rope_type" in refused(tmp_path)


@pytest.mark.parametrize("numbers", [{}, {"factor": "3"}, {"factor": -1.0}, {"factor": float("inf")}])
def test_rotary_numbers_are_looked_at(numbers: dict[str, Any], tmp_path: Path) -> None:
    saved("llama, linear", tmp_path)
    rewrite(
        tmp_path, lambda config: config | {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, **numbers}}
    )
    assert "factor" in refused(tmp_path)


@pytest.mark.parametrize(
    "place", ["../secret.safetensors", "/etc/passwd", "model.bin", "..", "", "a/b.safetensors", "x\x00.safetensors"]
)
def test_an_index_that_points_elsewhere(place: str, folder: Path) -> None:
    (folder / FILE).rename(folder / "part.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"transformer.wte.weight": place}}))
    assert "not the name of a safetensors file" in refused(folder)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{"])
def test_an_index_that_is_none(index: str, folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    refused(folder)


def test_several_files_and_one_that_is_missing(folder: Path) -> None:
    whole, tensors = load_model(folder), load_file(folder / FILE)
    names = sorted(tensors)
    parts = {"part-1.safetensors": names[:7], "part-2.safetensors": names[7:]}
    for part, held in parts.items():
        save_file({name: tensors[name] for name in held}, folder / part, {"format": "pt"})
    index = {name: part for part, held in parts.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / FILE).unlink()
    ids = torch.arange(9)[None]
    assert torch.equal(load_model(folder)(ids), whole(ids))
    save_file({name: tensors[name] for name in names[7:-1]}, folder / "part-2.safetensors", {"format": "pt"})
    assert names[-1] in refused(folder)
    (folder / "part-2.safetensors").unlink()
    assert "no such file" in refused(folder)


def test_links_that_go_round(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).symlink_to(folder / "other")
    (folder / "other").symlink_to(folder / FILE)
    assert FILE in refused(folder)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(folder / "config.json")
    assert "config.json" in refused(folder)


def test_pickles_are_not_opened(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    assert "tezgah import" in refused(folder)
    assert not Path("harm").exists()


def test_biases_that_the_configuration_denies_are_not_dropped(folder: Path) -> None:
    rewrite(folder, lambda config: config | {"qkv_bias": False})
    assert "c_attn.bias is not zero" in refused(folder)


def test_a_head_of_its_own_is_used_where_the_configuration_ties_it(folder: Path) -> None:
    tensors = load_file(folder / FILE)
    ids = torch.arange(9)[None]
    before = load_model(folder)(ids)
    save_file(tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()}, folder / FILE, {"format": "pt"})
    assert torch.equal(load_model(folder)(ids), before)
    save_file(tensors | {"lm_head.weight": 2 * tensors["transformer.wte.weight"]}, folder / FILE, {"format": "pt"})
    torch.testing.assert_close(load_model(folder)(ids), 2 * before)


def test_an_untied_model_without_a_head_is_told_what_it_lacks(tmp_path: Path) -> None:
    theirs = new_model("llama")
    theirs.base_model.save_pretrained(tmp_path)
    assert "of a model without a head" in refused(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_attention_heads": 1 << 28, "num_key_value_heads": 1, "head_dim": 1 << 28},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0, "factor": 2.0}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": True}},
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 2.0,
                "mscale": -9,
                "mscale_all_dim": -9,
            }
        },
        {"partial_rotary_factor": 0.5},
        {"attention_dropout": "0"},
    ],
)
def test_numbers_of_a_llama_are_looked_at(fields: dict[str, Any], tmp_path: Path) -> None:
    saved("llama", tmp_path)
    rewrite(tmp_path, lambda config: config | fields)
    refused(tmp_path)


def test_parameters_are_in_memory_of_their_own_where_they_lie_in_one_tensor(folder: Path) -> None:
    attention = load_model(folder).stack.blocks[0].attention
    places = {each.bias.untyped_storage().data_ptr() for each in (attention.query, attention.key, attention.value)}
    assert len(places) == 3
