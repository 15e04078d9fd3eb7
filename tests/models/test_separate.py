"""Documents that share a sequence and do not see each other, against each of them alone."""

import dataclasses
from typing import Any

import pytest
import torch

from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings

SHAPES = {"gpt2": "causal", "qwen3": "causal", "bert": "mlm", "modernbert": "mlm"}  # positions: table, rotation, twice


def made(shape: Any, dtype: torch.dtype = torch.float64) -> Any:
    objective: Any = SHAPES[shape]
    settings = ModelSettings(objective=objective, shape=shape, n_layers=2, width=32, n_heads=2, context_length=16)
    config = build_config(settings, 64)
    if local := config.stack.local:  # a window smaller than the row
        stack = dataclasses.replace(config.stack, local=dataclasses.replace(local, reach=2))
        config = dataclasses.replace(config, stack=stack)
    model = build_model(config, seed=1)
    for name, parameter in model.named_parameters():  # which begin by adding nothing: it would hide who looks where
        if name.endswith("attention.output.weight"):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(2))
    return model.to(dtype)


def alone(model: Any, ids: torch.Tensor, targets: torch.Tensor, separator_id: int = 0) -> torch.Tensor:
    """The loss of every document by itself, one row of a batch of its own each, summed."""
    total = torch.zeros((), dtype=torch.float64)
    for row, wanted in zip(ids, targets, strict=True):
        starts = sorted({0, *torch.nonzero(row == separator_id).flatten().tolist()})
        for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
            total = total + model.loss(row[None, start:end], wanted[None, start:end])
    return total


def batch(separators: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of 16 with separators at these places, and a target for each but the last two."""
    stream = torch.randint(1, 64, (len(separators), 17), generator=torch.Generator().manual_seed(1))
    for row, places in enumerate(separators):
        stream[row, places] = 0
    ids, targets = stream[:, :-1], stream[:, 1:].clone()
    targets[:, -2:] = -100
    return ids, targets


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("separators", [[[0, 5, 6], [3, 15, 16], []], [[0, 1, 2]], [list(range(16)), [8]]])
def test_loss_and_gradient_are_those_of_every_document_alone(shape: str, separators: list[list[int]]):
    model, (ids, targets) = made(shape), batch(separators)
    loss = model.loss(ids, targets, 0)
    loss.backward()
    found = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    expected = alone(model, ids, targets)
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-12, rtol=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found.get(name), parameter.grad, atol=1e-10, rtol=1e-9, msg=name)


@pytest.mark.parametrize("shape", ["bert", "modernbert"])
def test_padding_behind_documents_is_not_seen(shape: str):
    model, (ids, targets) = made(shape), batch([[0, 5, 6], [3]])
    mask = torch.ones_like(ids)
    mask[:, 13:] = 0
    targets[:, 13:] = -100
    other = torch.where(mask.bool(), ids, 7)
    found, again = (model.loss(each, targets, 0, mask) for each in (ids, other))
    torch.testing.assert_close(found, again, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(found, alone(model, ids[:, :13], targets[:, :13]), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_joined_is_another_thing(shape: str):
    model, (ids, targets) = made(shape), batch([[0, 5, 6], [3, 15]])
    assert (model.loss(ids, targets) - model.loss(ids, targets, 0)).abs().item() > 1e-3
