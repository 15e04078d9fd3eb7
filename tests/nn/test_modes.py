import pytest
import torch
from torch import nn

from tezgah.nn.modes import evaluating


def test_modes_and_gradients_come_back_whatever_happens():
    model = nn.Sequential(nn.Dropout(0.5).eval(), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == before == [True, False, True, True, True]
    assert torch.is_grad_enabled()


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


def test_compiled_parts_run_as_written_and_are_not_compiled_again_afterwards():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    model = Double()
    model.compile(dynamic=False, backend=backend)
    model(torch.ones(2))
    assert len(graphs) == 1
    with evaluating(model):
        for size in (2, 5, 7):
            assert model(torch.ones(size)).tolist() == [2.0] * size
    model(torch.ones(2))
    assert len(graphs) == 1
