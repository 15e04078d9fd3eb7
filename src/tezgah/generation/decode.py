"""Ids out of a model: rows over a key-value cache, a token at a time, and new rows in the place of finished ones."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from torch import Tensor

from tezgah.generation.cached_rows import CachedRows
from tezgah.generation.choice import chosen
from tezgah.generation.draft import Draft
from tezgah.generation.guesses import Guesser
from tezgah.generation.lookup import Lookup
from tezgah.generation.rows import Decoding, Ending, Guide, Reason, Row, Wanted, checked
from tezgah.generation.sampling import Said, Sampling
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM


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
        yield from chosen(active, logits, read, decoding)
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
