"""Ids out of a model: rows over a key-value cache, a token at a time, and new rows in the place of finished ones."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from tezgah import console
from tezgah.errors import InputError
from tezgah.generation.cached_rows import CachedRows
from tezgah.generation.draft import Draft
from tezgah.generation.guesses import Guess, Guesser
from tezgah.generation.lookup import Lookup
from tezgah.generation.sampling import GREEDY, Said, Sampling, sample
from tezgah.generation.scores import Logprobs, logprobs_of
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM

Reason = Literal["end", "stop", "block", "length", "time"]


class Wanted(NamedTuple):
    """A completion to make: the prompt's ids, how many new ones at most, and the name of its random stream.

    The stream is (seed, row); without a seed of its own it has that of `Decoding.sampling`.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    row: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class Decoding:
    """How completions are made and when they end.

    `most_rows` are decoded at once. A row ends at `separator_id`, or `max_seconds` after its prompt was taken up.
    Only ids below `vocab_size` are chosen: a model may have more ids than its tokenizer, to fill a round number.
    With `top_logprobs` the log-probabilities of every chosen token are kept, and of so many of the likeliest. Up to
    `lookup` ids are guessed ahead from the text (lookup.py), which changes no choice. `int8` rounds weights to 8 bits.
    """

    sampling: Sampling = GREEDY
    separator_id: int | None = None
    vocab_size: int | None = None
    max_seconds: float | None = None
    most_rows: int = 32
    top_logprobs: int | None = None
    lookup: int = 0
    int8: bool = False

    def __post_init__(self) -> None:
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"max_seconds is {self.max_seconds}; give a number above 0.")
        if self.most_rows < 1:
            raise InputError(f"the number of rows is {self.most_rows}; give 1 or more.")
        if self.top_logprobs is not None and self.top_logprobs < 0:
            raise InputError(f"logprobs is {self.top_logprobs}; give 0 (the chosen token alone) or more.")
        if self.lookup < 0:
            raise InputError(f"lookup is {self.lookup}; give 0 (off) or a number of tokens.")
        if self.lookup and self.int8:
            raise InputError("lookup reads guesses in full precision, int8 steps do not. Give one of the two.")


class Ending(Protocol):
    """Watches the ids of one row for where its text ends."""

    def add(self, new_id: int) -> Reason | None:
        """Why the row ends with this id; None where it goes on."""


class Guide(Protocol):
    """Says which ids one row may go on with."""

    def allowed(self) -> Tensor:
        """Whether each id may come next, (vocab_size,)."""

    def add(self, new_id: int) -> None:
        """Take the row's next id."""


@dataclass
class Row:
    """A completion as it is made: `place` among those wanted, and `reason` once it has ended.

    `guesses` are of its next ids, None of one that is chosen without a guess. Of its ids so far, `guessed` were
    guessed, and `accepted` of them rightly.
    """

    place: int
    wanted: Wanted
    ending: Ending | None = None
    guide: Guide | None = None
    began: float = 0.0  # seconds
    new_ids: list[int] = field(default_factory=list)
    logprobs: list[Logprobs] = field(default_factory=list)
    reason: Reason | None = None
    guesses: list[Guess | None] = field(default_factory=list)
    guessed: int = 0
    accepted: int = 0


