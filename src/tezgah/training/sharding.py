"""A model divided over the processes: torch's `fully_shard` (FSDP2) gives each the same share of every tensor's rows.

A block is gathered when it is needed and let go afterwards (Rajbhandari et al. 2020, stage 3). Whatever is
done number by number is done on a process's own rows; only Muon needs whole matrices.
"""

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.models.families import FAMILIES
from tezgah.models.language import LanguageModel
from tezgah.training.place import Place

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


@dataclass(frozen=True)
class Rows:
    """What a process holds of a tensor of `shape`: `count` rows from `start` on."""

    shape: tuple[int, ...]
    start: int
    count: int


def shard(loss: nn.Module, model: LanguageModel, place: Place) -> None:
    """Divide the parameters of `model` over all processes in place, block by block; `loss` is what is called.

    With 16-bit products blocks are gathered in these 16 bits. Gradients are summed in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(place.device.type, (dist.get_world_size(),))
    low = MixedPrecisionPolicy(param_dtype=place.autocast, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in model.stack.blocks:
        fully_shard(block, mesh=mesh, mp_policy=low)
    # Embedding and head stay in float32: a frequent id's gradient is a long sum.
    fully_shard(loss, mesh=mesh, mp_policy=MixedPrecisionPolicy(reduce_dtype=torch.float32))


def is_sharded(model: nn.Module) -> bool:
    """Whether the model's parameters are divided over the processes."""
    return any(map(is_divided, model.parameters()))


def is_divided(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether each process holds some of the tensor's rows.

    None is until torch's module of such tensors was imported, which alone takes a second.
    """
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def own(tensor: Tensor) -> Tensor:
    """The rows of a parameter or its gradient that this process holds, in the same memory."""
    if not is_divided(tensor):
        return tensor
    local: Tensor = tensor._local_tensor  # to_local() without autograd's part in it
    return local.detach()


def rows_of(tensor: Tensor) -> Rows:
    """Where this process's rows of a parameter lie: equal shares, rounded up, the last ones short or empty."""
    shape = tuple(tensor.shape)
    if not is_divided(tensor):
        return Rows(shape, 0, shape[0] if shape else 1)
    share = math.ceil(shape[0] / tensor.device_mesh.size())
    start = min(shape[0], share * tensor.device_mesh.get_local_rank())
    rows = Rows(shape, start, min(share, shape[0] - start))
    assert rows.count == len(own(tensor)), "fully_shard divides rows as torch.chunk does"
    return rows


def gathered(parts: Tensor, like: "DTensor") -> Tensor:
    """Matrices whole, (count, rows, columns), from this process's rows of each; divided as `like` is."""
    size, rows = like.device_mesh.size(), like.shape[0]
    share = math.ceil(rows / size)
    padded = F.pad(parts, (0, 0, 0, share - parts.shape[1]))  # (count, share, columns)
    everyone = [torch.empty_like(padded, memory_format=torch.contiguous_format) for _ in range(size)]
    dist.all_gather(everyone, padded.contiguous(), group=like.device_mesh.get_group())
    whole = torch.cat(everyone, dim=1)  # (count, size × share, columns)
    return whole[:, :rows]


def whole_model(model: LanguageModel, is_first: bool, device: torch.device) -> LanguageModel | None:
    """The model as who reads it needs it: undivided, in the first process; None in the others.

    A model that is not divided is given as it is. Every process must call this.
    """
    if not is_sharded(model):
        return model if is_first else None
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        undivided: Any = parameter.full_tensor() if is_divided(parameter) else parameter
        if is_first:
            tensors[name] = undivided.detach()
    if not is_first:
        return None
    with torch.device("meta"):
        whole: Any = FAMILIES[model.config.family].build(model.config)
    whole.load_state_dict(tensors, assign=True)
    whole.stack.make_tables()
    return whole.to(device)  # type: ignore[no-any-return]
