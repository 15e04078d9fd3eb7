"""The compiled one-token step, against the model's own pass and against exact products."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.compiled import compiled as compiled_code
from tezgah.generation.cpu.packing import can_pack, to_int8
from tezgah.generation.cpu.pointwise import exponential
from tezgah.generation.cpu.products import TILE, product, share_of
from tezgah.generation.cpu.tokens import CompiledStep
from tezgah.models.build import build_config, build_model
from tezgah.models.causal import CausalLM
from tezgah.models.settings import ModelSettings

CONTEXT, VOCAB = 32, 96
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"shape": "gpt2", "n_heads": 2},
    "gpt2, four heads": {"shape": "gpt2", "n_heads": 4},  # of 16 numbers, one vector
    "llama, grouped": {"shape": "llama", "n_heads": 4, "n_kv_heads": 2},
    "qwen3": {"shape": "qwen3", "n_heads": 1},
}


def fresh(name: str, dtype: torch.dtype = torch.float32) -> CausalLM:
    """A model whose every parameter has something to say: zeros and ones of a fresh one would hide mistakes."""
    chosen = ModelSettings(n_layers=2, width=64, context_length=CONTEXT, **SHAPES[name])
    model: CausalLM = build_model(build_config(chosen, VOCAB), 1)
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return model.to(dtype).eval()


def stepped(model: CausalLM, step: Any, prompts: list[list[int]], n: int) -> torch.Tensor:
    """Logits of `n` steps after each of the prompts, (n, rows, vocab), by `step(ids, cache)`."""
    cache = model.new_cache(len(prompts), CONTEXT)
    longest = max(map(len, prompts))
    ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
    with torch.no_grad():
        model.next_logits(ids, cache, torch.tensor([len(prompt) for prompt in prompts]))
        rows = range(len(prompts))
        return torch.stack([step([(7 * t + row) % VOCAB for row in rows], cache).clone() for t in range(n)])


def prompts_of(rows: int) -> list[list[int]]:
    """Prompts of different lengths."""
    return [[(3 * row + place) % VOCAB for place in range(1 + row % 5)] for row in range(rows)]


def plain(model: CausalLM) -> Any:
    """The model's own pass."""
    return lambda ids, cache: model.next_logits(torch.tensor(ids)[:, None], cache)


def compiled(model: CausalLM, rows: int, **told: Any) -> CompiledStep:
    """The step for so many rows."""
    return CompiledStep(model, rows, CONTEXT, **told)


@pytest.mark.parametrize("rows", [1, 2, 5, 9])
@pytest.mark.parametrize("name", SHAPES)
def test_a_compiled_step_gives_the_models_own_logits(name: str, rows: int):
    model = fresh(name)
    theirs = stepped(model, plain(model), prompts_of(rows), 20)
    ours = stepped(model, compiled(model, rows), prompts_of(rows), 20)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mlp", ["gelu", "relu2", "geglu"])
def test_every_activation_is_the_models_own(mlp: Any):
    config = fresh("llama, grouped").config
    model = CausalLM(dataclasses.replace(config, stack=dataclasses.replace(config.stack, mlp=mlp))).eval()
    theirs = stepped(model, plain(model), prompts_of(2), 3)
    torch.testing.assert_close(stepped(model, compiled(model, 2), prompts_of(2), 3), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_comes_out_the_same_to_the_bit_in_any_batch_and_on_any_number_of_threads(name: str):
    model = fresh(name)
    together = stepped(model, compiled(model, 9), prompts_of(9), 3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        split = stepped(model, compiled(model, 9), prompts_of(9), 3)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(split, together)
    cache = model.new_cache(9, CONTEXT)  # the prompts are read by torch, whose sums may differ: read them once
    with torch.no_grad():
        longest = max(map(len, prompts_of(9)))
        ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts_of(9)])
        model.next_logits(ids, cache, torch.tensor([len(prompt) for prompt in prompts_of(9)]))
    for row in range(9):
        alone = cache.part(row, row + 1)
        alone = type(cache)(alone.keys.clone(), alone.values.clone(), alone.lengths.clone())
        assert torch.equal(compiled(model, 1)([row], alone)[0], together[0, row])


