"""How tensors on disk hold a model's parameters: three kinds of entry, each read in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Plain:
    """One tensor, one parameter."""

    theirs: str
    ours: str

    def to_disk(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The tensor to write."""
        return parameters[self.ours]

    def from_disk(self, tensor: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """The parameters it holds."""
        return {self.ours: tensor}


@dataclass(frozen=True)
class Transposed:
    """One matrix, stored (inputs, features) on disk."""

    theirs: str
    ours: str

    def to_disk(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The tensor to write."""
        return parameters[self.ours].T

    def from_disk(self, tensor: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """The parameters it holds."""
        return {self.ours: tensor.T}


@dataclass(frozen=True)
class Joined:
    """Several parameters side by side in one tensor, transposed or not.

    With `zeros` the parameters do not exist: zeros are written in their place, and reading a
    checkpoint of another origin finds them in `ours` all the same.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool
    zeros: bool = False

    def to_disk(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The tensor to write."""
        if self.zeros:
            weights = [parameters[name.replace(".bias", ".weight")] for name in self.ours]
            return torch.zeros(sum(len(weight) for weight in weights), dtype=weights[0].dtype)
        joined = torch.cat([parameters[name] for name in self.ours])
        return joined.T if self.transposed else joined

    def from_disk(self, tensor: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """The parameters it holds; `sizes` gives each parameter's first dimension."""
        if self.zeros:
            return {}
        joined = tensor.T if self.transposed else tensor
        return dict(zip(self.ours, torch.split(joined, [sizes[name] for name in self.ours]), strict=True))


Entry = Plain | Transposed | Joined
