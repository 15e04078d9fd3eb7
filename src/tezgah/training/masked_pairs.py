"""A start from counts for a model that fills masks: a masked token is guessed from its two neighbours.

As `pairs.py`, with what an encoder has. Its embedding is its head, so a token's row holds both factors of the pairs'
information (Levy and Goldberg 2014): of what follows the token, and of what it follows. The heads of the first block
look at the place before and the place after. At a mask their sum is what speaks for an id that both neighbours
suggest, and the product of two bigram models (Hinton 2002, "Products of experts") is the first guess. All other blocks
add nothing yet, and are left to learn what neighbours do not tell.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tezgah.models.encoder import Encoder
from tezgah.nn.attention import Attention
from tezgah.nn.config import Rope
from tezgah.nn.positions import rotary_table
from tezgah.tokens.pairs import Pairs
from tezgah.training.pairs import factors, information_of, usual_length

CONSTANT, FILLING, FACTORS = 0, 1, 2  # of a row: a number for all alike, one up to a common length, two factors
CONSTANT_LENGTH = 6.0  # in a factor's typical number: queries and keys are made of it, and nothing else
MARGIN = 5.4  # by how much the neighbour's score is above the next place's: the softmax gives it 0.99
LINEAR = 0.2  # what enters the head's activation, small: there it is nearly linear


class _Rows(NamedTuple):
    """The rows of a table, (vocab, width), the rank of each factor, and a row's typical numbers."""

    values: Tensor
    rank: int
    constant: float  # what the norm makes of a row's constant
    factor: float  # a factor's number, in `values`


@torch.no_grad()
def start_from_neighbours(model: Encoder, pairs: Pairs, mask_id: int, seed: int) -> None:
    """Set embedding, head and the first block's attention of a fresh `model` by counts: a function of them and `seed`.

    Raises ValueError for a model whose first block does not look from rotary positions, right at the embedding's norm.
    """
    stack = model.config.stack
    if model.masked_head is None or stack.rope is None or stack.first_norm:
        raise ValueError("a start from neighbours needs a masked-LM head, rotary positions, and no norm before block 0")
    rows = _rows(pairs, mask_id, model.config.width, max(1, stack.n_heads // 2) * stack.head_dim, seed)
    for table in {model.embedding.weight, model.head_weight()}:
        table.copy_(rows.values * rows.factor)
    rope = stack.local.rope if stack.local is not None and 0 in stack.local.layers else stack.rope
    _look_beside(model.stack.blocks[0].attention, rows, rope)  # type: ignore[arg-type]
    layer = model.masked_head.layer.weight  # (width, width)
    layer.zero_()
    of_factors = torch.arange(FACTORS, FACTORS + 2 * rows.rank)
    layer[of_factors, of_factors] = LINEAR
    if model.masked_head.bias is not None:
        shares = torch.from_numpy(np.log(pairs.totals / pairs.totals.sum() + 1e-6)).float()
        model.masked_head.bias.copy_(shares - shares.mean())


def _rows(pairs: Pairs, mask_id: int, width: int, most: int, seed: int) -> _Rows:
    """The table: constant, filling, and the two factors of each token, of rank `most` at most."""
    tokens = pairs.totals / pairs.totals.sum()
    successors, known = information_of(pairs)
    rank = min((width - FACTORS) // 2, most)
    found = factors(pairs, known, tokens, successors, rank, seed)
    share = torch.from_numpy(tokens).float()
    balance = math.sqrt(float(found[0].norm(dim=1) @ share) / float(found[1].norm(dim=1) @ share))
    of_next, of_previous = (_shortened(each, tokens) for each in (found[0] / balance, found[1] * balance))
    typical = math.sqrt(float(of_next.square().sum(1) @ share) / rank)
    both = torch.cat([of_next, of_previous], 1)  # (vocab, 2 × rank)
    both[mask_id] = 0.0
    longest = math.sqrt(sum(float(each.norm(dim=1).max()) ** 2 for each in (of_next, of_previous)))
    values = torch.zeros(len(both), width)
    constant = CONSTANT_LENGTH * typical
    values[:, CONSTANT] = constant
    values[:, FILLING] = (longest**2 - both.square().sum(1)).clamp_min(0.0).sqrt()
    values[:, FACTORS : FACTORS + 2 * rank] = both
    length = math.sqrt(longest**2 + constant**2)  # of every row
    return _Rows(values, rank, constant * math.sqrt(width) / length, typical)


def _shortened(rows: Tensor, tokens: NDArray[np.float64]) -> Tensor:
    """The rows, (vocab, rank), none much longer than most."""
    lengths = rows.norm(dim=1, keepdim=True).clamp_min(1e-9)
    factor: Tensor = (usual_length(rows, tokens) / lengths).clamp(max=1.0)
    return rows * factor


def _look_beside(attention: Attention, rows: _Rows, rope: Rope) -> None:
    """Let the first half of the heads look one place to the left, the second one to the right, and carry a factor over.

    A single head looks to the left; of an odd number the last one keeps its weights. Queries and keys are the same for
    every token, so that a score depends on the distance alone: the sum over a head's pairs of cos(frequency ×
    (distance ∓ 1)), which is highest at the neighbour.
    """
    half, n_heads = attention.head_dim // 2, attention.query.out_features // attention.head_dim
    heads = max(1, n_heads // 2)  # that look to one side
    looking = min(n_heads, 2 * heads)
    frequency = torch.acos(rotary_table(attention.head_dim, 2, rope)[0][1])  # (half,)
    length = math.sqrt(MARGIN * math.sqrt(attention.head_dim) / float((1 - frequency.cos()).sum())) / rows.constant
    attention.query.weight[: looking * attention.head_dim] = 0.0
    attention.key.weight[: looking * attention.head_dim] = 0.0
    attention.output.weight.zero_()
    for head in range(looking):
        start, side = head * attention.head_dim, 1 if head < heads else -1
        attention.query.weight[start : start + half, CONSTANT] = length
        attention.key.weight[start : start + half, CONSTANT] = length * frequency.cos()
        attention.key.weight[start + half : start + 2 * half, CONSTANT] = length * side * frequency.sin()
        first = head % heads * attention.head_dim  # of the factor's numbers that this head carries
        carried = torch.arange(max(0, min(attention.head_dim, rows.rank - first)))
        of_next, of_previous = FACTORS + first + carried, FACTORS + rows.rank + first + carried
        seen, wanted = (of_next, of_previous) if side == 1 else (of_previous, of_next)
        attention.value.weight[start + carried] = 0.0
        attention.value.weight[start + carried, seen] = 1.0
        attention.output.weight[wanted, start + carried] = 1.0