def test_bfloat16_weights_and_cache_are_read_as_they_are():
    """The products are then exact where torch rounds each, so the full-precision model of the same weights judges."""
    model = fresh("qwen3", torch.bfloat16)
    exact = fresh("qwen3", torch.bfloat16).float()
    ours = stepped(model, compiled(model, 3), prompts_of(3), 8)
    wide = stepped(exact, plain(exact), prompts_of(3), 8)
    torchs = stepped(model, plain(model), prompts_of(3), 8)
    assert (ours - wide).abs().mean() < (torchs - wide).abs().mean()
    torch.testing.assert_close(ours, wide, rtol=0.05, atol=0.05)


def test_weights_of_8_bits_are_the_rounded_models():
    model, rounded = fresh("gpt2"), fresh("gpt2")
    with torch.no_grad():
        for layer in [each for each in rounded.modules() if isinstance(each, torch.nn.Linear)]:
            numbers, scales = to_int8(layer.weight)
            layer.weight.copy_(numbers * scales[:, None])
        numbers, scales = to_int8(rounded.embedding.weight)
    head = numbers * scales[:, None]

    def theirs(ids: list[int], cache: Any) -> torch.Tensor:
        """The embedding is the head, but only as the head is it rounded."""
        return rounded.hidden(torch.tensor(ids)[:, None], cache=cache)[:, -1] @ head.T

    step, cache = compiled(model, 2, int8=True), model.new_cache(2, CONTEXT)
    other = rounded.new_cache(2, CONTEXT)
    with torch.no_grad():
        for ids in ([1, 2], [3, 4], [5, 6]):
            torch.testing.assert_close(step(ids, cache), theirs(ids, other), rtol=1e-5, atol=1e-5)


@given(outputs=st.integers(1, 50), rows=st.integers(1, 17), vectors=st.integers(1, 5), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_product_is_the_exact_one_rounded_for_weights_of_every_kind(outputs: int, rows: int, vectors: int, seed: int):
    random, length = np.random.default_rng(seed), 16 * vectors
    x = random.normal(size=(rows, length)).astype(np.float32)
    numbers = random.integers(-127, 128, (outputs, length))
    wide = np.empty(TILE * length, np.float32)
    halves = torch.from_numpy(numbers / 64).bfloat16()
    for weights, exact in (
        (numbers.astype(np.float32), numbers),
        (halves.view(torch.uint16).numpy(), halves.double().numpy()),
        (numbers.astype(np.int8), numbers),
    ):
        out = np.full((rows, outputs + 2), np.nan, np.float32)
        for thread in range(3):
            start, stop = share_of(outputs, thread, 3)
            inputs, outside = (x.ctypes.data, x.strides[0]), (out.ctypes.data + 4, out.strides[0])
            product(weights[:0, 0], weights.ctypes.data, length, *inputs, rows, *outside, start, stop, wide.ctypes.data)
        wanted = x.astype(np.float64) @ exact.T
        np.testing.assert_allclose(out[:, 1:-1], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
        assert np.isnan(out[:, [0, -1]]).all()


def test_models_that_the_step_does_not_know_are_left_to_torch():
    assert can_pack(fresh("gpt2"))
    assert not can_pack(fresh("gpt2", torch.float64))
    narrow = ModelSettings(shape="gpt2", n_layers=1, width=24, n_heads=1, context_length=8)
    assert not can_pack(build_model(build_config(narrow, VOCAB), 1))
    config = fresh("gpt2").config
    sums = dataclasses.replace(config, stack=dataclasses.replace(config.stack, norm_first=False))  # as the first GPT
    assert not can_pack(CausalLM(sums))


@given(st.lists(st.floats(-87, 88, width=32), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_the_exponential_is_the_exact_one_to_the_last_bit_but_one(numbers: list[float]):
    x = np.array(numbers, np.float32)
    np.testing.assert_allclose(exponentials(x), np.exp(x.astype(np.float64)), rtol=2**-23)


def test_the_exponential_of_what_is_no_number_is_none_and_of_what_is_far_out_is_held():
    found = exponentials(np.array([np.nan, -np.inf, -200, 200, np.inf], np.float32))
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], np.exp(np.array([-87.0, -87.0, 88.0, 88.0])), rtol=1e-6)


@compiled_code
def exponentials(x: Any) -> Any:
    """Of every number."""
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exponential(x[i])
    return out
