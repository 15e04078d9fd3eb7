"""One process or many: torch's own process group, started by torchrun or accelerate launch."""

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from tezgah.errors import InputError
from tezgah.files import FullDisk
from tezgah.models.language import LanguageModel
from tezgah.nn.cross_entropy import Scored
from tezgah.training.place import Place
from tezgah.training.sharding import shard

Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """This process's place among those that train together; what they say to one another goes over `group`."""

    rank: int
    local_rank: int
    size: int
    local_size: int = 1  # processes on this machine
    group: dist.ProcessGroup | None = None  # None is torch's own

    @property
    def machines(self) -> int:
        """How many machines take part."""
        return max(1, self.size // self.local_size)

    @property
    def is_first(self) -> bool:
        """True in the process that writes files and speaks."""
        return self.rank == 0

    def apart(self, timeout: timedelta) -> "World":
        """The same processes, for a thread of each to talk over; they wait for one another so long."""
        if self.size == 1:
            return self
        return replace(self, group=dist.new_group(backend="gloo", timeout=timeout))

    def sum(self, value: Tensor) -> Tensor:
        """`value` summed over all processes."""
        if self.size > 1:
            dist.all_reduce(value, group=self.group)
        return value

    def total(self, value: float) -> float:
        """A number summed over all processes."""
        return value if self.size == 1 else float(self.sum(self._tensor(value)))

    def most(self, value: float) -> float:
        """The largest of the processes' numbers."""
        return self._most(value)[0]

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """Of each wish, whether any process has it."""
        return tuple(wish > 0 for wish in self._most(*map(float, wishes)))

    def share(self, tensor: Tensor) -> None:
        """Give every process the first one's numbers, in place."""
        if self.size > 1:
            dist.broadcast(tensor, 0, group=self.group)

    def from_first(self, value: float) -> float:
        """What the first process holds, in all of them."""
        if self.size == 1:
            return value
        held = self._tensor(value)
        dist.broadcast(held, 0, group=self.group)
        return float(held)

    def together(self, place: Path, do: Callable[[], Result]) -> Result:
        """What `do` gives, once it has ended well in every process.

        Raises what it raised here; where it failed in another process alone, FullDisk or InputError that names `place`.
        """
        result, error = None, None
        try:
            result = do()
        except Exception as raised:  # noqa: BLE001  raised below, when the others know
            error = raised
        is_full = isinstance(error, FullDisk)
        failed, full = self.any(error is not None and not is_full, is_full)
        if failed:
            raise InputError(f"{place}: failed in another process of this launch.") if not error or is_full else error
        if full:
            raise error or FullDisk(f"{place}: the disk is full. Free some space and run the same command again.")
        return result  # type: ignore[return-value]

    def _most(self, *values: float) -> list[float]:
        if self.size == 1:
            return list(values)
        held = self._tensor(*values)
        dist.all_reduce(held, op=dist.ReduceOp.MAX, group=self.group)
        return held.tolist()

    def _tensor(self, *values: float) -> Tensor:
        over_gpus = dist.get_backend(self.group) == "nccl"
        device = torch.device("cuda", self.local_rank) if over_gpus else torch.device("cpu")
        return torch.tensor(values, dtype=torch.float64, device=device)


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
    backend = "nccl" if place.device.type == "cuda" else "gloo"
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if restart == "0" or os.environ.get("GROUP_WORLD_SIZE") != "1":
        dist.init_process_group(backend, timeout=timeout)
        return True
    # torchrun gives restarted processes the old store, with addresses of the dead (github.com/pytorch/pytorch/issues/
    # 135712). Its count of restarts is one for all on one machine only; docs/scaling-out.md says what to do on several.
    store, rank, size = next(rendezvous("env://"))
    fresh = PrefixStore(f"restart {restart}", store)
    dist.init_process_group(backend, store=fresh, rank=rank, world_size=size, timeout=timeout)
    return True


def lost_process(error: RuntimeError) -> InputError | None:
    """What to say where another process has ended without a word, as its connections tell; None for another error."""
    told = "onnection closed by peer", "onnection reset by peer", "Broken pipe"  # by gloo
    if not isinstance(error, dist.DistBackendError) and not any(words in str(error) for words in told):
        return None
    return InputError(
        "another process of this launch has ended in the midst of training; what it said stands above, if anything. "
        "The same command goes on from the last checkpoint."
    )


def end() -> None:
    """End the process group."""
    gc.collect()  # what of a training still holds the group goes before it, not when the interpreter ends
    dist.destroy_process_group()


class LossModule(nn.Module):
    """The scores of a batch as a forward pass, which is what data parallelism hooks into."""

    def __init__(self, model: nn.Module, separator_id: int | None) -> None:
        super().__init__()
        self.model, self.separator_id = model, separator_id

    def forward(self, ids: Tensor, targets: Tensor) -> Scored:
        """The model's summed loss and hits; ids and targets are (batch, time)."""
        return self.model.scored(ids, targets, self.separator_id)  # type: ignore[no-any-return, operator]


def parallel(
    model: LanguageModel, world: World, place: Place, sharding: str = "none", separator_id: int | None = None
) -> nn.Module:
    """The model's loss on its device, its gradients averaged over the processes where there are several.

    With `sharding` "full" the parameters of `model` become parts, one in each process. `separator_id` is given
    where documents are read by themselves (`CausalLM.loss`).
    """
    loss = LossModule(model, separator_id)
    if sharding == "full" and world.size > 1:
        shard(loss, model, place)  # moves each block by itself, so that no device ever holds all
        return loss
    model.to(place.device)
    if world.size == 1:
        return loss
    return DistributedDataParallel(loss, device_ids=[place.device] if place.device.type == "cuda" else None)
