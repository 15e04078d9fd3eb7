"""Completions of many prompts as evaluations ask for them: the rooms that generate and that evaluate meet here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tezgah.evaluation.task_run import Complete
    from tezgah.evaluation.tasks import Task
    from tezgah.tokenizer.stream import TextStream
    from tezgah.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Completer:
    """Draws samples from a model, those of many prompts in one batch: a row that ends gives its place to the next.

    What comes of a prompt hangs on no other but for rounding, and not at all where the same prompts are asked for
    together again.
    """

    model: Any
    tokenizer: "Tokenizer"
    max_new_tokens: int
    temperature: float
    top_p: float

    def __call__(
        self,
        prompts: Sequence[str],
        n: int,
        seeds: Sequence[int],
        is_finished: Sequence[Callable[[str], bool]] | None = None,
    ) -> Iterator[list[str]]:
        """`n` texts for each prompt, without it; each hangs on its prompt, the prompt's seed and its number alone.

        `is_finished`, one for each prompt, says of a text whether it has ended. What ended it is still in the text:
        whoever asks cuts it. The prompts' texts come in their order, each as soon as those before it are there.
        """
        from tezgah.generation.decode import decode
        from tezgah.generation.rows import Decoding, Wanted
        from tezgah.generation.sampling import Sampling
        from tezgah.nn.modes import evaluating

        separator_id = self.tokenizer.separator_id
        wanted = [
            Wanted(tuple(self.tokenizer.encode(prompt).tolist()) or (separator_id,), self.max_new_tokens, row, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
            for row in range(n)
        ]
        sampling = Sampling(temperature=self.temperature, top_p=self.top_p)
        decoding = Decoding(sampling, separator_id, self.tokenizer.vocab_size)

        stream = self.tokenizer.text_stream
        new_ending = None if is_finished is None else lambda place: _Watch(stream(), is_finished[place // n])
        texts: dict[int, str] = {}
        own = range(n)  # of the prompt whose turn it is, the places of its texts
        with evaluating(self.model):
            for row in decode(self.model, wanted, decoding, new_ending):
                if not row.reason:
                    continue
                texts[row.place] = self.tokenizer.decode(row.new_ids)
                while own.start < len(wanted) and all(place in texts for place in own):
                    yield [texts.pop(place) for place in own]
                    own = range(own.stop, own.stop + n)


class _Watch:
    """Ends a row when a function says so of its text."""

    def __init__(self, stream: "TextStream", is_finished: Callable[[str], bool]) -> None:
        self.stream, self.is_finished = stream, is_finished
        self.text = ""

    def add(self, new_id: int) -> Literal["stop"] | None:
        piece = self.stream.add(new_id)
        self.text += piece
        return "stop" if piece and self.is_finished(self.text) else None


@dataclass(frozen=True)
class Infiller:
    """Writes what is missing between two texts, greedily; a gap by itself, so that it hangs on no other."""

    model: Any
    tokenizer: "Tokenizer"
    max_new_tokens: int

    def __call__(self, before: str, after: str) -> str:
        """A text that is to be one line: it ends where the model ends it, or with a second line that is not blank."""
        from tezgah.generation.decode import generate_ids
        from tezgah.generation.infill import place_prompt
        from tezgah.generation.sampling import GREEDY
        from tezgah.generation.settings import GenerationSettings

        settings = GenerationSettings(max_new_tokens=self.max_new_tokens)
        prompt, _ = place_prompt(self.model, self.tokenizer, before, after, settings)
        (row,) = generate_ids(
            self.model,
            prompt.ids,
            prompt.max_new_tokens,
            GREEDY,
            separator_id=self.tokenizer.separator_id,
            is_finished=lambda ids: "\n" in self.tokenizer.decode(ids).strip(),
            vocab_size=self.tokenizer.vocab_size,
        )
        return self.tokenizer.decode(row)


def infiller(model: Any, tokenizer: "Tokenizer", max_new_tokens: int) -> Infiller | None:
    """What fills gaps by a model that was trained to; None of any other."""
    from tezgah.tokenizer.infill import infill_tokens

    return Infiller(model, tokenizer, max_new_tokens) if infill_tokens(tokenizer) else None


def task_completer(complete: Completer) -> "Complete":
    """The same for code tasks; a sample ends where `completion_of` will cut it."""
    from tezgah.generation.stops import ends_block

    def completed(tasks: "Sequence[Task]", n: int, seeds: Sequence[int]) -> Iterator[list[str]]:
        ends = [partial(ends_block, function=_own_function(task)) for task in tasks]
        return complete([task.prompt for task in tasks], n, seeds, ends)

    return completed


def completion_of(task: "Task", sample: str) -> str:
    """What of a sample is the completion of its task."""
    from tezgah.generation.stops import first_block

    return first_block(sample, _own_function(task))


def cut_rule(tasks: "Sequence[Task]") -> str:
    """The name of the rule by which samples of these tasks are cut."""
    return "block" if all(_own_function(task) is None for task in tasks) else "block_after_def"


def _own_function(task: "Task") -> str | None:
    """What a sample has to define itself: the function of its task, where the prompt does not begin it."""
    from tezgah.evaluation.prompt_code import defines

    return None if defines(task.prompt, task.entry_point) else task.entry_point
