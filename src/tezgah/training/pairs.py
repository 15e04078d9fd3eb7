"""A start from counts: embedding and head learn which token follows which before the first step.

A fresh model's blocks add nothing yet, so the model is embedding, norm and head: a bigram model of low rank. What
that can learn lies in the counts of neighbouring tokens, and is had from them at once instead of a batch at a time.
The pointwise mutual information of all pairs is factorized (Levy and Goldberg 2014, "Neural word embedding as
implicit matrix factorization"); a few steps of Adam on the cross-entropy of all pairs together then end what the
factorization, which is least squares, began. The blocks are left to learn what pairs do not tell.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tezgah.models.causal import CausalLM
from tezgah.seeds import named_seed
from tezgah.tokens.pairs import Pairs
from tezgah.training.place import Place

DISCOUNT = 0.75  # taken off every count and given to the pairs that were not seen (Ney, Essen and Kneser 1994)
COVERED = 0.9  # of all tokens have embeddings that the norm leaves as long as they are; longer ones are shortened
STEPS, BETAS = 5, (0.8, 0.95)  # of Adam
EMBEDDING_RATE, HEAD_RATE = 0.1, 0.02  # they fall to 0
ROWS = 16_384  # the most frequent tokens, which Adam looks at; the others keep what the factorization gave
CHUNK = 1_024  # rows of probabilities, (rows, vocab), that are held at once

Array = NDArray[np.float64]


@torch.no_grad()
def start_from_pairs(model: CausalLM, pairs: Pairs, place: Place, seed: int) -> None:
    """Set embedding and head of a fresh `model` by the counts of `pairs`: a function of them and `seed`.

    Raises ValueError where there is no such head: one table for both cannot say that pairs have an order.
    """
    if model.head is None or model.positions is not None:
        raise ValueError("a start from pairs needs a head of its own and no learned positions")
    tokens = pairs.totals / pairs.totals.sum()  # (vocab,)
    successors, information = information_of(pairs)
    left, right = factors(pairs, information, tokens, successors, model.config.width - 2, seed)
    embedding, head = _through_the_norm(left, right, tokens, successors)
    weights = model.embedding.weight, model.head.weight
    for weight, values in zip(weights, (embedding, head), strict=True):
        weight.copy_(values)
    _fit(*weights, pairs, place)


def information_of(pairs: Pairs) -> tuple[Array, Array]:
    """How likely each token follows any, (vocab,), and by how much more likely, as a logarithm, in each pair, (pairs,).

    Shares are smoothed by absolute discounting; all pairs that were not seen then have a value of 0.
    """
    size, totals = pairs.vocab_size, np.maximum(pairs.totals, 1)
    followed = np.bincount(pairs.second, weights=pairs.counts, minlength=size) + 1e-3
    kinds = np.bincount(pairs.second, minlength=size) + 0.1  # of tokens that each one follows
    successors = 0.5 * followed / followed.sum() + 0.5 * kinds / kinds.sum()
    given = DISCOUNT * np.bincount(pairs.first, minlength=size) / totals  # to the pairs of each token not seen
    unseen = given[pairs.first] * successors[pairs.second]
    seen = np.maximum(pairs.counts - DISCOUNT, 0) / totals[pairs.first]
    return successors, np.log1p(seen / unseen)


def factors(
    pairs: Pairs, information: Array, tokens: Array, successors: Array, rank: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Factors of the information, each (vocab, rank), by a randomized decomposition (Halko et al. 2011, algorithm 4.4).

    What is frequent counts more: rows by the root of their share, columns by its fourth root.
    """
    size = pairs.vocab_size
    rows, columns = torch.from_numpy((tokens + 1e-7) ** 0.5).float(), torch.from_numpy(successors**0.25).float()
    first, second = torch.from_numpy(pairs.first), torch.from_numpy(pairs.second)
    values = torch.from_numpy(information).float() * rows[first] * columns[second]
    matrix = torch.sparse_coo_tensor(torch.stack([first, second]), values, (size, size), check_invariants=False)
    with warnings.catch_warnings(action="ignore"):  # torch calls its compressed rows a beta
        matrix, turned = (each.coalesce().to_sparse_csr() for each in (matrix, matrix.t()))
    generator = torch.Generator().manual_seed(named_seed(seed, "pairs"))
    base = torch.linalg.qr(matrix @ torch.randn(size, min(rank, size), generator=generator))[0]
    for each in (turned, matrix):
        base = torch.linalg.qr(each @ base)[0]  # (vocab, rank)
    u, strengths, v = torch.linalg.svd((turned @ base).T, full_matrices=False)
    spread = torch.linalg.qr(torch.randn(len(strengths), len(strengths), generator=generator))[0]
    left = (base @ u) * strengths.sqrt() / rows[:, None] @ spread  # over all dimensions alike
    right = v.T * strengths.sqrt() / columns[:, None] @ spread
    return tuple(F.pad(each, (0, rank - len(strengths))) for each in (left, right))  # type: ignore[return-value]


