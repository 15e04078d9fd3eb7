"""fp16: small gradients are scaled into its range, and a resumed training scales as an uninterrupted one."""

import json
import math

import msgspec
import pytest
import torch

from tests.training import test_loop as training
from tezgah.errors import Diverged
from tezgah.training import loss_scale, step
from tezgah.training.loss_scale import LossScale

SETTINGS = msgspec.structs.replace(training.SETTINGS, precision="fp16", schedule="constant", steps=8)


def scales(folder):
    """What the loss of the next step is scaled by, by checkpoint."""
    states = sorted(folder.glob("checkpoints/step-*/training_state/state.json"))
    return [json.loads(path.read_text())["loss_scale"] for path in states]


def test_its_course_is_that_of_torch():
    ours, theirs = LossScale(), torch.amp.GradScaler("cpu")
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], 0.0)
    for number in range(9_000):
        gradient = math.inf if number in (0, 1, 2_500, 2_501, 8_999) else 1.0
        theirs.scale(parameter.sum())  # begins it
        parameter.grad = torch.tensor([gradient])
        theirs.step(optimizer)
        theirs.update()
        ours = ours.after(gradient)
        assert (ours.factor, ours.good_steps) == (theirs.get_scale(), theirs._get_growth_tracker())


def test_fp16_learns_what_fp32_does_and_writes_the_same_files(tmp_path):
    low = training.train(tmp_path / "fp16", SETTINGS)
    full = training.train(tmp_path / "fp32", msgspec.structs.replace(SETTINGS, precision="fp32"))
    assert training.losses(low) == pytest.approx(training.losses(full), rel=2e-3)
    assert [row["grad_norm"] for row in low[1:]] == pytest.approx([row["grad_norm"] for row in full[1:]], rel=2e-2)
    assert training.weights(tmp_path / "fp16").dtype == torch.float32
    assert scales(tmp_path / "fp16")[-1] == {"factor": 65536.0, "good_steps": 8}
    assert scales(tmp_path / "fp32")[-1] is None


def test_the_scale_is_part_of_a_checkpoint_and_a_resumed_training_takes_the_same_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loss_scale, "GOOD_STEPS", 3)
    first = LossScale(2.0**40)  # overflows, and is halved until it does not
    monkeypatch.setattr(step, "LossScale", lambda: first)
    settings = msgspec.structs.replace(SETTINGS, steps=40, checkpoint_steps=4, keep_checkpoints=99)
    rows = training.train(tmp_path / "whole", settings)
    left_out = [row["loss_scale"] for row in rows if row.get("skipped")]
    assert left_out[:3] == [2.0**39, 2.0**38, 2.0**37]
    assert len(left_out) > step.MOST_SKIPPED  # which is of steps that no scale can mend
    assert sum("loss" in row for row in rows) > 10
    assert "its gradient left the range of fp16; losses are scaled by" in capsys.readouterr().err
    for steps in (4, 16, 20, 40):
        parts = training.train(tmp_path / "parts", msgspec.structs.replace(settings, steps=steps))
    assert [row.get("loss") for row in parts] == [row.get("loss") for row in rows]
    assert scales(tmp_path / "parts") == scales(tmp_path / "whole")
    assert torch.equal(training.weights(tmp_path / "parts"), training.weights(tmp_path / "whole"))


def test_a_loss_that_is_no_number_is_not_the_scales_to_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(step.Stepper, "_gradients", lambda self, number: (math.nan, 0.0))
    monkeypatch.setattr(step.Stepper, "_clip", lambda self: math.nan)
    with pytest.raises(Diverged, match="at step 1"):
        training.train(tmp_path / "loss", SETTINGS)
    monkeypatch.setattr(step.Stepper, "_gradients", lambda self, number: (1.0, 0.0))
    with pytest.raises(Diverged, match="at step 17: "):  # 2 ** 16, halved sixteen times
        training.train(tmp_path / "gradient", msgspec.structs.replace(SETTINGS, steps=40))


def test_measuring_a_step_whose_gradient_overflows_leaves_the_weights_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "LossScale", lambda: LossScale(2.0**60))
    settings = msgspec.structs.replace(SETTINGS, steps=None, minutes=0.02, validation_steps=100)
    monkeypatch.setattr(step, "MOST_SKIPPED", 3)
    training.train(tmp_path, settings)
    assert training.weights(tmp_path).isfinite().all()
