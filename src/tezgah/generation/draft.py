"""A smaller model of the same tokenizer guesses a few ids ahead; the model judges them in one pass (guesses.py).

What the draft guesses in a row hangs on that row alone: how many ids, what of the text it sees, and every draw. So a
row's text does, too, though a refusal is another draw than the model would make by itself.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from tezgah.errors import InputError
from tezgah.generation.cached_rows import CachedRows
from tezgah.generation.guesses import Guess
from tezgah.generation.kinds import check_causal
from tezgah.generation.sampling import Said, Sampling, chances_of, drawn, likeliest, uniform
from tezgah.nn.modes import evaluating
from tezgah.tokenizer.artefact import parse

if TYPE_CHECKING:
    from tezgah.generation.settings import GenerationSettings
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer

AHEAD = 4  # ids in a round: with 8 of 10 taken, a fifth would be reached in 4 of 10 rounds only


class Draft:
    """Guesses for rows that begin with `prompts`, none of which gets longer than `room` ids.

    The draft has a cache of its own. A round of guesses in a row begins when all of its last were judged; between two
    there is a place that the model decides alone.
    """

    def __init__(
        self, model: "CausalLM", prompts: Sequence[Sequence[int]], room: int, sampling: Sampling, vocab_size: int
    ) -> None:
        context = model.config.context_length
        self._sampling, self._vocab_size = sampling, vocab_size
        self._half, self._most = context // 2, min(AHEAD, context - context // 2 - 1)
        self._read_from = context - self._most - 1  # a longer text leaves no place for a round: its half is read
        if model.config.vocab_size < vocab_size:
            raise InputError(
                f"the draft has {model.config.vocab_size:,} ids, the model {vocab_size:,}. Give one of its tokenizer."
            )
        if self._most < 1:
            raise InputError(f"the draft sees {context} tokens at once; to guess from them it needs 3 or more.")
        self._rows = CachedRows(model, len(prompts), room + 1)
        self._held = [len(prompt) for prompt in prompts]  # ids of each row's text and guesses that were read
        with evaluating(model):
            self._rows.fill([self._seen(prompt) for prompt in prompts])

    def guess(self, said: Sequence[Said], streams: Sequence[int], most: Sequence[int]) -> list[list[Guess | None]]:
        """See `Guesser`. The first id of a completion is not guessed, so that it is the same wherever a row begins."""
        guesses: list[list[Guess | None]] = [[] for _ in said]
        due = [row for row, count in enumerate(most) if count > 0 and said[row].new]
        if not due:
            return guesses
        with evaluating(self._rows.model):
            given, texts = self._caught_up(said, due), [[*each.new] for each in said]
            while waiting := [row for row in due if given[row]]:
                logits = self._step([given[row].pop(0) if given[row] else None for row in range(len(said))])
                asked = [row for row in waiting if not given[row]]  # the others have more to read
                if not asked:
                    continue
                so_far = [Said(said[row].prompt, texts[row]) for row in asked]
                chosen = self._chosen(logits[asked], so_far, [streams[row] for row in asked])
                for row, guess in zip(asked, chosen, strict=True):
                    guesses[row].append(guess)
                    texts[row].append(guess.id)
                    if len(guesses[row]) < min(self._most, most[row]):
                        given[row].append(guess.id)
                        self._held[row] += 1
        for row in due:
            guesses[row].append(None)
        return guesses

    def keep(self, rows: Sequence[int]) -> None:
        """See `Guesser`."""
        self._rows.keep(rows)
        self._held = [self._held[row] for row in rows]

    def replace(self, row: int, prompt: Sequence[int]) -> None:
        """See `Guesser`."""
        with evaluating(self._rows.model):
            self._rows.replace(row, self._seen(prompt))
        self._held[row] = len(prompt)

    def _seen(self, text: Sequence[int]) -> Sequence[int]:
        """What a draft reads anew of a text: all of it, or where that leaves no place for a round half a context."""
        return text if len(text) <= self._read_from else text[-self._half :]

    def _caught_up(self, said: Sequence[Said], due: Sequence[int]) -> list[list[int]]:
        """What is still to be read of each row that is due, its refused guesses taken back and a full row read anew."""
        given: list[list[int]] = [[] for _ in said]
        refused = [0] * len(said)
        for row in due:
            prompt, new = said[row]
            held = min(self._held[row], len(prompt) + len(new) - 1)  # the last id is never among what was read
            refused[row], given[row] = self._held[row] - held, list(new[held - len(prompt) :])
            self._held[row] = len(prompt) + len(new)
        self._rows.cut(refused)
        for row in due:
            if len(self._rows.windows[row]) + len(given[row]) > self._read_from + 1:
                prompt, new = said[row]
                self._rows.replace(row, self._seen([*prompt, *new[:-1]]))
                given[row] = [new[-1]]
        return given

    def _step(self, ids: Sequence[int | None]) -> Tensor:
        """Give every row its next id, a row of None none; logits (rows, vocab)."""
        logits = self._rows.step([each or 0 for each in ids])
        if None in ids:
            self._rows.cut([int(each is None) for each in ids])
        return logits

    def _chosen(self, logits: Tensor, said: Sequence[Said], streams: Sequence[int]) -> list[Guess]:
        """A guess from each row of `logits`, (rows, vocab)."""
        scores = logits[:, : self._vocab_size]
        if self._sampling.temperature == 0:
            return [Guess(each) for each in likeliest(scores, self._sampling, said).tolist()]
        chances = chances_of(scores, self._sampling, said)
        draws = [
            uniform(self._sampling.seed, stream, len(each.new), "guessed")
            for stream, each in zip(streams, said, strict=True)
        ]
        return [Guess(*each) for each in zip(drawn(chances, draws).tolist(), chances, strict=True)]


def checked_draft(
    draft: "tuple[CausalLM, Tokenizer | None]",
    tokenizer: "Tokenizer",
    settings: "GenerationSettings",
    name: str = "the draft",
) -> "CausalLM":
    """The model of a draft as `tezgah.load` gives it.

    Raises InputError, which names the draft, unless its ids mean what those of `tokenizer` do.
    """
    check_goes_with_draft(settings)
    model, own = draft
    check_causal(model, name)
    if own is None or not _have_same_ids(own, tokenizer):
        raise InputError(
            f"{name}: its tokenizer is not the model's: a draft needs the same ids. Give a smaller model that was "
            "trained with the same tokenizer."
        )
    return model


def check_goes_with_draft(settings: "GenerationSettings") -> None:
    """Raise InputError for settings that a draft does not go with."""
    if settings.num_beams > 1 or settings.lookup or settings.int8:
        raise InputError("a draft goes with neither num_beams, lookup nor int8. Leave these out, or the draft.")


def _have_same_ids(one: "Tokenizer", other: "Tokenizer") -> bool:
    if one.hash == other.hash:
        return True
    return one.separator_id == other.separator_id and parse(one.json).ids() == parse(other.json).ids()
