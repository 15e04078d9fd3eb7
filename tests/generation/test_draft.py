"""Guesses of a draft model: the greedy text is the one without, a sampled one is distributed as without."""

import copy
import math
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from tests.generation.test_batches import ENDS, SHAPES, VOCAB, WANTED, WAYS, model, without_cache
from tezgah.errors import InputError
from tezgah.generation import sampling as sampling_module
from tezgah.generation.decode import decode
from tezgah.generation.draft import AHEAD
from tezgah.generation.guesses import Guess, judged
from tezgah.generation.rows import Decoding, Row, Wanted
from tezgah.generation.sampling import Sampling, filtered
from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.nn.modes import evaluating

__all__ = ["model"]  # the fixture
SMALL = ModelSettings(n_layers=1, width=32, n_heads=2, n_kv_heads=1, context_length=13)


def made(settings: ModelSettings, vocab_size: int, seed: int, spread: float = 0.2) -> Any:
    """A model in float64 whose scores lie apart."""
    new: Any = build_model(build_config(settings, vocab_size), seed=seed).double().eval()
    return shaken(new, spread)


def shaken(model: Any, spread: float) -> Any:
    """The same model with other weights near its own."""
    generator = torch.Generator().manual_seed(9)
    near = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in near.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=spread)
    return near


def rows_of(model: Any, draft: Any, wanted: list[Wanted], sampling: Sampling, most_rows: int) -> list[Row]:
    with evaluating(model):
        decoding = Decoding(sampling, ENDS, most_rows=most_rows)
        rows = [row for row in decode(model, wanted, decoding, draft=draft) if row.reason]
    return sorted(rows, key=lambda row: row.place)


def ids_of(rows: list[Row]) -> list[list[int]]:
    return [row.new_ids for row in rows]


def test_greedy_rows_are_those_without_a_draft(model):
    """Also past the context of either, refilled, and beside rows of any length."""
    expected = [without_cache(model, each, Sampling()) for each in WANTED]
    for draft, most_rows in ((shaken(model, 0.03), 5), (made(SMALL, VOCAB, 2), 12)):
        rows = rows_of(model, draft, WANTED, Sampling(), most_rows)
        assert ids_of(rows) == expected
        assert 0 < sum(row.accepted for row in rows) < sum(row.guessed for row in rows)


def test_penalties_act_on_the_guesses_too():
    model, sampling = made(SHAPES["qwen3"], VOCAB, 4), Sampling(repetition_penalty=1.3, no_repeat_ngram=3)
    wanted = [Wanted((8, 9, 10, 11), 15, row) for row in range(2)]  # within what both see
    rows = rows_of(model, copy.deepcopy(model), wanted, sampling, 2)
    assert ids_of(rows) == [without_cache(model, each, sampling) for each in wanted]
    assert 0 < sum(row.guessed for row in rows) == sum(row.accepted for row in rows)


