"""The rules by which size, batch and rates follow from a budget."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tezgah.models.build import build_config
from tezgah.models.config import ModelConfig
from tezgah.models.cost import flops_per_token, scaling_parameters
from tezgah.models.settings import ModelSettings
from tezgah.models.sizing import DEPTHS, at_depth
from tezgah.training.budget import budget_steps
from tezgah.training.scaling import batch_sequences, batch_tokens, choose, rates, weight_decay
from tezgah.training.settings import TrainSettings

FLOPS = st.floats(1e12, 1e24)
MOST = st.none() | st.floats(1e4, 1e12)


def ladder(vocab_size: int = 8_192, context_length: int = 512) -> list[ModelConfig]:
    model = ModelSettings(size="auto", context_length=context_length)
    return [build_config(at_depth(model, depth), vocab_size) for depth in DEPTHS]


RUNGS = ladder()


def chosen(flops: float, most: float | None = None) -> ModelConfig:
    return choose(RUNGS, lambda rung: flops / flops_per_token(rung), most)


@pytest.mark.parametrize(("depth", "millions"), [(8, 42), (12, 110), (20, 435)])
def test_the_ratio_of_nanochat_gives_its_own_depths(depth: int, millions: int) -> None:
    """nanochat's d8, d12 and d20 with 32,768 ids: 12 · width² · depth of matrices, and the head."""
    rungs = ladder(vocab_size=32_768)
    rung = rungs[DEPTHS.index(depth)]
    theirs = 12 * (64 * depth) ** 2 * depth + 32_768 * 64 * depth
    assert scaling_parameters(rung) == pytest.approx(theirs, rel=0.01)
    assert round(theirs / 1e6) == millions
    assert choose(rungs, lambda rung: 12 * theirs) is rung


def test_a_budget_that_doubles_in_both_buys_model_and_text_alike() -> None:
    """Four times the FLOPs of a model's ratio: about twice its parameters (Hoffmann et al. 2022)."""
    small = chosen(1e18)
    large = chosen(16e18)
    assert 2.8 < scaling_parameters(large) / scaling_parameters(small) < 5.6


@given(FLOPS, FLOPS, MOST)
def test_more_budget_never_gives_a_smaller_model(one: float, other: float, most: float | None) -> None:
    less, more = sorted((one, other))
    assert chosen(less, most).n_layers <= chosen(more, most).n_layers


@given(FLOPS)
def test_without_a_limit_tokens_are_near_twelve_a_parameter_wherever_a_model_is_at_hand(flops: float) -> None:
    rung = chosen(flops)
    ratio = flops / flops_per_token(rung) / scaling_parameters(rung)
    if rung.n_layers not in (DEPTHS[0], DEPTHS[-1]):
        assert 12 / 4 < ratio < 12 * 4


@given(FLOPS, st.floats(1e4, 1e12))
def test_little_text_makes_the_model_larger_until_it_could_not_tell(flops: float, most: float) -> None:
    free, rung = chosen(flops), chosen(flops, most)
    reads = flops / flops_per_token(rung)
    can_be_larger = rung is not RUNGS[-1] and scaling_parameters(RUNGS[rung.n_layers - 1]) <= 8 * most
    assert reads <= most or not can_be_larger
    assert scaling_parameters(rung) <= 8 * most or rung is RUNGS[0]
    assert rung.n_layers >= free.n_layers or not can_be_larger


@given(st.floats(1e3, 1e13), st.sampled_from([32, 256, 512, 1_024, 4_096]), st.integers(1, 16))
def test_a_batch_is_shared_by_the_processes(tokens: float, context_length: int, processes: int) -> None:
    sequences = batch_sequences(tokens, context_length, processes)
    assert sequences >= processes and sequences % processes == 0
    alone = batch_sequences(tokens, context_length)
    assert alone & (alone - 1) == 0
    assert alone <= sequences < alone + processes
    if alone > 1:
        assert abs(math.log2(alone * context_length / batch_tokens(tokens))) <= 0.5 + 1e-9


@given(FLOPS, st.integers(1, 8))
def test_the_steps_cost_what_the_budget_says(flops: float, processes: int) -> None:
    rung = chosen(flops)
    per_token = flops_per_token(rung)
    batch = batch_sequences(flops / per_token, rung.context_length, processes)
    steps = budget_steps(TrainSettings(flops=flops, batch_size=batch), 0, rung.context_length, per_token)
    assert steps is not None
    assert steps * batch * rung.context_length * per_token == pytest.approx(flops, rel=0.15)


def test_at_the_reference_width_the_rates_are_the_defaults() -> None:
    default = TrainSettings()
    assert rates(256) == {
        "learning_rate": default.learning_rate,
        "muon_learning_rate": default.muon_learning_rate,
    }
    assert weight_decay(1_000) == default.weight_decay
    assert rates(64) == rates(256)  # narrower ones keep it


def test_the_batch_moves_both_rates_by_its_root_and_by_two_at_most() -> None:
    assert rates(256, batch_factor=4.0) == {"learning_rate": 0.006, "muon_learning_rate": 0.04}
    assert rates(256, batch_factor=64.0) == rates(256, batch_factor=4.0)
    assert rates(256, batch_factor=1 / 2)["muon_learning_rate"] == pytest.approx(0.02 / 2**0.5, rel=1e-2)


@given(st.integers(3_500, 10**7))
def test_a_long_training_renews_its_average_as_often_as_a_short_one(steps: int) -> None:
    assert weight_decay(steps) * steps == pytest.approx(0.1 * 3_500, rel=0.01)
