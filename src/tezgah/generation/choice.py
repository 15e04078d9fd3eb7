"""The choice of every row's next id from the logits, and what it means for the row."""

import math
from collections.abc import Iterator, Sequence
from time import monotonic

import torch
from torch import Tensor

from tezgah.generation.rows import Decoding, Row
from tezgah.generation.sampling import Said, sample
from tezgah.generation.scores import logprobs_of
from tezgah.nn.modes import little_work


def chosen(active: Sequence[Row], logits: Tensor, read: Sequence[Sequence[int]], decoding: Decoding) -> Iterator[Row]:
    """Every row after each id that is chosen for it: as long as what it read is what is chosen, and one more."""
    going = list(range(len(active)))
    for place in range(logits.shape[1]):
        rows = [active[index] for index in going]
        # Rows that are picked are copied, which torch shares out among threads (modes.py).
        _choose(rows, logits[:, place] if len(going) == len(active) else logits[going, place], decoding)
        yield from rows
        going = [
            index
            for index in going
            if not active[index].reason and read[index][place : place + 1] == active[index].new_ids[-1:]
        ]
        if not going:
            return


def _choose(active: Sequence[Row], logits: Tensor, decoding: Decoding) -> None:
    """Add to every row its next id, or the reason why it has ended."""
    scores = logits[:, : decoding.vocab_size]  # (active, vocab_size)
    if active[0].guide:  # then all have one
        allowed = torch.stack([row.guide.allowed() for row in active if row.guide])  # (active, vocab_size)
        scores = scores.masked_fill(~allowed.to(scores.device), -math.inf)
    seeds = [decoding.sampling.seed if row.wanted.seed is None else row.wanted.seed for row in active]
    names, positions = [row.wanted.row for row in active], [len(row.new_ids) for row in active]
    said = [Said(row.wanted.prompt, row.new_ids) for row in active]
    guesses = [row.guesses.pop(0) if row.guesses else None for row in active]
    top = decoding.top_logprobs
    with little_work(scores):
        ids = sample(scores, decoding.sampling, names, positions, said, guesses, seeds).tolist()
        found = None if top is None else logprobs_of(logits, ids, scores.shape[1], top)
    now = monotonic()
    for index, (row, new_id, guess) in enumerate(zip(active, ids, guesses, strict=True)):
        if guess is not None:
            row.guessed += 1
            row.accepted += guess.id == new_id
            row.guesses = row.guesses if guess.id == new_id else []
        if new_id == decoding.separator_id:
            row.reason = "end"
            continue
        row.new_ids.append(new_id)
        if row.guide:
            row.guide.add(new_id)
        if found is not None:
            row.logprobs.append(found[index])
        row.reason = row.ending.add(new_id) if row.ending else None
        if row.reason is None and len(row.new_ids) == row.wanted.max_new_tokens:
            row.reason = "length"
        if row.reason is None and decoding.max_seconds is not None and now - row.began >= decoding.max_seconds:
            row.reason = "time"