@pytest.mark.parametrize(("way", "draft"), [("warm", "near"), ("penalized", "other")])
def test_a_sampled_row_is_the_same_whatever_is_beside_it(way, draft):
    model = made(SHAPES["qwen3"], VOCAB, 4)
    drafting = {"near": shaken(model, 0.05), "other": made(SMALL, VOCAB, 2)}[draft]
    alone = rows_of(model, drafting, WANTED, WAYS[way], 1)
    assert 0 < sum(row.accepted for row in alone) < sum(row.guessed for row in alone)
    beside = rows_of(model, drafting, WANTED[::-1], WAYS[way], 5)[::-1]
    told = [[(row.new_ids, row.guessed, row.accepted) for row in rows] for rows in (alone, beside)]
    assert told[0] == told[1]
    shorter = [each._replace(max_new_tokens=(each.max_new_tokens + 1) // 2) for each in WANTED]
    for row, begun in zip(alone, rows_of(model, drafting, shorter, WAYS[way], 12), strict=True):
        assert begun.new_ids == row.new_ids[: len(begun.new_ids)]


def test_a_model_is_a_draft_of_its_own_that_is_always_right():
    model = made(SHAPES["qwen3"], VOCAB, 4)
    passes: list[int] = []
    model.register_forward_hook(lambda module, given, found: passes.append(found.shape[1]))
    with evaluating(model):
        *_, row = decode(model, [Wanted((8, 9), 16)], Decoding(WAYS["warm"]), draft=copy.deepcopy(model))
    assert row.accepted == row.guessed == 12 and len(row.new_ids) == 16  # of 15 after the first, each fifth is not
    assert passes == [1 + AHEAD] * 3


TINY = ModelSettings(n_layers=1, width=16, n_heads=2, n_kv_heads=1, context_length=16)
LENGTH, IDS = 6, 5
PROMPT = (1, 2)
FILTERS = {
    "plain": Sampling(temperature=1.0, seed=5),
    "filtered": Sampling(temperature=0.8, top_k=4, top_p=0.97, min_p=0.02, seed=6),
}


def chances_at_the_end(model: Any, sampling: Sampling) -> torch.Tensor:
    """The chance of every pair of ids at the last two of LENGTH places, (IDS, IDS), over all ways to come there."""
    texts, chances = torch.tensor([PROMPT]), torch.ones(1, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(LENGTH):
            scores = model(texts)[:, -1] / sampling.temperature  # (texts, IDS)
            chances = (chances[:, None] * filtered(scores, sampling).softmax(-1)).flatten()
            following = torch.arange(IDS).repeat(len(texts))[:, None]
            texts = torch.cat((texts.repeat_interleave(IDS, 0), following), 1)
    return chances.reshape(-1, IDS, IDS).sum(0)


def drawn_with_draft(sampling: Sampling, draws: int) -> tuple[Any, torch.Tensor, list[Row]]:
    """A model, how often its rows with a draft end in every pair of ids, and the rows."""
    model, draft = made(TINY, IDS, 1, 0.4), made(TINY, IDS, 2, 0.4)
    wanted = [Wanted(PROMPT, LENGTH, row) for row in range(draws)]
    with evaluating(model):
        decoding = Decoding(sampling, most_rows=draws)
        rows = [row for row in decode(model, wanted, decoding, draft=draft) if row.reason]
    seen = torch.zeros(IDS, IDS, dtype=torch.float64)
    for row in rows:
        seen[row.new_ids[-2], row.new_ids[-1]] += 1
    return model, seen, rows


def p_value(seen: torch.Tensor, chances: torch.Tensor) -> float:
    """Of a chi-square test; nothing may be seen that has no chance, and what is rare, less than 5 times, is one."""
    assert seen[chances == 0].sum() == 0
    expected, order = (chances * seen.sum()).flatten().sort()
    rare = int((expected.cumsum(0) < 5).sum()) + 1
    pairs = [torch.cat((each[:rare].sum()[None], each[rare:])) for each in (seen.flatten()[order], expected)]
    return float(chisquare(*(each.numpy() for each in pairs)).pvalue)


@pytest.mark.parametrize("way", FILTERS)
def test_sampling_with_a_draft_keeps_the_distribution(way):
    """At places 5 and 6, after two rounds in most rows, against the exact chances."""
    model, seen, rows = drawn_with_draft(FILTERS[way], 3_000)
    chances = chances_at_the_end(model, FILTERS[way])
    assert 0.3 < sum(row.accepted for row in rows) / sum(row.guessed for row in rows) < 0.9
    assert p_value(seen, chances) > 0.01


def test_the_test_of_the_distribution_sees_a_rule_that_is_broken(monkeypatch):
    """One that draws anew from all the model's chances after a refusal, not from what the draft left."""

    def broken(chances: torch.Tensor, guesses: Any, draws: Any) -> torch.Tensor:
        settled = judged(chances, guesses, draws)
        is_taken = [guess is not None and settled[row, guess.id] == 1 for row, guess in enumerate(guesses)]
        return torch.where(torch.tensor(is_taken)[:, None], settled, chances)

    monkeypatch.setattr(sampling_module, "judged", broken)
    model, seen, _ = drawn_with_draft(FILTERS["plain"], 2_000)
    assert p_value(seen, chances_at_the_end(model, FILTERS["plain"])) < 1e-6


def test_a_guess_and_a_refusal_together_have_the_chances_of_the_model():
    """min(q, p) + (1 − Σ min(q, p)) · norm(max(p − q, 0)) = p, appendix A.1 of the paper, over a grid of draws."""
    p, q = (torch.tensor(each, dtype=torch.float64) for each in ([0.5, 0.3, 0.2, 0.0], [0.1, 0.4, 0.2, 0.3]))
    steps = [(place + 0.5) / 1_000 for place in range(1_000)]
    found = torch.zeros(4, dtype=torch.float64)
    for each in range(4):
        settled = judged(p.expand(1_000, 4), [Guess(each, q)] * 1_000, steps)  # (1000, 4)
        found += q[each] * settled.mean(0)
    torch.testing.assert_close(found, p, rtol=0, atol=1e-3)


def test_chances_that_differ_by_rounding_alone_leave_something_to_draw():
    p = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    q = torch.tensor([0.5 * (1 + 2**-52), 0.5], dtype=torch.float64)
    assert judged(p, [Guess(0, q)], [math.nextafter(1, 0)]).sum() == 1


@pytest.mark.parametrize(
    ("settings", "vocab_size", "said"),
    [
        (SMALL, VOCAB - 1, "the draft has 100 ids, the model 101"),
        (ModelSettings(n_layers=1, width=16, n_heads=2, context_length=2), VOCAB, "the draft sees 2 tokens at once"),
    ],
)
def test_drafts_that_cannot_guess_are_refused(settings, vocab_size, said):
    model = made(SHAPES["qwen3"], VOCAB, 4)
    with pytest.raises(InputError, match=said):
        rows_of(model, made(settings, vocab_size, 1), WANTED, Sampling(), 2)
