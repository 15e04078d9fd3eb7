"""The compiled step of a model: a token of every row, by all threads at once."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tezgah.compiled import compilation_told
from tezgah.generation.cpu.arrays import Floats, Work
from tezgah.generation.cpu.packing import Packed
from tezgah.generation.cpu.products import TILE
from tezgah.generation.cpu.step import token_step
from tezgah.generation.cpu.vectors import LANES

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.nn.cache import KVCache

Array = NDArray[Any]
RELEASED = 1 << 62  # more arrivals than any wait is for


class CompiledStep:
    """One-token steps of `model` for up to `most` rows on this machine's cores, in place of `model.next_logits`.

    Matrices are read where they lie, with `int8` from copies that are rounded here; the model must not change
    between steps.
    """

    def __init__(self, model: "CausalLM", most: int, capacity: int, int8: bool = False) -> None:
        model.stack.turn_up_to(capacity)
        self._model, self._packed = model, Packed(model, int8)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(max(1, self._threads - 1), "tezgah-step")
        self._work = _work(self._packed, self._threads, most, capacity)
        with compilation_told("generation"):
            self._compile(model.new_cache(1, 1))

    def __call__(self, ids: Sequence[int], cache: "KVCache") -> Tensor:
        """Logits of what follows the next `ids` of all rows, (rows, vocab), float32; the cache then holds them.

        The logits lie in memory that the next step writes.
        """
        rows = len(ids)
        assert rows == cache.rows <= len(self._work.logits) and cache.length < cache.capacity
        with torch.no_grad():
            x = self._model.embedding(torch.tensor(ids))
            if self._model.positions is not None:
                x = x.float() + self._model.positions(cache.lengths)
        self._work.x[:, :rows] = x.float().numpy()
        self._run(cache)
        cache.advance(1)
        return torch.from_numpy(self._work.logits[:rows])

    def _compile(self, cache: "KVCache") -> None:
        """Compile, by a step of no rows, in this thread alone: whoever is stopped here leaves nobody waiting."""
        cache.lengths = cache.lengths[:0]
        self._part(0, 1, *_arrays(cache))

    def _run(self, cache: "KVCache") -> None:
        """All threads' parts. One that fails, or is stopped, lets the others out of every wait."""
        self._work.counter[0] = 0
        arrays = _arrays(cache)
        others: list[Future[None]] = []
        try:
            for thread in range(1, self._threads):
                other = self._pool.submit(self._part, thread, self._threads, *arrays)
                others.append(other)  # one by one: those that began are waited for, whatever happens to the next
            self._part(0, self._threads, *arrays)
        except BaseException:
            self._work.counter[0] = RELEASED
            raise
        finally:
            wait(others)
        for other in others:
            other.result()

    def _part(self, thread: int, threads: int, keys: Array, values: Array, lengths: Array) -> None:
        packed = self._packed
        try:
            token_step(packed.kind, thread, threads, packed.shape, packed.weights, self._work, keys, values, lengths)
        except BaseException:
            self._work.counter[0] = RELEASED
            raise


def _work(packed: Packed, threads: int, rows: int, capacity: int) -> Work:
    shape = packed.shape
    queries, kept = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim

    def zeros(*sizes: int) -> Floats:
        return np.zeros(sizes, np.float32)

    return Work(
        x=zeros(threads, rows, shape.width),
        normed=zeros(threads, rows, shape.width),
        heads=zeros(rows, queries + 2 * kept),
        mixed=zeros(rows, queries),
        out=zeros(rows, shape.width),
        inside=zeros(rows, shape.mlp_width * (1 + shape.is_gated)),
        scores=zeros(threads, capacity + LANES),
        wide=zeros(threads, TILE * max(queries, shape.width, shape.mlp_width)),
        logits=zeros(rows, shape.vocab_size),
        counter=np.zeros(1, np.int64),
    )


def _arrays(cache: "KVCache") -> tuple[Array, Array, Array]:
    """A cache's keys, values and lengths as numpy sees them; bfloat16 as its bits."""
    keys, values = (
        held.numpy() if held.dtype == torch.float32 else held.view(torch.uint16).numpy()
        for held in (cache.keys, cache.values)
    )
    return keys, values, cache.lengths.numpy()
