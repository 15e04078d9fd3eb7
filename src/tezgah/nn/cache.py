"""The key-value cache of decoding: what attention has already computed, kept."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tezgah.nn.config import StackConfig


class KVCache:
    """Keys and values of every layer, each (layers, rows, kv_heads, capacity, head_dim), for rows of any length.

    Of row i the first `lengths[i]` positions are filled; `lengths`, int64, lies on the CPU, so that nobody waits for
    a device to know it. There may be room for more rows than `lengths` has. A forward pass appends its keys and
    values layer by layer and calls `advance` once at its end.
    """

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        self.keys, self.values, self.lengths = keys, values, lengths
        self._pass: tuple[int, Tensor | None] | None = None  # where the pass that runs writes: `append` says how

    @classmethod
    def empty(
        cls, config: StackConfig, rows: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> "KVCache":
        """Room for `rows` rows of `capacity` positions, all of length 0.

        Zeros, not whatever the memory held: what lies behind a row's end is multiplied by 0, and 0 × NaN is NaN.
        """
        shape = (config.n_layers, rows, config.n_kv_heads, capacity, config.head_dim)
        keys, values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        return cls(keys, values, torch.zeros(rows, dtype=torch.long))

    @property
    def rows(self) -> int:
        """Rows in use."""
        return len(self.lengths)

    @property
    def capacity(self) -> int:
        """Positions there is room for in a row."""
        return self.keys.shape[3]

    @property
    def length(self) -> int:
        """Positions that the longest row holds."""
        return int(self.lengths.max())

    @property
    def is_ragged(self) -> bool:
        """Whether rows differ in length."""
        return bool((self.lengths != self.lengths[0]).any())

    def positions(self, time: int) -> Tensor:
        """Where the next `time` tokens of every row stand, (rows, time), on the CPU."""
        return self.lengths[:, None] + torch.arange(time)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new `keys` and `values`, (rows, kv_heads, time, head_dim), after those held.

        Returns all of the layer's so far, (rows, kv_heads, length + time, head_dim); of a shorter row, what lies
        behind its end too.
        """
        time = keys.shape[2]
        if self._pass is None:  # asked once, not in every layer
            places = self.positions(time).to(keys.device) if self.is_ragged else None
            self._pass = self.length, places
        start, places = self._pass
        end = start + time
        assert end <= self.capacity, f"cache holds {self.capacity} positions, {end} needed"
        for held, new in ((self.keys, keys), (self.values, values)):
            if places is None:
                held[layer, : self.rows, :, start:end] = new
            else:
                rows = torch.arange(self.rows, device=keys.device)[:, None]  # (rows, 1)
                held[layer][rows, :, places] = new.transpose(1, 2)  # (rows, time, kv_heads, head_dim)
        return self.keys[layer, : self.rows, :, :end], self.values[layer, : self.rows, :, :end]

    def advance(self, time: int) -> None:
        """Count `time` new positions as held, once every layer has appended them."""
        self.lengths += time
        self._pass = None

    def keep_rows(self, rows: Tensor | Sequence[int]) -> None:
        """Make these rows the first ones, in this order, and let the others go; a row may be named several times.

        A row that keeps its place costs nothing, nor does one that moves into a place that is left free.
        """
        kept = rows.tolist() if isinstance(rows, Tensor) else list(rows)
        moved = [(place, row) for place, row in enumerate(kept) if place != row]
        end = self.length
        if all(row >= len(kept) for _, row in moved):  # none of them stands where another goes
            for place, row in moved:
                for held in (self.keys, self.values):
                    held[:, place, :, :end] = held[:, row, :, :end]
        elif len(kept) <= self.keys.shape[1]:
            chosen = torch.tensor([row for _, row in moved], device=self.keys.device)
            places = torch.tensor([place for place, _ in moved], device=self.keys.device)
            for held in (self.keys, self.values):
                held[:, places, :, :end] = held[:, chosen, :, :end]
        else:
            chosen = torch.tensor(kept, device=self.keys.device)
            self.keys, self.values = self.keys[:, chosen], self.values[:, chosen]
        self.lengths = self.lengths[kept]

    def part(self, first: int, last: int) -> "KVCache":
        """Rows `first` to before `last` as a cache of their own, on the same memory: what it appends stands here."""
        return KVCache(self.keys[:, first:last], self.values[:, first:last], self.lengths[first:last])

    def copy_start(self, row: int, other: int, length: int) -> None:
        """Make `row` begin with the first `length` positions of `other`, and hold no more."""
        if row != other:
            for held in (self.keys, self.values):
                held[:, row, :, :length] = held[:, other, :, :length]
        self.lengths[row] = length
