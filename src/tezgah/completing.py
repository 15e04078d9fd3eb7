"""Completions of many prompts as evaluations ask for them: the rooms that generate and that evaluate meet here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tezgah.evaluation.task_run import Complete
    from tezgah.evaluation.tasks import Task
    from tezgah.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Completer:
    """Draws samples from a model, prompt by prompt.

    A prompt is decoded by itself, all its samples at once: rows are the same whatever is decoded beside them, but for
    rounding. So what comes of a prompt hangs on no other to the bit, also where a killed evaluation goes on with fewer.
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
        whoever asks cuts it.
        """
        for place, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            yield self._texts(prompt, n, seed, is_finished[place] if is_finished else None)

    def _texts(self, prompt: str, n: int, seed: int, is_finished: Callable[[str], bool] | None) -> list[str]:
        """The texts after one prompt."""
        from tezgah.generation.decode import generate_ids
        from tezgah.generation.sampling import Sampling

        def ends(ids: list[int]) -> bool:
            return is_finished is not None and is_finished(self.tokenizer.decode(ids))

        separator_id = self.tokenizer.separator_id
        rows = generate_ids(
            self.model,
            self.tokenizer.encode(prompt).tolist() or [separator_id],
            self.max_new_tokens,
            Sampling(temperature=self.temperature, top_p=self.top_p, seed=seed),
            range(n),
            separator_id,
            ends,
            self.tokenizer.vocab_size,
        )
        return [self.tokenizer.decode(row) for row in rows]


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
