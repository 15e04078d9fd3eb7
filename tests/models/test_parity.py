"""Every family against `transformers`: logits, what happens inside, gradients, and the files, both ways."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from tests.models.hugging_face import MODELS, PADDING_ID, new_model, relative_error, saved
from tezgah.models.checkpoint import load_model, save_model
from tezgah.models.families import FAMILIES
from tezgah.nn.masks import text_positions
from tezgah.nn.trace import Trace

IDS = torch.randint(1, PADDING_ID, (3, 17), generator=torch.Generator().manual_seed(2))
PADDINGS = {
    "none": torch.ones(3, 17, dtype=torch.long),
    "right": torch.arange(17)[None] < torch.tensor([[17], [9], [3]]),
    "left": torch.arange(17)[None] >= torch.tensor([[0], [8], [14]]),
}
FIRST_TOKEN = ("bert", "bert, classification", "modernbert, classification, first token")


def inputs(name: str, padding: str) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any], dict[str, Any]]:
    """Ids, mask, and what else each side is given."""
    mask = PADDINGS[padding].long()
    theirs: dict[str, Any] = {"position_ids": text_positions(mask)}
    ours: dict[str, Any] = {}
    if name.startswith("bert"):
        types = (torch.arange(17) > 8).long().expand(3, -1)
        theirs["token_type_ids"] = ours["token_types"] = types
    return IDS.masked_fill(mask == 0, PADDING_ID), mask, ours, theirs


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", MODELS)
def test_logits_hidden_states_and_attention_are_theirs(name: str, padding: str, tmp_path: Path) -> None:
    theirs, ours = saved(name, tmp_path), load_model(tmp_path)
    ids, mask, our_inputs, their_inputs = inputs(name, padding)
    with torch.no_grad():
        told = theirs(ids, attention_mask=mask, output_hidden_states=True, output_attentions=True, **their_inputs)
        trace = Trace()
        traced = ours(ids, mask, **our_inputs, trace=trace)
        fused = ours(ids, mask, **our_inputs)
    seen = mask.bool()
    expected = told.logits if hasattr(told, "logits") else told.last_hidden_state
    rows = seen if expected.ndim == 3 else slice(None)
    pools_padding = padding == "left" and name in FIRST_TOKEN  # theirs takes the first column
    for found in (traced, fused) if not (pools_padding and expected.ndim == 2) else ():
        assert relative_error(found[rows], expected[rows]) < 1e-5
    if name == "bert" and not pools_padding:
        assert relative_error(ours.pooled(traced, mask), told.pooler_output) < 1e-5
    assert len(trace.hidden_states) == len(told.hidden_states) == 3
    for found, expected in zip(trace.hidden_states, told.hidden_states, strict=True):
        assert relative_error(found[seen], expected[seen]) < 1e-5
    for found, expected in zip(trace.attentions, told.attentions, strict=True):
        assert relative_error(found.transpose(1, 2)[seen], expected.transpose(1, 2)[seen]) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_every_parameter_are_theirs(name: str, tmp_path: Path) -> None:
    theirs, ours = saved(name, tmp_path), load_model(tmp_path)
    ids, mask, our_inputs, their_inputs = inputs(name, "right")
    told = theirs(ids, attention_mask=mask, **their_inputs)
    expected, found = told[0], ours(ids, mask, **our_inputs)
    if name == "bert":
        expected, found = told.pooler_output, ours.pooled(found)
    rows = mask.bool() if found.ndim == 3 else slice(None)
    weights = torch.randn(found[rows].shape, generator=torch.Generator().manual_seed(3))
    (expected[rows] * weights).sum().backward()
    (found[rows] * weights).sum().backward()
    gradients = {our_name: parameter.grad for our_name, parameter in ours.named_parameters()}
    family, named = FAMILIES[ours.config.family], dict(theirs.named_parameters())
    largest = max(float(parameter.grad.abs().max()) for parameter in named.values() if parameter.grad is not None)
    checked = 0
    for entry in family.key_map(ours.config):
        names = [entry.theirs, entry.theirs.removeprefix(family.prefix)]
        parameter = next(named[each] for each in names if each in named)
        if parameter.grad is None:
            assert torch.equal(entry.to_disk(dict(ours.named_parameters())), parameter)  # a bias nothing reads
            continue
        checked += 1
        if entry.theirs.endswith("key.bias"):  # a softmax does not hear it: its gradient is rounding alone
            assert parameter.grad.abs().max() < 1e-6 * largest
            continue
        assert relative_error(entry.to_disk(gradients), parameter.grad) < 1e-4, entry.theirs
    assert checked >= len({id(parameter) for parameter in named.values()}) - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MODELS)
def test_a_folder_comes_back_tensor_by_tensor(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs", lambda model: model.to(dtype))
    ours = load_model(tmp_path / "theirs", dtype=dtype)
    save_model(ours, tmp_path / "ours", separator_id=0)
    before = load_file(tmp_path / "theirs" / "model.safetensors")
    after = load_file(tmp_path / "ours" / "model.safetensors")
    assert before.keys() == after.keys()
    for tensor_name, tensor in before.items():
        assert tensor.dtype == after[tensor_name].dtype == dtype
        assert torch.equal(tensor, after[tensor_name]), tensor_name
    read: Any = {"attn_implementation": "eager", "dtype": dtype}
    first = type(theirs).from_pretrained(tmp_path / "theirs", **read)
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True, **read)
    assert not report["missing_keys"] | report["unexpected_keys"] | report["mismatched_keys"]
    again.config.pad_token_id = first.config.pad_token_id  # those who know the tokenizer write it
    ids, _mask, _, their_inputs = inputs(name, "none")
    with torch.no_grad():
        assert torch.equal(again(ids, **their_inputs)[0], first(ids, **their_inputs)[0])


@pytest.mark.parametrize("name", ["gpt", "gpt2", "llama", "qwen3", "bert, masked", "modernbert, masked"])
def test_bfloat16_weights_give_logits_as_near_to_exact_ones_as_theirs(name: str, tmp_path: Path) -> None:
    exact = saved(name, tmp_path)
    ids, _mask, our_inputs, their_inputs = inputs(name, "none")
    ours, theirs = load_model(tmp_path, dtype=torch.bfloat16), new_model(name).to(torch.bfloat16)
    with torch.no_grad():
        expected = exact(ids, **their_inputs).logits
        our_error = relative_error(ours(ids, **our_inputs), expected)
        their_error = relative_error(theirs(ids, **their_inputs).logits, expected)
    assert our_error < 1.2 * their_error + 1e-3


def test_an_older_berts_names_are_read(tmp_path: Path) -> None:
    theirs = saved("bert, masked", tmp_path)
    from safetensors.torch import save_file

    tensors = load_file(tmp_path / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    old["cls.seq_relationship.weight"] = torch.zeros(2, 32)
    old["bert.pooler.dense.weight"] = torch.zeros(32, 32)
    save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForPreTraining"]}))
    assert relative_error(load_model(tmp_path)(IDS), theirs(IDS).logits) < 1e-5


@pytest.mark.parametrize("name", ["gpt", "gpt2", "llama, every bias, tied", "bert"])
def test_a_model_without_a_head_is_opened(name: str, tmp_path: Path) -> None:
    theirs = new_model(name)
    bare = getattr(theirs, "base_model", theirs)
    bare.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    if name == "bert":
        assert relative_error(ours(IDS), theirs(IDS).last_hidden_state) < 1e-5
    else:
        assert relative_error(ours(IDS), theirs(IDS).logits) < 1e-5


def test_a_modernbert_of_the_first_release_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = saved("modernbert, masked", tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    for name in ("layer_types", "rope_parameters"):
        del fields[name]
    old = {  # as answerdotai/ModernBERT-base has them
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160_000.0,
        "local_rope_theta": 10_000.0,
        "layer_norm_eps": 1e-5,
        "position_embedding_type": "absolute",
        "reference_compile": True,
        "repad_logits_with_grad": False,
        "sparse_pred_ignore_index": -100,
        "sparse_prediction": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(fields | old))
    assert relative_error(load_model(tmp_path)(IDS), theirs(IDS).logits) < 1e-5
    assert "passed over" not in capsys.readouterr().err


def test_a_bert_without_a_pooler_is_opened(tmp_path: Path) -> None:
    config = new_model("bert").config
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert load_model(tmp_path).config.head == "none"
