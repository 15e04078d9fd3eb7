"""The start from neighbours: what a masked token is guessed from before the first step."""

import numpy as np
import pytest
import torch

from tests.training.test_pairs import VOCAB, pairs_of, text_of_pairs
from tezgah.models.build import build_config, build_model
from tezgah.models.encoder import Encoder
from tezgah.models.settings import ModelSettings
from tezgah.training.masked_pairs import start_from_neighbours

MASK = VOCAB - 1  # never in the text


def text() -> torch.Tensor:
    return text_of_pairs()[:4_001].clamp_max(VOCAB - 2)


def built(**settings: object) -> Encoder:
    numbers = {"n_layers": 2, "width": 96, "n_heads": 2, "context_length": 20} | settings
    return build_model(build_config(ModelSettings(objective="mlm", **numbers), VOCAB), seed=1)  # type: ignore[arg-type, no-any-return]


@torch.no_grad()
def accuracy(model: Encoder, ids: torch.Tensor) -> float:
    """Of masks at every tenth place of windows of 20, each between two tokens that are seen."""
    rows = ids[:4_000].reshape(-1, 20).clone()
    targets = torch.full_like(rows, -100)
    targets[:, 5::10] = rows[:, 5::10]
    rows[:, 5::10] = MASK
    return float(model.eval().scored(rows, targets).hits) / int((targets >= 0).sum())


def best_accuracy(ids: torch.Tensor) -> float:
    """Of the likeliest id between two neighbours, p(x | left) · p(right | x) by the counts themselves."""
    counts = np.zeros((VOCAB, VOCAB))
    np.add.at(counts, (ids[:-1].numpy(), ids[1:].numpy()), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = ids[:4_000].reshape(-1, 20).numpy()
    left, own, right = (rows[:, place::10].reshape(-1) for place in (4, 5, 6))
    return float(((shares[left] * shares[:, right].T).argmax(1) == own).mean())


@pytest.mark.parametrize("tied", [True, False])
def test_masks_are_guessed_from_both_neighbours(tied: bool) -> None:
    ids, model = text(), built(tied=tied)
    best = best_accuracy(ids)
    before = accuracy(model, ids)
    start_from_neighbours(model, pairs_of(ids), MASK, seed=1)
    assert best > 0.4 and before < 0.15
    assert accuracy(model, ids) > 0.8 * best


def test_a_single_head_guesses_from_the_left() -> None:
    ids, model = text(), built(n_heads=1)
    before = accuracy(model, ids)
    start_from_neighbours(model, pairs_of(ids), MASK, seed=1)
    assert accuracy(model, ids) > before + 0.15


@torch.no_grad()
def test_the_first_blocks_heads_look_one_place_to_each_side() -> None:
    from tezgah.nn.trace import Trace

    model = built(n_heads=3)  # the third is left as it was
    start_from_neighbours(model, pairs_of(text()), MASK, seed=1)
    trace = Trace()
    model.eval()(text()[:20][None], trace=trace)
    weights = trace.attentions[0][0]  # (heads, time, keys)
    places = torch.arange(1, 19)
    assert weights[0, places, places - 1].min() > 0.9
    assert weights[1, places, places + 1].min() > 0.9
    assert weights[2, places, places - 1].max() < 0.5


def test_it_is_a_function_of_the_counts_and_the_seed() -> None:
    one, same, other = built(), built(), built()
    for model, seed in ((one, 1), (same, 1), (other, 2)):
        start_from_neighbours(model, pairs_of(text()), MASK, seed=seed)
    assert torch.equal(one.embedding.weight, same.embedding.weight)
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_every_parameter_of_the_first_block_learns() -> None:
    """What is 0 on both sides of a product would never change."""
    ids, model = text(), built(n_heads=3)
    start_from_neighbours(model, pairs_of(ids), MASK, seed=1)
    rows = ids[:400].reshape(-1, 20).clone()
    targets = rows.clone()
    rows[:, 5::10] = MASK
    model.train().loss(rows, targets).backward()
    carried = model.get_parameter("stack.blocks.0.attention.output.weight").grad
    assert carried is not None and (carried.abs().sum(0) > 0).all()


def test_a_bert_is_refused() -> None:
    model = built(shape="bert")
    with pytest.raises(ValueError, match="rotary positions"):
        start_from_neighbours(model, pairs_of(text()), MASK, seed=1)
