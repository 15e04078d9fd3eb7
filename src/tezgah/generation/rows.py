"""What completions are wanted, how they are made, and one as it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from torch import Tensor

from tezgah import console
from tezgah.errors import InputError
from tezgah.generation.guesses import Guess
from tezgah.generation.sampling import GREEDY, Sampling
from tezgah.generation.scores import Logprobs

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
