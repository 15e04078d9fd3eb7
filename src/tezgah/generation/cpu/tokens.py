"""The compiled step of a model: a token of every row, by all threads at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tezgah.compiled import compilation_told
from tezgah.generation.cpu.packing import Packed
from tezgah.generation.cpu.step import Work, token_step

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.nn.cache import KVCache


class CompiledStep:
    """One-token steps of `model` for up to `most` rows on this machine's cores, in place of `model.next_logits`.

    The weights are read where they lie, so they may change; with `int8` they are rounded, here and now.
    """

    def __init__(self, model: "CausalLM", most: int, capacity: int, int8: bool = False) -> None:
        model.stack.turn_up_to(capacity)
        self._model, self._packed = model, Packed(model, int8)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(max(1, self._threads - 1), "tezgah-step")
        self._work = _work(self._packed, self._threads, most, capacity)

    def __call__(self, ids: Sequence[int], cache: "KVCache") -> Tensor:
        """Logits of what follows the next `ids` of all rows, (rows, vocab), float32; the cache then holds them.

        The logits lie in memory that the next step writes.
        """
        rows, work, packed = len(ids), self._work, self._packed
        with torch.no_grad():
            x = self._model.embedding(torch.tensor(ids))
            if self._model.positions is not None:
                x = x.float() + self._model.positions(cache.lengths)
        work.x[:, :rows] = x.float().numpy()
        work.counter[0] = 0
        keys, values = (_numbers(held) for held in (cache.keys, cache.values))
        shared = packed.shape, packed.weights, work, keys, values, cache.lengths.numpy()
        with compilation_told("generation"):
            others = [
                self._pool.submit(token_step, packed.kind, thread, self._threads, *shared)
                for thread in range(1, self._threads)
            ]
            token_step(packed.kind, 0, self._threads, *shared)
            for other in others:
                other.result()
        cache.advance(1)
        return torch.from_numpy(work.logits[:rows])


def _work(packed: Packed, threads: int, rows: int, capacity: int) -> Work:
    shape = packed.shape
    queries, kept = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim

    def zeros(*sizes: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return np.zeros(sizes, np.float32)

    return Work(
        x=zeros(threads, rows, shape.width),
        normed=zeros(threads, rows, shape.width),
        heads=zeros(rows, queries + 2 * kept),
        mixed=zeros(rows, queries),
        out=zeros(rows, shape.width),
        inside=zeros(rows, shape.mlp_width * (1 + shape.is_gated)),
        scores=zeros(threads, capacity + 4),
        logits=zeros(rows, shape.vocab_size),
        counter=np.zeros(1, np.int64),
    )


def _numbers(held: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    """A cache's tensor as numpy sees it; bfloat16 as its bits."""
    return held.numpy() if held.dtype == torch.float32 else held.view(torch.uint16).numpy()
