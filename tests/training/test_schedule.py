"""The learning rate against transformers' schedules."""

import pytest
import torch

from tezgah.training.schedule import learning_rate_factor
from tezgah.training.settings import TrainSettings


def theirs(make, **arguments):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = make(optimizer, **arguments)
    return [rate for step in range(50) for rate in [schedule.lr_lambdas[0](step)]]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_curves_to_the_end_are_transformers_after_warm_up(schedule):
    transformers = pytest.importorskip("transformers")
    settings = TrainSettings(schedule=schedule, warmup_steps=0)
    make = getattr(transformers, f"get_{schedule}_schedule_with_warmup")
    expected = theirs(make, num_warmup_steps=0, num_training_steps=50)
    ours = [learning_rate_factor(step, 50, settings) for step in range(1, 51)]
    assert ours == pytest.approx(expected)


def test_inverse_root_is_transformers():
    transformers = pytest.importorskip("transformers")
    settings = TrainSettings(schedule="inverse_sqrt", warmup_steps=8)
    expected = theirs(transformers.get_inverse_sqrt_schedule, num_warmup_steps=8)
    ours = [learning_rate_factor(step, 50, settings) for step in range(50)]  # their first step has a rate of 0
    assert ours == pytest.approx(expected)


def test_wsd_rises_stays_and_falls():
    settings = TrainSettings(warmup_steps=10, decay_ratio=0.4, final_ratio=0.1)
    factors = [learning_rate_factor(step, 100, settings) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert factors[10:60] == [1.0] * 50
    assert factors[60:] == pytest.approx([0.1 + 0.9 * (40 - n) / 40 for n in range(40)])


def test_a_run_shorter_than_its_warm_up_still_reaches_the_peak():
    assert learning_rate_factor(3, 3, TrainSettings(warmup_steps=20)) == 1.0


@pytest.mark.parametrize("schedule", ["wsd", "cosine", "linear"])
def test_a_decay_reaches_its_end_one_step_after_the_last(schedule):
    settings = TrainSettings(schedule=schedule, warmup_steps=10, final_ratio=0.1)
    assert learning_rate_factor(100, 100, settings) > 0.1
    assert learning_rate_factor(101, 100, settings) == pytest.approx(0.1)
