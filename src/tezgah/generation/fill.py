"""Text with masks in it, filled: candidates with scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch

from tezgah.errors import InputError
from tezgah.generation.kinds import check_masked
from tezgah.generation.masked_scores import SCORES_AT_ONCE
from tezgah.generation.masked_text import Codec, MaskedText, read_masked
from tezgah.generation.orders import Filler, Order, Row
from tezgah.generation.sampling import GREEDY, Sampling
from tezgah.generation.too_long import told_share
from tezgah.nn.modes import evaluating
from tezgah.tokenizer.mask import special_ids

if TYPE_CHECKING:
    from tezgah.models.encoder import Encoder
    from tezgah.tokenizer.tokenizer import Tokenizer

LONGEST_OPEN = 8  # tokens that [MASK*] stands for, at most


@dataclass(frozen=True)
class Filled:
    """A candidate: the whole text, what each blank became, in text and in ids, and how likely the model held it.

    `score` is the geometric mean of the probabilities of the chosen tokens, each when it was chosen: of one mask the
    token's probability.
    """

    text: str
    fills: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    score: float


def fill(
    model: "Encoder",
    tokenizer: "Tokenizer",
    text: str,
    n: int = 5,
    order: Order = "certain",
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 1,
    sweeps: int = 10,
) -> list[Filled]:
    """`n` ways to fill the masks of a text, as `fill_texts` finds them."""
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    return fill_texts(model, tokenizer, [text], n, order, sampling, sweeps)[0]


def fill_texts(
    model: "Encoder",
    tokenizer: "Tokenizer",
    texts: Sequence[str],
    n: int = 5,
    order: Order = "certain",
    sampling: Sampling = GREEDY,
    sweeps: int = 10,
) -> list[list[Filled]]:
    """`n` ways to fill the masks of each text; outside of them every text comes back as it was.

    `[MASK]` is one token, `[MASK:3]` three, `[MASK*]` as many of 1 to 8 as give the highest score; `order` and `sweeps`
    are those of `orders.py`. Without a temperature candidates part at the first choice, the most likely first, and
    equal ones are one; with it candidate i hangs on (seed, i) and the text alone. A special token is never filled in.
    Raises InputError for a model without a masked-LM head, a tokenizer or a text without [MASK], and for a text that
    is longer than the context.
    """
    check_masked(model, "tezgah.fill")
    if order not in get_args(Order):
        raise InputError(f"order is {order!r}; give one of {', '.join(get_args(Order))}.")
    if n < 1 or sweeps < 1:
        raise InputError(f"n is {n} and sweeps are {sweeps}; give 1 or more of both.")
    codec = Codec(tokenizer)
    banned = torch.ones(model.config.vocab_size, dtype=torch.bool)
    special = torch.from_numpy(special_ids(tokenizer))[: len(banned)]
    banned[: len(special)] = special
    filler = Filler(model, codec.mask.id, codec.mask.id, banned, order, sweeps, sampling)
    prompts = [_Prompt(read_masked(text), codec, model.config.context_length) for text in texts]
    _check_room(prompts, model.config.context_length)
    with evaluating(model):
        _find_lengths(prompts, filler)
        return _filled(prompts, filler, n)


class _Prompt:
    """A text to fill, and how long its blanks are; one that is to be found has one token until it is."""

    def __init__(self, masked: MaskedText, codec: Codec, context_length: int) -> None:
        self.masked, self.codec = masked, codec
        self.pieces = codec.pieces(masked)
        self.lengths = [length or 1 for length in masked.lengths]
        around, _ = codec.joined(self.pieces, [0] * len(self.lengths))
        self.masks = sum(self.lengths)  # any number: they are not written out before there is room for them
        self.tokens = len(around) + self.masks
        self.room = context_length - self.tokens  # below 0 where they do not fit

    def row(self) -> Row:
        """The text as a model reads it."""
        return Row(*self.codec.joined(self.pieces, self.lengths))

    def filled(self, row: Row) -> Filled:
        """The text that a filled row stands for."""
        chosen = iter([row.ids[place] for place in row.places])
        blanks = [[next(chosen) for _ in range(length)] for length in self.lengths]
        text, fills = self.codec.filled(self.masked, blanks)
        return Filled(text, fills, tuple(map(tuple, blanks)), math.exp(row.score))


def check_prompts(tokenizer: "Tokenizer", texts: Sequence[str], context_length: int) -> None:
    """Raise InputError where `fill_texts` would, for a model that sees `context_length` tokens at once."""
    codec = Codec(tokenizer)
    _check_room([_Prompt(read_masked(text), codec, context_length) for text in texts], context_length)


def _check_room(prompts: Sequence[_Prompt], context_length: int) -> None:
    """Refuse texts that are longer than the context: a text is not cut, it comes back whole."""
    long = [prompt for prompt in prompts if prompt.room < 0]
    if not long:
        return
    first = long[0]
    size = f"{first.masks:,} masks" if first.masks > context_length else f"{first.tokens:,} tokens"
    raise InputError(
        f"{told_share(len(long), len(prompts))} {size}, the model sees {context_length:,} at once, and none is cut. "
        "Give a shorter one, or fewer masks."
    )


def _find_lengths(prompts: Sequence[_Prompt], filler: Filler) -> None:
    """Set each length that is to be found, from the left, the others as they are so far."""
    greedy = Filler(filler.model, filler.mask_id, filler.pad_id, filler.banned, filler.order, filler.sweeps)
    for blank in range(max((len(prompt.lengths) for prompt in prompts), default=0)):
        for prompt in prompts:
            if blank < len(prompt.lengths) and prompt.masked.lengths[blank] is None:
                rows = []
                for length in range(1, 1 + min(LONGEST_OPEN, 1 + prompt.room)):
                    prompt.lengths[blank] = length
                    rows.append(prompt.row())
                scores = [candidates[0].score for candidates in greedy.fill(rows, 1)]
                prompt.lengths[blank] = 1 + scores.index(max(scores))
                prompt.room -= prompt.lengths[blank] - 1


def _filled(prompts: Sequence[_Prompt], filler: Filler, n: int) -> list[list[Filled]]:
    """The candidates of every text, so many texts at once as memory holds the scores of."""
    most = max((sum(prompt.lengths) for prompt in prompts), default=1) * n * len(filler.banned)
    size, found = max(1, SCORES_AT_ONCE // most), list[list[Filled]]()
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        for prompt, candidates in zip(part, filler.fill([prompt.row() for prompt in part], n), strict=True):
            if filler.sampling.temperature == 0:
                candidates = sorted({tuple(row.ids): row for row in candidates}.values(), key=lambda row: -row.score)
            found.append([prompt.filled(row) for row in candidates])
    return found
