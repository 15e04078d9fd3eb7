"""How tensors on disk hold a model's parameters: four kinds of entry, each read in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tezgah.models.config import CausalConfig


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
    """Several parameters side by side in one tensor, transposed or not."""

    theirs: str
    ours: tuple[str, ...]
    transposed: bool

    def to_disk(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The tensor to write."""
        joined = _joined([parameters[name] for name in self.ours])
        return joined.T if self.transposed else joined

    def from_disk(self, tensor: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """The parameters it holds, each in memory of its own; `sizes` gives each parameter's first dimension."""
        joined = tensor.T if self.transposed else tensor
        parts = torch.split(joined, [sizes[name] for name in self.ours])
        return {name: part.clone() for name, part in zip(self.ours, parts, strict=True)}


@dataclass(frozen=True)
class Zeros:
    """A tensor that the stock class has and this model has not: one number for each row of the `like` parameters.

    `because` is the field that says so, where the stock class would use other numbers than zeros.
    """

    theirs: str
    like: tuple[str, ...]
    because: str = ""

    def to_disk(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The tensor to write."""
        like = [parameters[name] for name in self.like]
        return like[0].new_zeros(sum(len(parameter) for parameter in like))

    def from_disk(self, tensor: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """The parameters it holds: none. Raises ValueError for numbers that would be lost."""
        if self.because and bool(tensor.any()):
            raise ValueError(f"{self.theirs} is not zero, though config.json says {self.because}")
        return {}


Entry = Plain | Transposed | Joined | Zeros


def _joined(parts: list[Tensor]) -> Tensor:
    """Rows after rows. Of tensors without memory torch would import its compiler to join them, which takes a second."""
    first = parts[0]
    if first.is_meta:
        return first.new_empty(sum(map(len, parts)), *first.shape[1:])
    return torch.cat(parts)


def layered(n_layers: int, theirs: str, names: Mapping[str, str], parts: tuple[str, ...]) -> list[Entry]:
    """The entries of modules that every block has: `theirs` is the layers' prefix, `names` theirs → ours.

    >>> layered(1, "h", {"ln_1": "attention_norm"}, ("weight",))
    [Plain(theirs='h.0.ln_1.weight', ours='stack.blocks.0.attention_norm.weight')]
    """
    return [
        Plain(f"{theirs}.{layer}.{their_name}.{part}", f"stack.blocks.{layer}.{our_name}.{part}")
        for layer in range(n_layers)
        for their_name, our_name in names.items()
        for part in parts
    ]


def head_entries(config: CausalConfig) -> list[Entry]:
    """The entry of a causal model's head: over ids where it has a matrix of its own, or over labels."""
    if config.labels:
        return [Plain("score.weight", "classifier.weight")]
    return [] if config.tied else [Plain("lm_head.weight", "head.weight")]