def _through_the_norm(left: Tensor, right: Tensor, tokens: Array, successors: Array) -> tuple[Tensor, Tensor]:
    """Embedding and head, (vocab, width), whose product is that of the factors though a norm stands between them.

    One dimension more is constant, and carries how likely a token is by itself; another fills embeddings up to one
    length, which the norm leaves alone.
    """
    limit = usual_length(left, tokens)
    room = math.sqrt(left.shape[1] + 1)  # the norm's length is √width, and the constant takes 1 of its square
    scaled = left * (room / limit)
    scaled *= (room / scaled.norm(dim=1, keepdim=True)).clamp(max=1.0)
    filling = (room**2 - scaled.square().sum(1, keepdim=True)).clamp(min=0.0).sqrt()
    likely = torch.from_numpy(np.log(successors) - np.log(successors).mean()).float()[:, None]
    embedding = torch.cat([scaled, torch.ones_like(filling), filling], dim=1)
    return embedding, torch.cat([right * (limit / room), likely, torch.zeros_like(likely)], dim=1)


def usual_length(rows: Tensor, tokens: Array) -> Tensor:
    """The length that COVERED of all tokens' `rows`, (vocab, rank), do not exceed; `tokens` are their shares."""
    lengths = rows.norm(dim=1)
    order = lengths.argsort()
    covered = torch.from_numpy(tokens).float()[order].cumsum(0) < COVERED
    longest: Tensor = lengths[order][min(int(covered.sum()), len(order) - 1)]
    return longest


def _fit(embedding: Tensor, head: Tensor, pairs: Pairs, place: Place) -> None:
    """A few steps of Adam down the mean cross-entropy of all pairs, with RMSNorm between embedding and head."""
    optimizer = torch.optim.Adam(
        [{"params": [embedding], "peak": EMBEDDING_RATE}, {"params": [head], "peak": HEAD_RATE}], betas=BETAS, eps=1e-12
    )
    chunks = list(_chunks(pairs, embedding.device))
    dtype = torch.bfloat16 if place.matrix_dtype == torch.bfloat16 else torch.float32  # fp16 loses small shares
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * (1 - step / STEPS)
        with torch.enable_grad():
            normed = F.rms_norm(embedding, embedding.shape[1:])
        slope, head.grad = _slopes(normed.detach(), head, chunks, dtype)
        (embedding.grad,) = torch.autograd.grad(normed, embedding, slope)
        optimizer.step()
    embedding.grad = head.grad = None


@dataclass(frozen=True)
class Chunk:
    """Some rows of the matrix of all pairs: which tokens, their share of all, and where their pairs' shares lie."""

    tokens: Tensor  # (rows,)
    shares: Tensor  # (rows, 1)
    places: Tensor  # of the pairs in (rows, vocab), flat, each once
    pair_shares: Tensor


def _chunks(pairs: Pairs, device: torch.device) -> Iterator[Chunk]:
    """The most frequent tokens' rows, those of like frequency together."""
    totals, everything = pairs.totals, pairs.counts.sum()
    order = np.argsort(-totals, kind="stable")[:ROWS]
    ends = np.cumsum(np.bincount(pairs.first, minlength=pairs.vocab_size))  # of each token's pairs
    for start in range(0, len(order), CHUNK):
        tokens = order[start : start + CHUNK]
        here = [np.arange(ends[token - 1] if token else 0, ends[token]) for token in tokens]
        own = np.concatenate(here)
        rows = np.repeat(np.arange(len(tokens)), [len(each) for each in here])
        yield Chunk(
            torch.from_numpy(tokens).to(device),
            torch.from_numpy(totals[tokens] / everything).float().to(device)[:, None],
            torch.from_numpy(rows * pairs.vocab_size + pairs.second[own]).to(device),
            torch.from_numpy(pairs.counts[own] / everything).float().to(device),
        )


def _slopes(normed: Tensor, head: Tensor, chunks: list[Chunk], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The gradients of the mean cross-entropy: by the normed embeddings and by the head, each (vocab, width)."""
    of_normed, of_head = torch.zeros_like(normed), torch.zeros_like(head)
    low = head.to(dtype)
    for chunk in chunks:
        x = normed[chunk.tokens].to(dtype)  # (rows, width)
        slope = torch.softmax((x @ low.T).float(), dim=-1) * chunk.shares  # (rows, vocab)
        slope.view(-1)[chunk.places] -= chunk.pair_shares
        of_normed[chunk.tokens] = (slope.to(dtype) @ low).float()
        of_head += (slope.to(dtype).T @ x).float()
    return of_normed, of_head
