"""A spike is what a simple reading of the rule says it is, in one session or in several, in one process or two."""

import json
import math
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training import test_loop as training
from tezgah.errors import Diverged
from tezgah.training import spikes, step
from tezgah.training.metrics import Row, read_metrics
from tezgah.training.spikes import FEWEST, WINDOW, Spikes

POSITIVE = st.floats(1e-6, 1e6)


def stands_out(value: float, before: list[float], deviations: float) -> bool:
    """The rule in numpy, of a whole history."""
    logs = np.log(before[-WINDOW:])
    if len(logs) < FEWEST:
        return False
    middle = np.median(logs)
    deviation = max(1.4826 * np.median(np.abs(logs - middle)), 0.01)
    return bool((math.log(value) - middle) / deviation > deviations)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), max_size=200), POSITIVE, POSITIVE, st.sampled_from([3.0, 6.0]))
def test_the_rule_is_the_modified_z_score_of_the_logarithm(before, loss, norm, deviations):
    seen = Spikes(deviations)
    for each in before:
        seen.add(*each)
    losses, norms = [each[0] for each in before], [each[1] for each in before]
    assert seen.has(loss, norm) is (stands_out(loss, losses, deviations) or stands_out(norm, norms, deviations))


def test_a_level_course_is_no_spike_and_a_second_spike_is_still_one():
    seen = Spikes(6.0)
    for _ in range(FEWEST):
        seen.add(2.0, 1.0)
    assert not seen.has(2.1, 1.0)
    for _ in range(20):
        assert seen.has(2.2, 1.0)
        assert seen.has(2.0, 1.1)
        seen.add(2.2, 1.1)
    assert not seen.has(0.1, 0.01)  # to fall is to learn


def test_rows_say_what_was_seen_live():
    live = Spikes(6.0)
    rows = [Row(0)]
    for number in range(1, 300):
        loss, norm = 4 + math.sin(number), 1 + 0.1 * math.cos(number)
        live.add(loss, norm)
        rows += [Row(number, loss=loss, grad_norm=norm), Row(number, skipped=True), Row(number, loss_scale=2.0)]
    again = Spikes(6.0, rows)
    assert (again.losses, again.norms) == (live.losses, live.norms)


@pytest.fixture
def _short(monkeypatch):
    """A rule that begins to judge after four steps."""
    monkeypatch.setattr(spikes, "FEWEST", 4)


@pytest.fixture
def spiky(monkeypatch):
    """Gradients of so many times their size at these steps."""

    def make(factors: dict[int, float]) -> None:
        gradients = step.Stepper._gradients

        def larger(self, number):
            loss = gradients(self, number)
            for parameter in self.model.parameters():
                parameter.grad.mul_(factors.get(number, 1.0))
            return loss

        monkeypatch.setattr(step.Stepper, "_gradients", larger)

    return make


SETTINGS = msgspec.structs.replace(
    training.SETTINGS, steps=9, schedule="constant", spike_deviations=6.0, on_divergence="skip"
)


@pytest.mark.usefixtures("_short")
def test_a_spike_is_left_out_and_a_resumed_training_leaves_out_the_same(tmp_path, spiky, capsys):
    spiky({5: 100.0, 8: 100.0})
    rows: list[dict[str, Any]] = training.train(tmp_path / "whole", SETTINGS)
    assert [row["step"] for row in rows if row.get("skipped")] == [5, 8]
    assert rows[5]["grad_norm"] > 10 * rows[4]["grad_norm"]
    assert "step 5 is left out: its loss of" in capsys.readouterr().err
    for steps in (3, 7, 9):
        parts = training.train(tmp_path / "parts", msgspec.structs.replace(SETTINGS, steps=steps))
    assert [row.get("loss") for row in parts] == [row.get("loss") for row in rows]
    assert torch.equal(training.weights(tmp_path / "parts"), training.weights(tmp_path / "whole"))


@pytest.mark.usefixtures("_short")
def test_a_spike_stops_before_it_changes_a_weight(tmp_path, spiky):
    spiky({6: 100.0})
    stopping = msgspec.structs.replace(SETTINGS, on_divergence="stop", checkpoint_steps=1)
    with pytest.raises(Diverged, match=r'step 6, a spike: training has diverged\. Go on with on_divergence = "skip"'):
        training.train(tmp_path, stopping)
    batch = json.loads((tmp_path / "diverged.json").read_text())
    assert batch["step"] == 6
    assert len(batch["ids"]) == SETTINGS.batch_size
    assert read_metrics(tmp_path)[-1].step == 5


@pytest.mark.usefixtures("_short")
def test_going_on_past_a_spike_equals_a_training_that_was_told_so_from_the_start(tmp_path, spiky):
    spiky({5: 100.0, 8: 100.0})
    training.train(tmp_path / "skipping", SETTINGS)
    stopping = msgspec.structs.replace(SETTINGS, on_divergence="stop", checkpoint_steps=1)
    with pytest.raises(Diverged):
        training.train(tmp_path / "stopped", stopping)
    training.train(tmp_path / "stopped", SETTINGS)
    assert torch.equal(training.weights(tmp_path / "stopped"), training.weights(tmp_path / "skipping"))


def test_the_first_process_decides_for_all(monkeypatch):
    class Other:
        """A second process, which knows no row of earlier sessions; the first holds that this step is a spike."""

        is_first = False

        def from_first(self, value):
            assert value == 0.0
            return 1.0

    stepper = SimpleNamespace(spikes=Spikes(6.0), world=Other())
    assert step.Stepper._is_spike(stepper, 2.0, 1.0)  # type: ignore[arg-type]


def test_ten_skipped_in_a_row_are_counted_over_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "MOST_SKIPPED", 4)
    monkeypatch.setattr(step.Stepper, "_clip", lambda self: math.nan)
    skipping = msgspec.structs.replace(SETTINGS, spike_deviations=0.0)
    training.train(tmp_path, msgspec.structs.replace(skipping, steps=3))
    with pytest.raises(Diverged, match="at step 4"):
        training.train(tmp_path, msgspec.structs.replace(skipping, steps=9))
