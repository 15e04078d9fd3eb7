"""Batches of different prompts: cached = uncached = alone = batched = refilled, in float64 without exception."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.generation import cached_rows
from tezgah.generation.cached_rows import CachedRows
from tezgah.generation.decode import decode
from tezgah.generation.rows import Decoding, Wanted
from tezgah.generation.sampling import Said, Sampling, sample
from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.nn.modes import evaluating

VOCAB = 101
SHAPES = {
    "qwen3": ModelSettings(n_layers=2, width=48, n_heads=4, n_kv_heads=2, context_length=24),
    "gpt2": ModelSettings(shape="gpt2", n_layers=2, width=48, n_heads=4, context_length=24),
    "llama": ModelSettings(shape="llama", n_layers=2, width=48, n_heads=4, n_kv_heads=1, context_length=24),
    "openai-gpt": ModelSettings(shape="openai-gpt", n_layers=2, width=48, n_heads=4, context_length=24),
}
WAYS = {
    "greedy": Sampling(),
    "warm": Sampling(temperature=0.9, top_k=40, top_p=0.95, seed=3),
    "penalized": Sampling(temperature=1.2, min_p=0.02, typical_p=0.9, repetition_penalty=1.3, no_repeat_ngram=3),
}
ENDS = 7  # a separator that most rows meet


@pytest.fixture(scope="module", params=SHAPES)
def model(request) -> Any:
    made: Any = build_model(build_config(SHAPES[request.param], VOCAB), seed=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
        made.head_weight()[ENDS] *= 1.2
    return made.double().eval()


def without_cache(model: Any, wanted: Wanted, sampling: Sampling) -> list[int]:
    """The plain way: a whole forward pass for every token. Full context: go on with its later half."""
    context = model.config.context_length
    window, new_ids = list(wanted.prompt), list[int]()
    with torch.no_grad():
        for position in range(wanted.max_new_tokens):
            window = window if len(window) <= context else window[-(context // 2) :]
            logits = model(torch.tensor([window]))[:, -1]
            new_id = int(sample(logits, sampling, [wanted.row], position, [Said(wanted.prompt, new_ids)]).item())
            if new_id == ENDS:
                break
            window.append(new_id)
            new_ids.append(new_id)
    return new_ids


def decoded(model: Any, wanted: list[Wanted], sampling: Sampling, most_rows: int, lookup: int = 0) -> list[list[int]]:
    decoding = Decoding(sampling, ENDS, most_rows=most_rows, lookup=lookup)
    with evaluating(model):
        rows = [row for row in decode(model, wanted, decoding) if row.reason]
    return [row.new_ids for row in sorted(rows, key=lambda row: row.place)]


def mixed(count: int, seed: int = 1) -> list[Wanted]:
    """Prompts of any length up to the context, some the same, some beginning as others do."""
    generator = torch.Generator().manual_seed(seed)
    prompts: list[tuple[int, ...]] = []
    for _ in range(count):
        size, kind = (int(torch.randint(1, most, (1,), generator=generator).item()) for most in (25, 4))
        fresh = tuple(torch.randint(8, VOCAB, (size,), generator=generator).tolist())
        known = prompts[-1] if prompts else fresh
        prompts.append({1: fresh, 2: known, 3: (known[: size // 2] + fresh)[:24]}[kind])
    return [Wanted(prompt, 1 + (place * 7) % 40, place % 3) for place, prompt in enumerate(prompts)]


WANTED = [*mixed(9), *(Wanted((8, 9, 10, 11) * (1 + place), 28, place) for place in range(3))]


@cache
def expected(model: Any, way: str) -> list[list[int]]:
    """What the plain way makes of every one of WANTED."""
    return [without_cache(model, each, WAYS[way]) for each in WANTED]


@pytest.mark.parametrize("way", WAYS)
def test_rows_equal_whole_forward_passes_whatever_is_beside_them(model, way):
    assert len({len(each) for each in expected(model, way)}) > 3
    for most_rows in (1, 3, 12):
        assert decoded(model, WANTED, WAYS[way], most_rows) == expected(model, way)
    assert decoded(model, WANTED[::-1], WAYS[way], 4) == expected(model, way)[::-1]


@pytest.mark.parametrize("way", WAYS)
def test_guesses_from_the_text_change_nothing(model, way):
    for most_rows, lookup in ((1, 4), (5, 1), (12, 9)):
        assert decoded(model, WANTED, WAYS[way], most_rows, lookup) == expected(model, way)


def test_a_text_that_repeats_takes_fewer_passes_with_guesses(model, monkeypatch):
    """Of a model that, whatever it reads, goes round in a circle of ids."""
    passes = []

    def going_round(self, ids, **given):
        passes.append(ids.shape[1])
        given["cache"].advance(ids.shape[1])
        return torch.nn.functional.one_hot(8 + (ids - 7) % 6, VOCAB).double()

    monkeypatch.setattr(type(model), "forward", going_round)
    monkeypatch.setattr(
        type(model), "next_logits", lambda self, ids, cache, counts=None: going_round(self, ids, cache=cache)[:, -1]
    )
    (found,) = decoded(model, [Wanted((8, 9, 10), 20)], WAYS["greedy"], 1, lookup=5)
    assert found == [8 + place % 6 for place in range(3, 23)]
    assert len(passes) <= 1 + 6 + 3 and max(passes) == 6


def test_prompts_read_in_several_passes_equal_those_read_in_one(model, monkeypatch):
    monkeypatch.setattr(cached_rows, "READ_TOKENS", 20)
    assert decoded(model, WANTED, WAYS["warm"], 12) == expected(model, "warm")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_way_to_the_same_text_gives_the_same_logits(data):
    """Filled, stepped, replaced, kept, moved and slid in any order, each row's logits are those of its text alone."""
    settings = ModelSettings(n_layers=1, width=16, n_heads=2, n_kv_heads=1, context_length=6)
    model: Any = build_model(build_config(settings, 20), seed=1).double().eval()
    prompt = st.lists(st.integers(0, 19), min_size=1, max_size=6)
    with evaluating(model):
        rows = CachedRows(model, 4, 6)
        texts = data.draw(st.lists(prompt, min_size=1, max_size=4))
        logits = rows.fill(texts)
        for _ in range(data.draw(st.integers(0, 8))):
            if data.draw(st.booleans()):
                row = data.draw(st.integers(0, len(texts) - 1))
                texts[row] = data.draw(prompt)[:5]
                rows.replace(row, texts[row])
            if data.draw(st.booleans()):
                order = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=4))
                rows.keep(order)
                texts = [list(texts[row]) for row in order]
            new_ids = data.draw(st.lists(st.integers(0, 19), min_size=len(texts), max_size=len(texts)))
            logits = rows.step(new_ids)
            texts = [[*text, new] for text, new in zip(texts, new_ids, strict=True)]
            texts = [text if len(text) <= 6 else text[-3:] for text in texts]
        for row, text in enumerate(texts):
            torch.testing.assert_close(logits[row], model(torch.tensor([text]))[0, -1], rtol=0, atol=1e-12)


