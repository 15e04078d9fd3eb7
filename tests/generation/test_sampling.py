import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    GenerationConfig,
    GenerationMixin,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from tezgah.errors import InputError
from tezgah.generation.filters import keep_likely, keep_min_p, keep_typical
from tezgah.generation.penalties import penalized
from tezgah.generation.sampling import Said, Sampling, filtered, penalize, sample, uniform


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
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("typical_p", 0.0),
        ("typical_p", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.inf),
        ("presence_penalty", math.nan),
        ("no_repeat_ngram", -1),
    ],
)
def test_settings_without_a_meaning_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Sampling(**{name: value})


NO_IDS: Any = None  # which filters do not look at


def random_scores(seed, vocab, rows=3):
    return 3 * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), vocab=st.integers(2, 300), min_p=st.floats(0.001, 1.0))
def test_min_p_keeps_what_transformers_keeps(seed, vocab, min_p):
    scores = random_scores(seed, vocab)
    torch.testing.assert_close(keep_min_p(scores, min_p), MinPLogitsWarper(min_p)(NO_IDS, scores), rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), vocab=st.integers(2, 300), mass=st.floats(0.01, 0.99))
def test_typical_keeps_what_transformers_keeps(seed, vocab, mass):
    scores = random_scores(seed, vocab)
    torch.testing.assert_close(keep_typical(scores, mass), TypicalLogitsWarper(mass)(NO_IDS, scores), rtol=0, atol=0)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    vocab=st.integers(2, 40),
    prompt=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    new=st.lists(st.integers(0, 5), max_size=12),
    penalty=st.floats(0.2, 3.0),
    ngram=st.integers(0, 4),
)
def test_penalties_are_those_of_transformers(seed, vocab, prompt, new, penalty, ngram):
    prompt, new = [each % vocab for each in prompt], [each % vocab for each in new]
    (scores,) = random_scores(seed, vocab, rows=1)
    ids = torch.tensor([[*prompt, *new]])
    expected = RepetitionPenaltyLogitsProcessor(penalty)(ids, scores[None])
    expected = NoRepeatNGramLogitsProcessor(ngram)(ids, expected) if ngram else expected
    torch.testing.assert_close(penalized(scores, prompt, new, penalty, 0.0, ngram), expected[0], rtol=0, atol=1e-12)


def test_the_presence_penalty_is_taken_once_from_what_the_completion_has():
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert penalized(scores, [0, 0], [2, 2, 3], 1.0, 0.5, 0).tolist() == [1.0, 2.0, 2.5, 3.5]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.floats(0.1, 3.0),
    top_k=st.integers(1, 120),
    top_p=st.floats(0.05, 0.99),
    min_p=st.floats(0.001, 0.5),
    typical=st.floats(0.05, 0.99),
    penalty=st.floats(0.3, 3.0),
    ngram=st.integers(1, 3),
)
def test_all_together_give_the_distribution_of_transformers(
    seed, temperature, top_k, top_p, min_p, typical, penalty, ngram
):
    """In their order, which `generate` chooses; probabilities within 1e-6."""
    logits = random_scores(seed, 100)
    ids: Any = torch.randint(0, 100, (3, 30), generator=torch.Generator().manual_seed(seed))
    config = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical,
        repetition_penalty=penalty,
        no_repeat_ngram_size=ngram,
    )
    theirs: Any = SimpleNamespace(
        config=SimpleNamespace(is_encoder_decoder=False), _merge_criteria_processor_list=lambda default, given: default
    )
    processors = GenerationMixin._get_logits_processor(theirs, config, 30, ids, model_kwargs={})
    expected = processors(ids, logits.clone()).softmax(-1)
    ours = Sampling(temperature, top_k, top_p, 1, min_p, typical, penalty, 0.0, ngram)
    scores = penalize(logits, ours, [Said(row[:20], row[20:]) for row in ids.tolist()])
    found = filtered(scores / temperature, ours).softmax(-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_positions_may_differ_from_row_to_row():
    logits = random_scores(0, 50)
    warm = Sampling(temperature=1.0, seed=5)
    alone = [sample(logits[row : row + 1], warm, [row], place).item() for row, place in enumerate((4, 0, 9))]
    assert sample(logits, warm, range(3), [4, 0, 9]).tolist() == alone
