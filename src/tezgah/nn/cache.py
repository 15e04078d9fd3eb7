"""The key-value cache of decoding: what attention has already computed, kept."""

import torch
from torch import Tensor

from tezgah.nn.config import StackConfig


class KVCache:
    """Keys and values of every layer, preallocated for `batch` rows of `capacity` positions.

    `length` positions are filled. A forward pass appends its keys and values layer by layer and
    calls `advance` once at its end.
    """

    def __init__(
        self, config: StackConfig, batch: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.n_layers, batch, config.n_kv_heads, capacity, config.head_dim)
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.keys.shape[3]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new `keys` and `values`, (batch, kv_heads, time, head_dim), after those held.

        Returns all of the layer's so far, (batch, kv_heads, length + time, head_dim).
        """
        end = self.length + keys.shape[2]
        assert end <= self.capacity, f"cache holds {self.capacity} positions, {end} needed"
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, time: int) -> None:
        """Count `time` new positions as held, once every layer has appended them."""
        self.length += time

    def keep_rows(self, rows: Tensor) -> None:
        """Make the batch these rows of it, in this order; a row may be named several times."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
