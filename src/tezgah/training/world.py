"""One process or many: torch's own process group, started by torchrun or accelerate launch."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tezgah.training.place import Place


@dataclass(frozen=True)
class World:
    """This process's place among those that train together."""

    rank: int
    local_rank: int
    size: int
    local_size: int = 1  # processes on this machine

    @property
    def machines(self) -> int:
        """How many machines take part."""
        return max(1, self.size // self.local_size)

    @property
    def is_first(self) -> bool:
        """True in the process that writes files and speaks."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """`value` summed over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        if self.size == 1:
            return wish
        return bool(self.sum(self._tensor(float(wish))) > 0)

    def from_first(self, value: float) -> float:
        """What the first process holds, in all of them."""
        if self.size == 1:
            return value
        held = self._tensor(value)
        dist.broadcast(held, 0)
        return float(held)

    def _tensor(self, value: float) -> Tensor:
        device = torch.device("cuda", self.local_rank) if dist.get_backend() == "nccl" else torch.device("cpu")
        return torch.tensor(value, dtype=torch.float64, device=device)


def join_world() -> World:
    """Read what the launcher set; the process group is not begun yet."""
    return World(
        rank=int(os.environ.get("RANK", 0)),
        local_rank=int(os.environ.get("LOCAL_RANK", 0)),
        size=int(os.environ.get("WORLD_SIZE", 1)),
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
    )


def begin(world: World, place: Place, timeout: timedelta | None = None) -> bool:
    """Begin the process group where there are several processes; true if it was begun here.

    `timeout` is how long one process waits for the others, None what torch holds to be long.
    """
    if world.size == 1 or dist.is_initialized():
        return False
    if place.device.type == "cuda":
        torch.cuda.set_device(place.device)
    dist.init_process_group("nccl" if place.device.type == "cuda" else "gloo", timeout=timeout)
    return True


def end() -> None:
    """End the process group."""
    dist.destroy_process_group()


class LossModule(nn.Module):
    """The loss as a forward pass, which is what data parallelism hooks into."""

    def __init__(self, model: nn.Module, separator_id: int | None) -> None:
        super().__init__()
        self.model, self.separator_id = model, separator_id

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """The model's summed loss; ids and targets are (batch, time)."""
        return self.model.loss(ids, targets, self.separator_id)  # type: ignore[no-any-return, operator]


def parallel(model: nn.Module, world: World, place: Place, separator_id: int | None = None) -> nn.Module:
    """The model's loss, its gradients averaged over the processes where there are several.

    `separator_id` is given where documents are read by themselves (`CausalLM.loss`).
    """
    loss = LossModule(model, separator_id)
    if world.size == 1:
        return loss
    return DistributedDataParallel(loss, device_ids=[place.device] if place.device.type == "cuda" else None)
