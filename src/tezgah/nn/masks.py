"""Who may look where, and where a token stands in its own text: masks as 0/1 tensors, true where looking is allowed."""

import torch
from torch import Tensor


def text_positions(padding: Tensor) -> Tensor:
    """The position of every token in its row, counted from the row's first one; 0 in padding before it.

    `padding`, (batch, time), is 0 at padding, on either side; what is 0 between tokens is not counted either.

    >>> text_positions(torch.tensor([[0, 0, 1, 1, 1]])).tolist()
    [[0, 0, 0, 1, 2]]
    """
    return (padding.long().cumsum(-1) - 1).clamp_min(0)


def ragged_pattern(positions: Tensor, keys: int) -> Tensor:
    """Which of `keys` keys the tokens at `positions`, (rows, time), see: those not behind them, (rows, time, keys).

    >>> ragged_pattern(torch.tensor([[1], [0]]), keys=2).int().tolist()
    [[[1, 1]], [[1, 0]]]
    """
    return torch.arange(keys, device=positions.device) <= positions[:, :, None]


def packed_documents(documents: Tensor) -> tuple[Tensor, Tensor]:
    """For rows of several documents: who may look where, (batch, time, time), and positions, (batch, time).

    `documents`, (batch, time), numbers the document of every token; one's tokens lie together.
    A token looks at its own document only, and its position is counted from that one's first token.

    >>> pattern, positions = packed_documents(torch.tensor([[1, 1, 2]]))
    >>> pattern.int().tolist(), positions.tolist()
    ([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], [[0, 1, 0]])
    """
    place = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    first = torch.where(begins, place, 0).cummax(-1).values  # (batch, time) where its document begins
    return first[:, :, None] == first[:, None, :], place - first


def attention_pattern(
    start: int, time: int, causal: bool, allowed: Tensor | None, device: torch.device, reach: int | None = None
) -> Tensor | None:
    """Where each of `time` queries after `start` cached positions may look, (batch or 1, 1, time, keys).

    `allowed` is None, or 0 at padding, (batch, keys), or any pattern, (batch, time, keys); of a causal stack its
    queries look at no later key all the same. With a `reach` they look at keys at most so many places away. None is
    the plain case: everything, or everything before, as of a single query.

    >>> attention_pattern(0, 4, False, None, torch.device("cpu"), reach=1)[0, 0].int().tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    """
    if allowed is None and reach is None and (start == 0 or time == 1 or not causal):
        return None
    pattern = torch.ones(1, time, start + time, dtype=torch.bool, device=device)
    if causal:
        pattern = pattern.tril(start)
    if reach is not None:
        pattern = pattern.triu(start - reach).tril(start + reach)
    if allowed is not None:
        pattern = pattern & (allowed.bool() if allowed.ndim == 3 else allowed.bool()[:, None, :])
    return pattern[:, None]