def decode(
    model: "CausalLM",
    wanted: Sequence[Wanted],
    decoding: Decoding,
    new_ending: Callable[[int], Ending] | None = None,
    new_guide: Callable[[int], Guide] | None = None,
    draft: "CausalLM | None" = None,
) -> Iterator[Row]:
    """Every row after each of its tokens, until each has a `reason`.

    `new_ending(place)` makes what watches a row's ids, `new_guide(place)` what says which ids it may go on with.
    A `draft` guesses ids ahead (draft.py): greedy rows are the same with it, and sampled ones as likely.

    What a row comes to depends on its prompt, its random stream, `decoding` and `draft` only, not on the rows beside
    it. Rows that have ended give their place to those that wait, and a prompt is read once for rows that share it.
    The caller holds `evaluating(model)` while this computes. Raises InputError for ids that the model lacks.
    """
    wanted = checked(model, wanted)
    if not wanted:
        return
    waiting = deque(
        Row(place, each, new_ending and new_ending(place), new_guide and new_guide(place))
        for place, each in enumerate(wanted)
    )
    active = [_begun(waiting) for _ in range(min(decoding.most_rows, len(wanted)))]
    # Room for all that will be fed: the last new token is not.
    room = max(len(each.prompt) + each.max_new_tokens for each in wanted) - 1
    batch = CachedRows(model, len(active), room, decoding.int8)
    prompts = [row.wanted.prompt for row in active]
    guesser: Guesser = Lookup(prompts, decoding.lookup)
    if draft is not None:
        guesser = Draft(draft, prompts, room, decoding.sampling, decoding.vocab_size or model.config.vocab_size)
    read: list[list[int]] = [[] for _ in active]  # what each row was given beside its last id
    logits: Tensor | None = batch.fill(prompts)[:, None]
    while logits is not None:  # (active, time, vocab)
        before = [len(row.new_ids) for row in active]
        yield from _chosen(active, logits, read, decoding)
        if logits.shape[1] > 1:
            right = [max(0, len(row.new_ids) - count - 1) for row, count in zip(active, before, strict=True)]
            batch.cut([logits.shape[1] - 1 - count for count in right])
        ended = [index for index, row in enumerate(active) if row.reason]
        for index in ended:
            active[index].guesses = []  # the chances of each are as many as the vocabulary, and who asked keeps rows
        for index in ended[: len(waiting)]:
            active[index] = _begun(waiting)
            batch.replace(index, active[index].wanted.prompt[:-1])
            guesser.replace(index, active[index].wanted.prompt)
        going = _closed(len(active), [index for index in ended if active[index].reason])
        if len(going) < len(active):
            active = [active[index] for index in going]
            batch.keep(going)
            guesser.keep(going)
        _guess(active, guesser)
        read = [_due(row, batch.space - 1) for row in active]
        logits = _read(active, read, batch) if active else None


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

    A row is the name of a random stream: range(25, 50) gives the second half of what range(50) gives. A row ends at
    `separator_id`, when `is_finished` says so of its new ids, or after `max_new_tokens`. `vocab_size` as in `Decoding`.
    """
    decoding = Decoding(sampling, separator_id, vocab_size, most_rows=max(1, len(rows)))
    new_ending = None if is_finished is None else lambda place: _Predicate(is_finished)
    wanted = [Wanted(tuple(prompt), max_new_tokens, row) for row in rows]
    with evaluating(model):
        ended = [row for row in decode(model, wanted, decoding, new_ending) if row.reason]
    return [row.new_ids for row in sorted(ended, key=lambda row: row.place)]


class _Predicate:
    """Ends a row when a function says so of all its ids."""

    def __init__(self, is_finished: Callable[[list[int]], bool]) -> None:
        self.is_finished = is_finished
        self.new_ids: list[int] = []

    def add(self, new_id: int) -> Reason | None:
        self.new_ids.append(new_id)
        return "stop" if self.is_finished(self.new_ids) else None


def _begun(waiting: "deque[Row]") -> Row:
    """The next row, whose time begins."""
    row = waiting.popleft()
    row.began = monotonic()
    return row


def _guess(active: Sequence[Row], guesser: Guesser) -> None:
    """Guess on in rows whose guesses are used up."""
    most = [0 if row.guesses else row.wanted.max_new_tokens - len(row.new_ids) for row in active]
    said, streams = [Said(row.wanted.prompt, row.new_ids) for row in active], [row.wanted.row for row in active]
    for row, guesses in zip(active, guesser.guess(said, streams, most), strict=True):
        row.guesses.extend(guesses)


def _due(row: Row, space: int) -> list[int]:
    """The guesses that a row is given now: no more than there is space for, and none of a completion's last id."""
    most = max(0, min(space, row.wanted.max_new_tokens - len(row.new_ids) - 1))
    return [each.id for each in row.guesses[:most] if each is not None]


def _read(active: Sequence[Row], guesses: Sequence[Sequence[int]], batch: CachedRows) -> Tensor:
    """Give every row its last id and what is guessed after it; logits after each, (active, time, vocab)."""
    last = [row.new_ids[-1] if row.new_ids else row.wanted.prompt[-1] for row in active]
    longest = max(map(len, guesses))
    if longest == 0:
        return batch.step(last)[:, None]
    padded = [[*guessed, *[0] * (longest - len(guessed))] for guessed in guesses]
    return batch.extend([[each, *guessed] for each, guessed in zip(last, padded, strict=True)])


def _chosen(active: Sequence[Row], logits: Tensor, read: Sequence[Sequence[int]], decoding: Decoding) -> Iterator[Row]:
    """Every row after each id that is chosen for it: as long as what it read is what is chosen, and one more."""
    going = list(range(len(active)))
    for place in range(logits.shape[1]):
        rows = [active[index] for index in going]
        _choose(rows, logits[going, place], decoding)
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
    ids = sample(scores, decoding.sampling, names, positions, said, guesses, seeds).tolist()
    top = decoding.top_logprobs
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


def _closed(count: int, gone: Sequence[int]) -> list[int]:
    """The rows that stay of `count`: the last ones stand where others have gone, so that few must move.

    >>> _closed(5, [1, 4])
    [0, 3, 2]
    """
    kept = count - len(gone)
    order, moving = list(range(kept)), [row for row in range(kept, count) if row not in gone]
    for hole, row in zip([row for row in gone if row < kept], moving, strict=True):
        order[hole] = row
    return order


def checked(model: "CausalLM", wanted: Sequence[Wanted]) -> list[Wanted]:
    """What is wanted, of long prompts the last tokens alone, of which a warning says so.

    Raises InputError for a completion of no tokens, an empty prompt, and ids that the model lacks.
    """
    if short := [each.max_new_tokens for each in wanted if each.max_new_tokens < 1]:
        raise InputError(f"max_new_tokens is {short[0]}; give 1 or more.")
    for prompt in dict.fromkeys(each.prompt for each in wanted):
        if len(prompt) < 1:
            raise InputError("the prompt has no tokens; start from the separator.")
        if max(prompt) >= model.config.vocab_size:
            raise InputError(
                f"the prompt has the id {max(prompt):,}, the model ids below {model.config.vocab_size:,}. "
                "Give the tokenizer that the model was trained with."
            )
    context_length = model.config.context_length
    if longer := list(dict.fromkeys(each.prompt for each in wanted if len(each.prompt) > context_length)):
        others = "" if len(longer) == 1 else f" ({len(longer) - 1:,} more are longer, too)"
        console.warn(
            f"the prompt has {len(longer[0]):,} tokens, the model sees {context_length:,} at once: "
            f"only the last of them are read{others}."
        )
    return [each._replace(prompt=each.prompt[-context_length:]) for each in wanted]
