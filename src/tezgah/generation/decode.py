"""Ids out of a model, over a key/value cache: one prefill of the prompt, then all rows a token at a time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tezgah import console
from tezgah.errors import InputError
from tezgah.generation.sampling import Sampling, sample
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.nn.cache import KVCache


def generate_ids(
    model: "CausalLM",
    prompt: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling,
    rows: Sequence[int] = range(1),
    separator_id: int | None = None,
    is_finished: Callable[[list[int]], bool] | None = None,
    vocab_size: int | None = None,
) -> list[list[int]]:
    """The new ids of each of `rows`, in their order, without the prompt and without the separator.

    A row is the name of a random stream: range(25, 50) gives the second half of what range(50)
    gives. A row ends at `separator_id`, when `is_finished` says so of its new ids, or after
    `max_new_tokens`; rows that have ended leave the batch. With a `vocab_size` only ids below it
    are chosen: a model may have more ids than its tokenizer, to fill a round number.
    """
    _check(model, prompt, max_new_tokens)
    completions: list[list[int]] = [[] for _ in rows]
    with evaluating(model):
        batch = _Batch(model, prompt, len(rows), max_new_tokens)
        active = list(range(len(rows)))  # places in `rows` that have not ended
        for position in range(max_new_tokens):
            logits = batch.logits[:, :vocab_size]  # (active, vocab_size)
            ids = sample(logits, sampling, [rows[place] for place in active], position)  # (active,)
            going = []  # indices into `active`
            for index, (place, new_id) in enumerate(zip(active, ids.tolist(), strict=True)):
                if new_id == separator_id:
                    continue
                completions[place].append(new_id)
                if is_finished is None or not is_finished(completions[place]):
                    going.append(index)
            if not going or position + 1 == max_new_tokens:
                break
            if len(going) < len(active):
                batch.keep(going)
                active = [active[index] for index in going]
            batch.append([completions[place][-1] for place in active])
    return completions


class _Batch:
    """Rows that share a prompt, their cache, and the logits of what comes next, (rows, vocab_size).

    When the cache is full it is made anew from the later half of the context, so that a new
    token sees at least half a context of text and half a context passes between two refills.
    """

    def __init__(self, model: "CausalLM", prompt: Sequence[int], n_rows: int, max_new_tokens: int) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.context_length = model.config.context_length
        # Room for all that will be fed: the last new token is not.
        self.room = min(len(prompt) + max_new_tokens - 1, self.context_length)
        window = list(prompt[-self.context_length :])
        self.windows = [list(window) for _ in range(n_rows)]  # what the cache holds, and what slides
        self.cache, logits = self._fill([window])
        first = torch.zeros(n_rows, dtype=torch.long, device=self.device)
        self.cache.keep_rows(first)
        self.logits = logits[first]  # (n_rows, vocab_size)

    def append(self, ids: list[int]) -> None:
        """Give every row its next token."""
        for window, new_id in zip(self.windows, ids, strict=True):
            window.append(new_id)
        if self.cache.length < self.context_length:
            self.logits = self.model.next_logits(self._tensor([[new_id] for new_id in ids]), self.cache)
        else:
            half = max(1, self.context_length // 2)
            self.windows = [window[-half:] for window in self.windows]
            self.cache, self.logits = self._fill(self.windows)

    def keep(self, indices: list[int]) -> None:
        """Let the other rows go."""
        self.windows = [self.windows[index] for index in indices]
        self.cache.keep_rows(torch.tensor(indices, device=self.device))

    def _fill(self, windows: list[list[int]]) -> "tuple[KVCache, Tensor]":
        """A new cache that holds `windows`, and the logits after them, (rows, vocab_size)."""
        cache = self.model.new_cache(len(windows), self.room)
        return cache, self.model.next_logits(self._tensor(windows), cache)

    def _tensor(self, ids: list[list[int]]) -> Tensor:
        return torch.tensor(ids, device=self.device)


def _check(model: "CausalLM", prompt: Sequence[int], max_new_tokens: int) -> None:
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens is {max_new_tokens}; give 1 or more.")
    if len(prompt) < 1:
        raise InputError("the prompt has no tokens; start from the separator.")
    if max(prompt) >= model.config.vocab_size:
        raise InputError(
            f"the prompt has the id {max(prompt):,}, the model ids below {model.config.vocab_size:,}. "
            "Give the tokenizer that the model was trained with."
        )
    if len(prompt) > model.config.context_length:
        console.warn(
            f"the prompt has {len(prompt):,} tokens, the model sees {model.config.context_length:,} at once: "
            "only the last of them are read."
        )
