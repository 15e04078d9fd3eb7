"""Muon against the singular value decomposition, AdamW against torch's."""

import pytest
import torch

from tezgah.models.build import build_config, build_model
from tezgah.models.settings import ModelSettings
from tezgah.training.optimizer import build_optimizer, orthogonalize
from tezgah.training.settings import TrainSettings


def tiny(seed=1):
    return build_model(build_config(ModelSettings(n_layers=2, width=32, n_heads=2, context_length=16), 60), seed)


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_orthogonalized_is_the_polar_factor(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    ours = orthogonalize(matrix[None])[0]
    assert torch.linalg.svdvals(ours).sub(1).abs().max() < 0.15
    cosine = torch.nn.functional.cosine_similarity(ours.flatten(), (u @ v).flatten(), dim=0)
    assert cosine > 0.99


def test_every_parameter_is_in_one_group_and_matrices_of_blocks_are_muons():
    model = tiny()
    groups = build_optimizer(model, TrainSettings()).param_groups
    names = [name for group in groups for name in group["param_names"]]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    muon = {name for group in groups if group["algorithm"] == "muon" for name in group["param_names"]}
    assert muon == {name for name, p in model.named_parameters() if p.ndim == 2 and "blocks" in name}


def test_adamw_takes_torchs_steps():
    ours, theirs = tiny(), tiny()
    settings = TrainSettings(optimizer="adamw", learning_rate=1e-2, weight_decay=0.1)
    optimizer = build_optimizer(ours, settings)
    matrices = [p for p in theirs.parameters() if p.ndim == 2]
    rest = [p for p in theirs.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    expected = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    ids = torch.randint(0, 60, (2, 16))
    for _ in range(4):
        for model, optim in ((ours, optimizer), (theirs, expected)):
            optim.zero_grad()
            (model.loss(ids, ids.roll(-1, 1)) / 32).backward()
            optim.step()
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, their)


def test_sgd_takes_torchs_steps_and_decays_apart_from_the_gradient():
    ours, theirs = tiny(), tiny()
    optimizer = build_optimizer(ours, TrainSettings(optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.2))
    expected = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    ids = torch.randint(0, 60, (2, 16))
    for _ in range(4):
        for model, optim in ((ours, optimizer), (theirs, expected)):
            optim.zero_grad()
            (model.loss(ids, ids.roll(-1, 1)) / 32).backward()
            if optim is expected:
                for parameter in theirs.parameters():
                    parameter.data *= 1 - 0.1 * 0.2 * (parameter.ndim == 2)
            optim.step()
    for mine, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, their)


def test_muon_takes_the_papers_step():
    model = tiny()
    optimizer = build_optimizer(model, TrainSettings(muon_learning_rate=0.1, weight_decay=0.5, momentum=0.9))
    weight = model.stack.blocks[0].mlp.down.weight  # (width, mlp_width)
    before, gradient = weight.detach().clone(), torch.randn_like(weight)
    buffer = torch.zeros_like(weight)
    for _ in range(2):
        weight.grad = gradient.clone()
        optimizer.step()
        buffer = 0.9 * buffer + 0.1 * gradient
        update = orthogonalize((0.1 * gradient + 0.9 * buffer)[None])[0]
        before = before * (1 - 0.1 * 0.5) - 0.1 * update  # wide: no factor for its shape
    torch.testing.assert_close(weight.detach(), before, atol=1e-5, rtol=1e-4)


def test_state_goes_to_disk_and_back():
    first, second = tiny(), tiny()
    ids = torch.randint(0, 60, (2, 16))
    one, two = build_optimizer(first, TrainSettings()), build_optimizer(second, TrainSettings())

    def step(model, optimizer):
        optimizer.zero_grad()
        (model.loss(ids, ids.roll(-1, 1)) / 32).backward()
        optimizer.step()

    step(first, one)
    second.load_state_dict(first.state_dict())
    two.load_named_state({name: tensor.clone() for name, tensor in one.named_state().items()})
    step(first, one)
    step(second, two)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
