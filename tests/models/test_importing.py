"""State dicts of other code, imported: the logits are theirs, and what does not fit is said."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.models.hugging_face import MODELS, new_model, relative_error
from tests.models.other_code import BookGPT, NanoGPT, Sizes, randomized
from tests.models.other_llamas import EPSILON, BookRotary, MetaLlama
from tezgah.errors import InputError
from tezgah.models.importing import import_model
from tezgah.models.origins import META_LLAMA, ORIGINS, Interleaved

IDS = torch.randint(0, 53, (2, 16), generator=torch.Generator().manual_seed(3))


def folder_like(family: str, sizes: Sizes, place: Path, **changes: Any) -> Path:
    """A folder whose config.json states a model of these sizes, and other things where the weights are to decide."""
    gpt2 = {
        "vocab_size": 99, "n_positions": 77, "n_layer": 5, "n_embd": sizes.width, "n_head": sizes.heads,
        "n_inner": sizes.mlp, "activation_function": "gelu" if sizes.exact else "gelu_new",
    }  # fmt: skip
    rotary = {
        "vocab_size": 99, "hidden_size": sizes.width, "intermediate_size": sizes.mlp, "num_hidden_layers": 5,
        "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.kv_heads, "max_position_embeddings": 77,
        "rms_norm_eps": EPSILON, "head_dim": sizes.width // sizes.heads, "attention_bias": True,
    }  # fmt: skip
    place.mkdir(exist_ok=True)
    fields = {"model_type": family, **(gpt2 if family == "gpt2" else rotary), **changes}
    (place / "config.json").write_text(json.dumps(fields))
    return place


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(IDS)  # type: ignore[no-any-return]


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize(
    "sizes",
    [Sizes(), Sizes(bias=False), Sizes(tied=False, exact=False, has_masks=True), Sizes(heads=2, mlp=40, layers=3)],
)
def test_nanogpt(sizes: Sizes, prefix: str, tmp_path: Path) -> None:
    theirs = randomized(NanoGPT(sizes))
    state = {prefix + name: tensor for name, tensor in theirs.state_dict().items()}
    arguments = {"n_layer": sizes.layers, "n_head": sizes.heads, "block_size": sizes.context, "bias": sizes.bias}
    whole = {"model": state, "model_args": arguments, "iter_num": 5, "best_val_loss": torch.tensor(2.5)}
    torch.save(whole, tmp_path / "ckpt.pt")
    ours, _ = import_model(tmp_path / "ckpt.pt", folder_like("gpt2", sizes, tmp_path / "like"))
    assert relative_error(logits(ours), logits(theirs)) < 1e-5
    config = ours.config
    found = (config.tied, config.stack.qkv_bias, config.vocab_size, config.context_length, config.n_layers)
    assert found == (sizes.tied, sizes.bias, 53, 16, sizes.layers)


@pytest.mark.parametrize("sizes", [Sizes(exact=False), Sizes(exact=False, bias=False, tied=False, heads=1)])
@pytest.mark.parametrize("key", [None, "model_state_dict", "state_dict"])
def test_the_book(sizes: Sizes, key: str | None, tmp_path: Path) -> None:
    theirs = randomized(BookGPT(sizes))
    state = theirs.state_dict()
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / "model.pth")
    ours, _ = import_model(tmp_path / "model.pth", folder_like("gpt2", sizes, tmp_path / "like"))
    assert relative_error(logits(ours), logits(theirs)) < 1e-5
    assert (ours.config.tied, ours.config.stack.qkv_bias) == (sizes.tied, sizes.bias)


@pytest.mark.parametrize("sizes", [Sizes(), Sizes(tied=False, kv_heads=2, mlp=48), Sizes(heads=2, kv_heads=1)])
@pytest.mark.parametrize("is_old_format", [False, True])
def test_metas_llama(sizes: Sizes, is_old_format: bool, tmp_path: Path) -> None:
    theirs = randomized(MetaLlama(sizes))
    arguments = {"n_heads": sizes.heads, "n_kv_heads": None, "max_seq_len": sizes.context}
    whole = {"model": theirs.state_dict(), "model_args": arguments}
    torch.save(whole, tmp_path / "ckpt.pt", _use_new_zipfile_serialization=not is_old_format)
    ours, _ = import_model(tmp_path / "ckpt.pt", folder_like("llama", sizes, tmp_path / "like"))
    assert relative_error(logits(ours), logits(theirs)) < 1e-5
    assert (ours.config.tied, ours.config.context_length, ours.config.n_layers) == (sizes.tied, 16, 2)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_books_rotary_models(family: str, tied: bool, tmp_path: Path) -> None:
    sizes = Sizes(kv_heads=2, mlp=48, tied=tied)
    theirs = randomized(BookRotary(sizes, is_qwen3=family == "qwen3"))
    torch.save(theirs.state_dict(), tmp_path / "model.pth")
    ours, _ = import_model(tmp_path / "model.pth", folder_like(family, sizes, tmp_path / "like"))
    assert relative_error(logits(ours), logits(theirs)) < 1e-5
    assert ours.config.tied == tied


@pytest.mark.parametrize("name", MODELS)
def test_hugging_face(name: str, tmp_path: Path) -> None:
    theirs = new_model(name)
    theirs.config.architectures = [MODELS[name][0]]
    theirs.config.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours, _ = import_model(tmp_path / "pytorch_model.bin", tmp_path)
    given_out = theirs(IDS)
    expected = given_out.logits if "logits" in given_out else given_out.last_hidden_state
    assert relative_error(logits(ours), expected.detach()) < 1e-5


def test_hugging_face_in_parts_and_without_prefix(tmp_path: Path) -> None:
    theirs = new_model("gpt2")
    theirs.config.save_pretrained(tmp_path)
    state = theirs.transformer.state_dict()
    names = sorted(state)
    parts = {"pytorch_model-1.bin": names[:9], "pytorch_model-2.bin": names[9:]}
    for part, held in parts.items():
        torch.save({name: state[name] for name in held}, tmp_path / part)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {name: part for part, held in parts.items() for name in held}}))
    ours, _ = import_model(index, tmp_path)
    assert relative_error(logits(ours), theirs(IDS).logits.detach()) < 1e-5
    index.write_text(json.dumps({"weight_map": {"wte.weight": "../other.bin"}}))
    with pytest.raises(InputError, match="not the name of a .bin file"):
        import_model(index, tmp_path)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**31))
def test_rotary_pairs_change_places_exactly(heads: int, pairs: int, width: int, seed: int) -> None:
    matrix = torch.randn(heads * pairs * 2, width, generator=torch.Generator().manual_seed(seed))
    entry = Interleaved("theirs", "ours", 2 * pairs)
    ours = entry.from_disk(matrix, {})["ours"]
    assert torch.equal(entry.to_disk({"ours": ours}), matrix)
    for head in range(heads):
        for pair in range(pairs):
            first = head * pairs * 2 + pair
            assert torch.equal(ours[first], matrix[head * pairs * 2 + 2 * pair])
            assert torch.equal(ours[first + pairs], matrix[head * pairs * 2 + 2 * pair + 1])


def test_an_origin_names_every_parameter_once() -> None:
    for origin in ORIGINS:
        if origin.names is None:
            continue
        ours = [name for value in origin.names.values() for name in (value if isinstance(value, tuple) else (value,))]
        assert len(ours) == len(set(ours)), origin.told
        assert origin.interleaved <= set(origin.names)


def test_what_the_weights_decide_and_what_they_leave_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = Sizes(bias=False, has_masks=True)
    torch.save(randomized(NanoGPT(sizes)).state_dict(), tmp_path / "a.pth")
    import_model(tmp_path / "a.pth", folder_like("gpt2", sizes, tmp_path / "like"))
    said = capsys.readouterr().err
    assert "vocab_size 53 (not 99), context_length 16 (not 77), n_layers 2 (not 5), qkv_bias false (not true)" in said
    assert "4 heads" in said
    assert "zeros stand there" in said
    assert "has no transformer.h.N.attn.c_proj.bias, transformer.h.N.ln_1.bias" in said
    assert "passed over, for nothing needs them: lm_head.weight, transformer.h.N.attn.bias" in said


def test_the_types_of_numbers_are_kept_or_made_the_wider(tmp_path: Path) -> None:
    sizes = Sizes()
    like = folder_like("llama", sizes, tmp_path / "like")
    model = randomized(MetaLlama(sizes)).bfloat16()
    torch.save(model.state_dict(), tmp_path / "a.pth")
    assert {p.dtype for p in import_model(tmp_path / "a.pth", like)[0].parameters()} == {torch.bfloat16}
    torch.save(model.state_dict() | {"norm.weight": torch.ones(32)}, tmp_path / "a.pth")
    assert {p.dtype for p in import_model(tmp_path / "a.pth", like)[0].parameters()} == {torch.float32}


def changed(state: dict[str, Tensor], case: str) -> dict[Any, Any]:
    """A state dict of Meta's names with something wrong."""
    wq = "layers.1.attention.wq.weight"
    changes: dict[str, dict[Any, Any]] = {
        "a surplus tensor": {"layers.0.adapter.weight": torch.ones(2)},
        "a layer too many": {"layers.7.attention.wq.weight": torch.ones(32, 32)},
        "another width": {wq: torch.ones(48, 32)},
        "no matrix": {wq: torch.tensor(1.0)},
        "an embedding of one number": {"tok_embeddings.weight": torch.tensor(1.0)},
        "whole numbers": {wq: torch.ones(32, 32, dtype=torch.int64)},
        "a sparse tensor": {wq: torch.ones(32, 32).to_sparse()},
        "few numbers said to be many": {"tok_embeddings.weight": torch.ones(1, 32).expand(2**27, 32)},
        "the same twice": {f"module.{wq}": state[wq]},
        "a name of two lines": {"a\nb.weight": torch.ones(2)},
        "a number for a name": {7: torch.ones(2)},
        "nobody's names": {},
    }
    if case == "missing tensors":
        return {name: tensor for name, tensor in state.items() if "wo" not in name and name != "norm.weight"}
    return state | changes[case] if case != "nobody's names" else {f"x.{name}": state[name] for name in state}


