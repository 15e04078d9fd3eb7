"""The start from counts, against what counts alone can tell."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.training.test_loop import SETTINGS, losses, train, weights
from tezgah.models.build import build_config, build_model
from tezgah.models.causal import CausalLM
from tezgah.models.settings import ModelSettings
from tezgah.tokens.pairs import Pairs
from tezgah.training.pairs import start_from_pairs
from tezgah.training.place import Place

PLACE = Place(torch.device("cpu"), None, 1, compiled=False)
PAIRS = msgspec.structs.replace(SETTINGS, start="pairs")
VOCAB = 40


def text_of_pairs() -> torch.Tensor:
    """A text whose every token depends on the one before it, strongly, and on none before that."""
    chance = np.random.default_rng(3)
    successors = chance.dirichlet(np.full(VOCAB, 0.1), VOCAB)  # (vocab, vocab)
    ids = [0]
    for _ in range(20_000):
        ids.append(int(chance.choice(VOCAB, p=successors[ids[-1]])))
    return torch.tensor(ids)


def pairs_of(ids: torch.Tensor) -> Pairs:
    keys, counts = (ids[:-1] * VOCAB + ids[1:]).unique(return_counts=True)
    return Pairs(VOCAB, (keys // VOCAB).numpy(), (keys % VOCAB).numpy(), counts.numpy())


def started(pairs: Pairs, width: int) -> CausalLM:
    model: CausalLM = build_model(
        build_config(ModelSettings(n_layers=2, width=width, n_heads=2, context_length=16), VOCAB), seed=1
    )
    start_from_pairs(model, pairs, PLACE, seed=1)
    return model


@torch.no_grad()
def loss(model: CausalLM, ids: torch.Tensor) -> float:
    rows = ids[:-1].reshape(-1, 16), ids[1:].reshape(-1, 16)
    return float(model.loss(*rows)) / (len(ids) - 1)


def test_a_wide_model_starts_with_all_that_pairs_tell() -> None:
    ids = text_of_pairs()
    pairs = pairs_of(ids)
    conditional = float((pairs.counts * -np.log(pairs.counts / pairs.totals[pairs.first])).sum() / pairs.counts.sum())
    by_itself = float(-(pairs.totals / 20_000 * np.log(np.maximum(pairs.totals, 1) / 20_000)).sum())
    assert conditional < 0.6 * by_itself  # there is something to be learned
    assert loss(started(pairs, 48), ids) == pytest.approx(conditional, rel=0.05)


def test_a_narrow_model_starts_with_the_best_part_of_it() -> None:
    ids = text_of_pairs()
    losses = [loss(started(pairs_of(ids), width), ids) for width in (8, 16, 48)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < 0.85 * np.log(VOCAB)


def test_training_begins_there_and_is_the_same_every_time(tmp_path: Path) -> None:
    first, again = train(tmp_path / "first", PAIRS), train(tmp_path / "again", PAIRS)
    assert losses(first) == losses(again)
    assert torch.equal(weights(tmp_path / "first"), weights(tmp_path / "again"))
    at_first = first[0]["train_eval_loss"]
    assert isinstance(at_first, float) and at_first < 3.5 < np.log(64)  # its ids are random: what is learned is learned


def test_a_resumed_training_does_not_begin_again(tmp_path: Path) -> None:
    train(tmp_path / "parts", msgspec.structs.replace(PAIRS, schedule="constant", steps=2))
    train(tmp_path / "one", msgspec.structs.replace(PAIRS, schedule="constant"))
    train(tmp_path / "parts", msgspec.structs.replace(PAIRS, schedule="constant"))
    assert torch.equal(weights(tmp_path / "parts"), weights(tmp_path / "one"))


def test_a_model_without_a_head_of_its_own_is_refused() -> None:
    for settings in ({"shape": "gpt2"}, {"tied": True}):
        shape = ModelSettings(n_layers=1, width=32, context_length=16, **settings)
        with pytest.raises(ValueError, match="head of its own"):
            start_from_pairs(build_model(build_config(shape, VOCAB), seed=1), pairs_of(text_of_pairs()), PLACE, seed=1)
