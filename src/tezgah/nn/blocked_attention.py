"""Attention a block of queries at a time, for compiled CPU code.

What FlashAttention (Dao et al. 2022) does in one kernel, left to the compiler: the (queries, keys)
weights of one block are made, used while they are in cache, and forgotten; of each query the backward
pass keeps one number, the logarithm of its sum, and computes the weights anew. Queries of a causal
model meet no key after their block, so that nearly half of the products fall away.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from tezgah.nn.precision import widened

MOST_BLOCKS = 8  # the compiler writes every block out
FEWEST_QUERIES = 128  # of a block: smaller products are slow
LONGEST_BLOCKED = 4_096  # time; 512 queries and their keys are then 100 MB of weights for 12 heads


def later_keys(length: int) -> Tensor:
    """What hides later keys from the queries of any block of up to `length` positions, (queries, columns).

    Zeros and, at the right, −∞ above the diagonal: `hidden_from` cuts what a block adds to its scores.
    """
    queries = min(length, max(FEWEST_QUERIES, LONGEST_BLOCKED // MOST_BLOCKS))
    triangle = torch.full((queries, queries), float("-inf")).triu(1)
    return torch.cat([torch.zeros(queries, length), triangle], 1)


def hidden_from(later: Tensor, start: int, end: int) -> Tensor:
    """The part of `later_keys` for queries `start` to `end` and keys 0 to `end`: −∞ or 0, (end - start, end).

    >>> hidden_from(later_keys(4), 1, 3).tolist()
    [[0.0, 0.0, -inf], [0.0, 0.0, 0.0]]
    """
    diagonal = later.shape[1] - later.shape[0]
    return later[: end - start, diagonal - start : diagonal + end - start]


class BlockedAttention(torch.autograd.Function):
    """Softmax attention of `q`, `k` and `v`, each (batch, heads, time, head_dim); returns the same shape.

    Causal where `later`, of `later_keys`, is given; else `bias`, (batch or 1, 1, time, keys) or None, is added to
    the scores. Products are in the precision of `q`, softmax and sums in float32.
    """

    @staticmethod
    def forward(ctx, q, k, v, later, bias):  # type: ignore[no-untyped-def]
        mixed, logs = [], []
        for start, end, keys in _blocks(q.shape[2], k.shape[2], later is not None):
            scores = _scores(q, k, later, bias, start, end, keys)
            top = scores.amax(-1, keepdim=True)
            powers = (scores - top).exp()
            total = powers.sum(-1, keepdim=True)  # (batch, heads, queries, 1)
            mixed.append((widened(powers.to(v.dtype) @ v[:, :, :keys]) / total).to(v.dtype))
            logs.append(top + total.log())
        out = torch.cat(mixed, 2)
        ctx.save_for_backward(q, k, v, later, bias, out, torch.cat(logs, 2))
        return out

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        q, k, v, later, bias, out, logs = ctx.saved_tensors
        own = (widened(upstream) * widened(out)).sum(-1, keepdim=True)  # Σ weight · slope of every query
        blocks = list(_blocks(q.shape[2], k.shape[2], later is not None))
        to_q, to_k, to_v = [], [], []
        for start, end, keys in blocks:
            weights = (_scores(q, k, later, bias, start, end, keys) - logs[:, :, start:end]).exp()
            slope = upstream[:, :, start:end]
            slopes = widened(slope @ v[:, :, :keys].mT) - own[:, :, start:end]
            scores_slope = (weights * slopes * q.shape[3] ** -0.5).to(q.dtype)  # (batch, heads, queries, keys)
            to_q.append(scores_slope @ k[:, :, :keys])
            to_k.append(scores_slope.mT @ q[:, :, start:end])
            to_v.append(weights.to(v.dtype).mT @ slope)
        edges = [0, *(keys for _, _, keys in blocks)] if later is not None else [0, k.shape[2]]
        return torch.cat(to_q, 2), _summed(to_k, edges), _summed(to_v, edges), None, None


def _blocks(time: int, keys: int, causal: bool) -> Iterator[tuple[int, int, int]]:
    """First query, end of the queries, and number of keys they meet, of every block."""
    queries = max(FEWEST_QUERIES, -(-time // MOST_BLOCKS))
    for start in range(0, time, queries):
        end = min(time, start + queries)
        yield start, end, end if causal else keys


def _scores(q: Tensor, k: Tensor, later: Tensor | None, bias: Tensor | None, start: int, end: int, keys: int) -> Tensor:
    """The scores of a block, (batch, heads, queries, keys)."""
    scores: Tensor = widened(q[:, :, start:end] @ k[:, :, :keys].mT) * q.shape[3] ** -0.5
    if later is not None:
        return scores + hidden_from(later, start, end)
    return scores if bias is None else scores + bias[:, :, start:end]


def _summed(parts: list[Tensor], edges: list[int]) -> Tensor:
    """The sum of gradients, each of the first keys, (batch, heads, keys, head_dim): a stretch at a time."""
    stretches = []
    for start, end in pairwise(edges):
        met = [widened(part[:, :, start:end]) for part in parts if part.shape[2] > start]
        stretches.append(sum(met[1:], met[0]).to(parts[0].dtype))
    return torch.cat(stretches, 2)
