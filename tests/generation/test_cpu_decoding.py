"""Decoding through the compiled step, against whole forward passes, and what happens when a thread of it fails."""

from typing import Any

import pytest
import torch

from tests.generation.test_batches import ENDS, VOCAB, WAYS, without_cache
from tezgah.errors import InputError
from tezgah.generation.beams import Beams, search
from tezgah.generation.cached_rows import CachedRows
from tezgah.generation.cpu import step as step_module
from tezgah.generation.cpu import tokens
from tezgah.generation.cpu.packing import can_pack
from tezgah.generation.decode import decode
from tezgah.generation.rows import Decoding, Wanted
from tezgah.generation.sampling import Sampling
from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.nn.modes import evaluating

SHAPES = {
    "qwen3": ModelSettings(n_layers=2, width=64, n_heads=4, n_kv_heads=2, context_length=24),
    "gpt2": ModelSettings(shape="gpt2", n_layers=2, width=64, n_heads=4, context_length=24),
}
PROMPTS = [(1, 2, 3), (4,), (5, 6, 8, 9, 10, 11, 12, 13, 14), (1, 2, 3), (20, 21), (1, 2)]
WANTED = [Wanted(prompt, 6 + 9 * (row % 4), row) for row, prompt in enumerate(PROMPTS)]  # some beyond the context


def fresh(name: str) -> Any:
    made: Any = build_model(build_config(SHAPES[name], VOCAB), seed=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
        made.head_weight()[ENDS] *= 1.2
    assert can_pack(made)
    return made.eval()


def decoded(model: Any, sampling: Sampling, most_rows: int, **told: Any) -> list[list[int]]:
    with evaluating(model):
        rows = [
            row for row in decode(model, WANTED, Decoding(sampling, ENDS, most_rows=most_rows, **told)) if row.reason
        ]
    return [row.new_ids for row in sorted(rows, key=lambda row: row.place)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHAPES)
def test_rows_equal_whole_forward_passes_past_the_context_and_refilled(name: str, way: str):
    """In float32, of models whose scores lie apart."""
    model = fresh(name)
    expected = [without_cache(model, wanted, WAYS[way]) for wanted in WANTED]
    for most_rows in (1, 4, 6):
        assert decoded(model, WAYS[way], most_rows) == expected


@pytest.mark.parametrize("name", SHAPES)
def test_rows_of_rounded_weights_do_not_hang_on_how_many_are_decoded_at_once(name: str):
    model = fresh(name)
    alone = decoded(model, WAYS["warm"], 1, int8=True)
    assert decoded(model, WAYS["warm"], 4, int8=True) == decoded(model, WAYS["warm"], 6, int8=True) == alone
    assert alone != decoded(model, WAYS["warm"], 1)


def test_beams_through_the_compiled_step_are_those_of_double_precision():
    model = fresh("qwen3")
    found = search(model, (1, 2, 3), 12, Beams(4, 3), Sampling(), ENDS, VOCAB)
    exact = search(model.double(), (1, 2, 3), 12, Beams(4, 3), Sampling(), ENDS, VOCAB)
    assert [each.ids for each in found] == [each.ids for each in exact]


def test_guesses_and_rounded_weights_do_not_go_together():
    with pytest.raises(InputError, match="lookup reads guesses in full precision"):
        Decoding(lookup=2, int8=True)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_thread_that_fails_leaves_nobody_waiting(failing: int, monkeypatch: pytest.MonkeyPatch):
    """Without release the others would wait for ever, and so would this test."""
    model, threads = fresh("gpt2"), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with evaluating(model):
            rows = CachedRows(model, 2, 20)
            rows.fill([(1, 2), (3,)])
            rows.step([4, 5])
            real = step_module.token_step

            def step(kind: Any, thread: int, *others: Any) -> None:
                if thread == failing:
                    raise KeyboardInterrupt
                real(kind, thread, *others)

            monkeypatch.setattr(tokens, "token_step", step)
            with pytest.raises(KeyboardInterrupt):
                rows.step([6, 7])
    finally:
        torch.set_num_threads(threads)


def test_models_of_mixed_precision_and_caches_of_half_precision_are_left_to_torch():
    model = fresh("qwen3")
    model.stack.bfloat16()
    assert not can_pack(model)
    model = fresh("qwen3")
    with torch.autocast("cpu", torch.float16):
        rows = CachedRows(model, 1, 8)
        with pytest.raises(InputError, match="int8"):
            CachedRows(model, 1, 8, int8=True)
    assert rows.cache.keys.dtype == torch.float16
