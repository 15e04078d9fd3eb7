import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TopKLogitsWarper, TopPLogitsWarper

from tezgah.errors import InputError
from tezgah.generation.sampling import Sampling, keep_likely, sample, uniform


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), vocab=st.integers(2, 300), top_k=st.integers(1, 320))
def test_top_k_keeps_what_transformers_keeps(seed, vocab, top_k):
    scores = torch.randn(3, vocab, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(keep_likely(scores, top_k, 1.0), TopKLogitsWarper(top_k)(None, scores), rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), vocab=st.integers(2, 300), top_p=st.floats(0.01, 0.999), sharpness=st.floats(0.1, 9))
def test_top_p_keeps_what_transformers_keeps(seed, vocab, top_p, sharpness):
    scores = sharpness * torch.randn(3, vocab, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(keep_likely(scores, 0, top_p), TopPLogitsWarper(top_p)(None, scores), rtol=0, atol=0)


def test_top_p_acts_on_what_top_k_left_as_in_transformers():
    scores = torch.randn(64, 500, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2
    theirs = TopPLogitsWarper(0.8)(None, TopKLogitsWarper(20)(None, scores))
    torch.testing.assert_close(keep_likely(scores, 20, 0.8), theirs, rtol=0, atol=0)


def test_equals_at_the_edge_stay_together():
    scores = torch.tensor([[3.0, 1.0, 1.0, 1.0, 0.0]])
    assert keep_likely(scores, 2, 1.0).isfinite().tolist() == [[True, True, True, True, False]]
    flat = torch.zeros(1, 4)
    assert keep_likely(flat, 0, 0.5).isfinite().all()


def test_temperature_zero_is_argmax_and_the_first_of_equals():
    logits = torch.tensor([[0.0, 2.0, 2.0], [5.0, 2.0, 2.0]])
    assert sample(logits, Sampling(temperature=0.0), [0, 1], 0).tolist() == [1, 0]


def test_draws_follow_the_softmax_at_the_temperature():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    draws = 20_000
    ids = sample(logits.expand(draws, 4), Sampling(temperature=1.5), range(draws), 7)
    expected = (logits.double() / 1.5).softmax(-1)
    seen = torch.bincount(ids, minlength=4) / draws
    assert (seen - expected).abs().max() < 4 * math.sqrt(0.25 / draws)  # four standard errors


def test_draws_are_uniform_over_rows_and_over_positions():
    for values in ([uniform(1, row, 0) for row in range(10_000)], [uniform(1, 0, place) for place in range(10_000)]):
        ordered = torch.tensor(sorted(values), dtype=torch.float64)
        ideal = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
        assert (ordered - ideal).abs().max() < 1.63 / 100  # Kolmogorov–Smirnov at 1 %, n = 10,000
        assert ordered[0] >= 0 and ordered[-1] < 1


def test_a_draw_depends_on_its_own_seed_row_and_position_only():
    logits = torch.randn(8, 50, generator=torch.Generator().manual_seed(0))
    warm = Sampling(temperature=1.0, top_p=0.95, seed=5)
    together = sample(logits, warm, range(8), 3)
    alone = [sample(logits[row : row + 1], warm, [row], 3).item() for row in range(8)]
    assert together.tolist() == alone
    names = {uniform(seed, row, place) for seed in range(5) for row in range(5) for place in range(5)}
    assert len(names) == 125


def test_the_stream_never_changes():
    """From `printf '1/sampled row 0/0' | sha256sum`: 8 bytes, little-endian, the upper 52 bits."""
    assert [uniform(1, 0, 0), uniform(1, 0, 1), uniform(1, 1, 0), uniform(2, 0, 0)] == [
        0.5990746223778265,
        0.5272327812306079,
        0.669631673083495,
        0.7131876430542463,
    ]


def test_the_largest_draw_takes_the_last_kept_token(monkeypatch):
    monkeypatch.setattr("tezgah.generation.sampling.uniform", lambda seed, row, position: 1 - 2.0**-52)
    for seed in range(50):
        logits = torch.randn(1, 1000, generator=torch.Generator().manual_seed(seed))
        logits[:, 600:] = -math.inf
        assert sample(logits, Sampling(temperature=1.0), [0], 0).item() == 599


def test_a_token_without_probability_is_never_drawn(monkeypatch):
    monkeypatch.setattr("tezgah.generation.sampling.uniform", lambda seed, row, position: 0.0)
    logits = torch.tensor([[-math.inf, -math.inf, 0.0, 1.0]])
    assert sample(logits, Sampling(temperature=1.0), [0], 0).item() == 2


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(InputError, match="not numbers"):
        sample(torch.tensor([[0.0, math.nan]]), Sampling(), [0], 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
    ],
)
def test_settings_without_a_meaning_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Sampling(**{name: value})
