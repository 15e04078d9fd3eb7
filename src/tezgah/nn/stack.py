"""All blocks of a transformer, and the norm at their end."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tezgah.nn.attention import Mask, View
from tezgah.nn.block import Block
from tezgah.nn.blocked_attention import LONGEST_BLOCKED, later_keys
from tezgah.nn.cache import KVCache
from tezgah.nn.config import Rope, StackConfig
from tezgah.nn.masks import attention_pattern, ragged_pattern
from tezgah.nn.norms import build_norm
from tezgah.nn.positions import rotary_table
from tezgah.nn.trace import Trace

Rotary = tuple[Tensor, Tensor] | None
FIRST_TURNED = 4_096  # positions whose rotations are computed ahead: a context of a million would take half a gigabyte


class Stack(nn.Module):
    """Blocks one after another; positions up to `context_length`.

    With `recomputed` the backward pass computes every block anew from its input instead of keeping
    what happened inside: a third more work, and the memory of one block (Chen et al. 2016).
    """

    def __init__(self, config: StackConfig, context_length: int) -> None:
        super().__init__()
        self.config, self.context_length, self.recomputed = config, context_length, False
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = build_norm(config) if config.norm_first else None
        self.turned = 0  # positions in the tables
        if torch.get_default_device().type != "meta":
            self.make_tables()

    def make_tables(self) -> None:
        """Compute what follows from the configuration alone: where a model is built without memory, once it has some.

        On the meta device torch would import its compiler for it, which alone takes a second.
        """
        later = later_keys(min(self.context_length, LONGEST_BLOCKED)) if self.config.causal else None
        later = None if later is None else later.to(next(self.parameters()).device)
        self.later: Tensor | None
        self.cos: Tensor | None
        self.sin: Tensor | None
        self.local_cos: Tensor | None
        self.local_sin: Tensor | None
        self.register_buffer("later", later, persistent=False)
        self._turn(min(self.context_length, FIRST_TURNED))

    def _turn(self, length: int) -> None:
        """Make the tables of rotations for so many positions: the stack's, and its local blocks' own."""
        local = None if self.config.local is None else self.config.local.rope
        for prefix, rope in (("", self.config.rope), ("local_", local)):
            for name, table in zip(("cos", "sin"), _tables(self.config, length, rope), strict=True):
                held = None if table is None else table.to(next(self.parameters()).device)
                self.register_buffer(prefix + name, held, persistent=False)
        self.turned = length

    def forward(
        self,
        x: Tensor,
        allowed: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Map embeddings `x`, (batch, time, width), to hidden states of the same shape.

        `allowed` is 0 at padding, (batch, keys), or where a query may not look, (batch, time, keys), cached
        keys included; it is not given with a cache of rows of different lengths. `positions`, (batch, time), are
        those after the cached ones where not given. `head_mask` is (heads,) or (layers, heads).
        """
        if not self.turned:  # as of a model without memory, whose pass is traced
            self.make_tables()
        start, time = cache.length if cache is not None else 0, x.shape[1]
        if cache is not None and cache.is_ragged:
            assert allowed is None, "rows of different lengths hide what is behind them, and nothing else"
            places = cache.positions(time).to(x.device)  # (batch, time), of which the last is start + time - 1
            allowed = ragged_pattern(places, start + time)
            self.turn_up_to(start + time)
            rotary, local_rotary = _turns(self.cos, self.sin, places), _turns(self.local_cos, self.local_sin, places)
        else:
            rotary, local_rotary = self._rotary(start, time, positions)
        view = View(
            later=self._later(time, trace) if start == 0 else None,
            mask=self._mask(attention_pattern(start, time, self.config.causal, allowed, x.device)),
            rotary=rotary,
            cache=cache,
            head_mask=None if head_mask is None else head_mask.expand(len(self.blocks), -1),
            trace=trace,
        )
        views = [view] * len(self.blocks)
        if local := self.config.local:
            mask = view.mask
            if local.reach < time - 1:
                mask = self._mask(attention_pattern(start, time, False, allowed, x.device, local.reach))
            near = view._replace(mask=mask, rotary=local_rotary)
            views = [near if layer in local.layers else view for layer in range(len(self.blocks))]
        if self.norm is None:  # the first product takes it as it is; elsewhere a norm gives the products' precision
            x = x.to(next(self.parameters()).dtype)
        for block, view in zip(self.blocks, views, strict=True):
            if trace is not None:
                trace.hidden_states.append(x)
            if self.recomputed and torch.is_grad_enabled() and trace is None and cache is None:
                x = checkpoint(block, x, view, use_reentrant=False)
            else:
                x = block(x, view)
        if cache is not None:
            cache.advance(time)
        x = x if self.norm is None else self.norm(x)
        if trace is not None:
            trace.hidden_states.append(x)
        return x

    def _later(self, time: int, trace: Trace | None) -> Tensor | None:
        """What hides later keys; those who look at all weights at once need all queries in one block."""
        if self.later is not None and trace is not None and time > len(self.later):
            return torch.full((time, time), float("-inf"), device=self.later.device).triu(1)
        return self.later

    def _rotary(self, start: int, time: int, positions: Tensor | None) -> tuple[Rotary, Rotary]:
        """Cosines and sines as a `View` has them: the stack's, and its local blocks' own."""
        if self.config.rope is None:
            return None, None
        self.turn_up_to(start + time if positions is None else int(positions.max()) + 1)
        at = slice(start, start + time) if positions is None else positions
        return _turns(self.cos, self.sin, at), _turns(self.local_cos, self.local_sin, at)

    def turn_up_to(self, end: int) -> None:
        """Let the tables of rotations have at least `end` positions."""
        if self.config.rope is not None and end > self.turned:
            self._turn(min(self.context_length, max(end, 2 * self.turned)))

    def _mask(self, pattern: Tensor | None) -> Mask | None:
        """A pattern, (batch or 1, 1, time, keys), as attention uses it: a query that sees nothing is let see all first.

        In the precision of the products, which would otherwise be made, and kept for the backward pass, in every block.
        """
        if pattern is None:
            return None
        device = pattern.device
        dtype = next(self.parameters()).dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        alive = pattern.any(-1, keepdim=True)
        hidden = ~(pattern | ~alive)
        return Mask(torch.zeros(pattern.shape, dtype=dtype, device=device).masked_fill(hidden, float("-inf")), alive)


def _tables(config: StackConfig, length: int, rope: Rope | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if rope is None else rotary_table(config.head_dim, length, rope)


def _turns(cos: Tensor | None, sin: Tensor | None, at: slice | Tensor) -> Rotary:
    """The rows of tables at a stretch, each (time, pairs), or at positions, (batch, 1, time, pairs)."""
    if cos is None or sin is None:
        return None
    return (cos[at], sin[at]) if isinstance(at, slice) else (cos[at][:, None], sin[at][:, None])