def test_a_prompt_is_read_once_for_all_rows_also_for_those_that_wait(history):
    model = history(30, 64)
    wanted = [Wanted(tuple(range(20)), 3, row) for row in range(9)]
    with evaluating(model):
        list(decode(model, wanted, Decoding(most_rows=4)))
    assert model.tokens == 20 + 9 * 2 + 5  # the prompt, two tokens a row, and the last of the prompt for rows 5 to 9


def test_rows_that_end_give_their_place_to_those_that_wait(history):
    model = history(30, 64)
    wanted = [Wanted((1, 2), 1 + 5 * (place % 2), place) for place in range(10)]
    with evaluating(model):
        rows = [row.place for row in decode(model, wanted, Decoding(most_rows=2)) if row.reason]
    assert sorted(rows) == list(range(10))
    assert model.most_rows == 2
    assert model.tokens <= 2 + 10 * 6 + 10


def test_a_time_limit_ends_a_row_after_a_token_at_least(history, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    for room in ("decode", "choice"):
        monkeypatch.setattr(f"tezgah.generation.{room}.monotonic", lambda: next(clock))
    model = history(30, 64)
    with evaluating(model):
        (row,) = [row for row in decode(model, [Wanted((1,), 50)], Decoding(max_seconds=25)) if row.reason]
    assert (row.reason, len(row.new_ids)) == ("time", 3)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("max_seconds", 0.0, "max_seconds is 0.0"), ("most_rows", 0, "rows is 0"), ("top_logprobs", -1, "logprobs is -1")],
)
def test_settings_without_a_meaning_are_refused(field, value, said):
    with pytest.raises(InputError, match=said):
        Decoding(**{field: value})


def test_nothing_wanted_is_nothing_done(history):
    assert list(decode(history(30, 8), [], Decoding())) == []
