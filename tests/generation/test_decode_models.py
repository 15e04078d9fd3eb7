"""Decoding with the real families: their caches, and `transformers` beside them."""

from typing import Any

import pytest
import torch
import transformers

from tezgah.generation.decode import generate_ids
from tezgah.generation.sampling import Sampling, sample
from tezgah.models.build import build_config, build_model
from tezgah.models.checkpoint import save_model
from tezgah.models.settings import ModelSettings

GREEDY = Sampling()
WARM = Sampling(temperature=0.8, top_k=40, top_p=0.95, seed=2)
SHAPES = {
    "qwen3": ModelSettings(n_layers=2, width=48, n_heads=4, n_kv_heads=2, context_length=32),
    "gpt2": ModelSettings(shape="gpt2", n_layers=2, width=48, n_heads=4, context_length=32, dropout=0.1),
    "gpt2, untied, no bias": ModelSettings(
        shape="gpt2", n_layers=2, width=48, n_heads=4, context_length=32, tied=False, qkv_bias=False
    ),
}


@pytest.fixture(params=SHAPES)
def model(request):
    """Weights large enough that every block matters and that the next token is not always the last."""
    model = build_model(build_config(SHAPES[request.param], vocab_size=101), seed=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model


def without_cache(model, prompt, max_new_tokens, sampling, row):
    """The plain way: a whole forward pass for every token. Full context: go on with its later half."""
    model.eval()
    window, new_ids = list(prompt), []
    with torch.no_grad():
        for position in range(max_new_tokens):
            if len(window) > model.config.context_length:
                window = window[-(model.config.context_length // 2) :]
            window.append(sample(model(torch.tensor([window]))[:, -1], sampling, [row], position).item())
            new_ids.append(window[-1])
    return new_ids


@pytest.mark.parametrize("sampling", [GREEDY, WARM])
def test_cached_rows_equal_whole_forward_passes_also_past_the_context(model, sampling):
    model.double()  # so that the shapes of products cannot change a choice
    prompt = [5, 17, 3, 99, 0, 42]
    rows = generate_ids(model, prompt, 80, sampling, range(3))
    assert rows == [without_cache(model, prompt, 80, sampling, row) for row in range(3)]
    assert len(set(rows[0])) > 5


def test_rows_of_one_prefill_equal_rows_generated_alone(model):
    model.double()
    prompt = list(range(20))
    together = generate_ids(model, prompt, 40, WARM, range(6), separator_id=7)
    assert together == [generate_ids(model, prompt, 40, WARM, [row], separator_id=7)[0] for row in range(6)]
    assert len({tuple(row) for row in together}) == 6


def test_greedy_equals_transformers_on_the_saved_checkpoint(model, tmp_path):
    save_model(model, tmp_path, separator_id=0)
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = [5, 17, 3, 99, 1, 42]
    expected = theirs.generate(
        torch.tensor([prompt]), max_new_tokens=26, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    assert generate_ids(model, prompt, 26, GREEDY) == [expected[0, len(prompt) :].tolist()]


def test_a_sample_equals_a_draw_from_the_distribution_of_transformers(model, tmp_path):
    save_model(model, tmp_path, separator_id=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    (ours,) = generate_ids(model, [5, 17], 20, WARM, [9])
    with torch.no_grad():
        logits = theirs(torch.tensor([[5, 17, *ours]])).logits[0, 1:-1]
    assert [sample(row[None], WARM, [9], position).item() for position, row in enumerate(logits)] == ours