WRONG = {
    "missing tensors": "lacks layers.0.attention.wo.weight, layers.1.attention.wo.weight, norm.weight",
    "a surplus tensor": "holds layers.0.adapter.weight, which such a model has not",
    "a layer too many": "lacks layers.2.",
    "another width": "layers.1.attention.wq.weight has the shape (48, 32) where",
    "no matrix": "layers.1.attention.wq.weight has the shape () where",
    "an embedding of one number": "tok_embeddings.weight has the shape () where",
    "whole numbers": "holds torch.int64 numbers",
    "a sparse tensor": "no plain tensor",
    "few numbers said to be many": "which the file has not",
    "the same twice": "two tensors for layers.1.attention.wq.weight",
    "a name of two lines": "'a\\nb.weight'",
    "a number for a name": "a tensor named 7",
    "nobody's names": "are of no code this tezgah knows",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_state_dict_that_does_not_fit_is_said_in_one_line(case: str, tmp_path: Path) -> None:
    state = randomized(MetaLlama(Sizes(tied=False))).state_dict()
    torch.save(changed(state, case), tmp_path / "a.pth")
    with pytest.raises(InputError) as error:
        import_model(tmp_path / "a.pth", folder_like("llama", Sizes(), tmp_path / "like"))
    assert WRONG[case] in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "a.pth"))
    assert "\n" not in str(error.value)


def test_a_folder_of_another_family_or_other_heads(tmp_path: Path) -> None:
    state = randomized(MetaLlama(Sizes())).state_dict()
    torch.save({"model": state, "model_args": {"n_heads": 4}}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="has the names of Meta's Llama or llama2.c, and .* is a gpt2"):
        import_model(tmp_path / "a.pth", folder_like("gpt2", Sizes(), tmp_path / "like"))
    with pytest.raises(InputError, match="says n_heads 4 where .* says 8"):
        import_model(tmp_path / "a.pth", folder_like("llama", Sizes(heads=8), tmp_path / "like"))
    assert META_LLAMA.families == ("llama",)
