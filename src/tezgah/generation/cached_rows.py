"""Rows of text and the cache of what the model has computed for them: the one place where a token step happens."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tezgah.errors import InputError
from tezgah.generation.cpu.packing import can_pack, lay_out
from tezgah.generation.cpu.tokens import CompiledStep
from tezgah.nn.cache import KVCache
from tezgah.nn.precision import multiplies_bf16_faster, widened

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM

Prompt = Sequence[int]
COMPILED_ROWS = 32  # beyond it torch's products are faster, but for bfloat16's where the hardware has none
READ_TOKENS = 8_192  # at most in one pass over prompts: the activations of more would be as large as a model


class CachedRows:
    """Up to `most` rows of ids, each of its own length, and the logits of what follows each.

    When a row fills the context it is read anew from the later half of it, so that a new token sees at least half
    a context of text and half a context passes between two readings. `room` is the length that no row will pass.
    On a CPU few rows take their steps in compiled code, with `int8` from weights of 8 bits.
    """

    def __init__(self, model: "CausalLM", most: int, room: int, int8: bool = False) -> None:
        self.model = model
        weight = next(model.parameters())
        self.device = weight.device
        self.context_length = model.config.context_length
        self.windows: list[list[int]] = []  # what the cache holds of each row
        self._read_ids: list[int] = []  # how many of them were read: those that steps add may differ by rounding
        self.cache = model.new_cache(most, min(room, self.context_length))
        self._int8, self._is_compiled = int8, _is_compiled(model, self.cache, int8)
        are_slow = weight.dtype == torch.bfloat16 and not multiplies_bf16_faster(weight.device.type)  # torch's products
        self._most = most if int8 or are_slow else min(most, COMPILED_ROWS)
        if self._is_compiled:
            lay_out(model)

    def fill(self, prompts: Sequence[Prompt]) -> Tensor:
        """Begin with these prompts, each read once however often it is there; logits (rows, vocab).

        A prompt has one id or more, and at most a context of them.
        """
        # Rows that come later begin with a step (`replace`): with rounded weights the first ones must, too.
        begun = [tuple(prompt[: len(prompt) - self._int8]) for prompt in prompts]
        distinct = sorted(dict.fromkeys(begun), key=len)
        self.windows, self._read_ids = [[] for _ in distinct], [0] * len(distinct)
        self.cache.lengths = torch.zeros(len(distinct), dtype=torch.long)
        first = sum(not text for text in distinct)  # rows of nothing to read
        logits = self._read(range(first, len(distinct)), distinct[first:]) if first < len(distinct) else None
        places = {prompt: place for place, prompt in enumerate(distinct)}
        order = [places[prompt] for prompt in begun]
        self.keep(order)
        if self._int8 or logits is None:
            return self.step([prompt[-1] for prompt in prompts])
        return logits[torch.tensor(order, device=self.device)]

    def step(self, ids: Sequence[int]) -> Tensor:
        """Give every row its next token; logits (rows, vocab)."""
        self._slide()
        for window, new_id in zip(self.windows, ids, strict=True):
            window.append(new_id)
        if self._is_compiled and len(ids) <= self._most:
            return self._compiled_step(ids, self.cache)
        return self.model.next_logits(torch.tensor(ids, device=self.device)[:, None], self.cache)

    @cached_property
    def _compiled_step(self) -> CompiledStep:
        """Made when the first step is due: rounding weights takes time, and the first token needs none of it."""
        return CompiledStep(self.model, self._most, self.cache.capacity, self._int8)

    def extend(self, texts: Sequence[Prompt]) -> Tensor:
        """Give every row as many ids as the others; logits after each, (rows, time, vocab). There must be `space`."""
        for window, text in zip(self.windows, texts, strict=True):
            window.extend(text)
        return widened(self.model(torch.tensor(texts, device=self.device), cache=self.cache))

    def cut(self, counts: Sequence[int]) -> None:
        """Take back so many of each row's last ids."""
        self.windows = [window[: len(window) - count] for window, count in zip(self.windows, counts, strict=True)]
        self._read_ids = [min(read, len(window)) for read, window in zip(self._read_ids, self.windows, strict=True)]
        self.cache.lengths -= torch.tensor(counts)

    @property
    def space(self) -> int:
        """How many ids every row has room for as it is."""
        return self.cache.capacity - max(map(len, self.windows))

    def keep(self, rows: Sequence[int]) -> None:
        """Let these rows be all, in this order; a row may be named several times."""
        self.windows = [list(self.windows[row]) for row in rows]
        self._read_ids = [self._read_ids[row] for row in rows]
        self.cache.keep_rows(rows)

    def replace(self, row: int, prompt: Prompt) -> None:
        """Begin anew in a row, with a prompt that may be empty; its logits come with the next step.

        What another row, or this one, has read of the prompt's beginning is taken from there and not read again.
        """
        shared = [_shared(held[:read], prompt) for held, read in zip(self.windows, self._read_ids, strict=True)]
        other = max(range(len(shared)), key=lambda each: (shared[each], each == row))
        start = shared[other]
        self.cache.copy_start(row, other, start)
        self.windows[row], self._read_ids[row] = list(prompt[:start]), start
        if start < len(prompt):
            self._read([row], [prompt[start:]])

    def _slide(self) -> None:
        """Make room in the rows that fill the context."""
        full = [row for row, window in enumerate(self.windows) if len(window) == self.context_length]
        if not full:
            return
        half = max(1, self.context_length // 2) - 1  # and the new token
        texts = [self.windows[row][self.context_length - half :] for row in full]
        for row in full:
            self.windows[row], self._read_ids[row] = [], 0
        self.cache.lengths[full] = 0
        if half:
            self._read(full, texts)

    def _read(self, rows: Sequence[int], texts: Sequence[Prompt]) -> Tensor:
        """Add texts to rows that stand in rising order; logits after each, (rows, vocab)."""
        logits = []
        for group in _groups(rows, [len(text) for text in texts]):
            first, last = rows[group.start], rows[group.stop - 1] + 1
            longest = max(len(texts[index]) for index in group)
            ids = torch.zeros(len(group), longest, dtype=torch.long)
            for place, index in enumerate(group):
                ids[place, : len(texts[index])] = torch.tensor(texts[index])
                self.windows[rows[index]].extend(texts[index])
                self._read_ids[rows[index]] = len(self.windows[rows[index]])
            counts = torch.tensor([len(texts[index]) for index in group])
            logits.append(self.model.next_logits(ids.to(self.device), self.cache.part(first, last), counts))
        return torch.cat(logits)


def _is_compiled(model: "CausalLM", cache: KVCache, int8: bool) -> bool:
    """Whether there is a compiled step for the model and the cache. Raises InputError where `int8` needs one."""
    known = can_pack(model) and cache.keys.dtype in (torch.float32, torch.bfloat16)
    if int8 and not known:
        raise InputError(
            "int8: weights of 8 bits are for float32 and bfloat16 models on a CPU that normalize what goes into a "
            f"block, with widths that are multiples of 16; this {model.config.family} is not one. Leave int8 out."
        )
    return known


def _groups(rows: Sequence[int], lengths: Sequence[int]) -> Iterator[range]:
    """Indices of neighbouring rows that are read in one pass, padded to the longest of them.

    >>> list(_groups([0, 1, 3], [5, 6, 6]))
    [range(0, 2), range(2, 3)]
    """
    start = 0
    for index in range(1, len(rows) + 1):
        apart = index == len(rows) or rows[index] != rows[index - 1] + 1
        if apart or max(lengths[start : index + 1]) * (index + 1 - start) > READ_TOKENS:
            yield range(start, index)
            start = index


def _shared(held: Prompt, wanted: Prompt) -> int:
    """How many ids two texts begin with in common.

    >>> _shared([1, 2, 3], [1, 2, 4, 5])
    2
    """
    length = min(len(held), len(wanted))
    return next((place for place in range(length) if held[place] != wanted[place]), length)
