"""Completions of many prompts as evaluations ask for them: the rooms that generate and that evaluate meet here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tezgah.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Completer:
    """Draws samples from a model; with `ends_blocks` one ends where `generation.stops` finds a block's end.

    What ended it is still in the text: whoever asks cuts it.
    """

    model: Any
    tokenizer: "Tokenizer"
    max_new_tokens: int
    temperature: float
    top_p: float
    ends_blocks: bool

    def __call__(self, prompts: Sequence[str], n: int, seeds: Sequence[int]) -> Iterator[list[str]]:
        """`n` texts for each prompt, without it; each hangs on its prompt, the prompt's seed and its number alone."""
        from tezgah.generation.decode import generate_ids
        from tezgah.generation.sampling import Sampling
        from tezgah.generation.stops import ends_block

        def is_finished(ids: list[int]) -> bool:
            return self.ends_blocks and ends_block(self.tokenizer.decode(ids))

        separator_id = self.tokenizer.separator_id
        for prompt, seed in zip(prompts, seeds, strict=True):
            ids = self.tokenizer.encode(prompt).tolist() or [separator_id]
            sampling = Sampling(temperature=self.temperature, top_p=self.top_p, seed=seed)
            rows = generate_ids(
                *(self.model, ids, self.max_new_tokens, sampling, range(n)),
                *(separator_id, is_finished, self.tokenizer.vocab_size),
            )
            yield [self.tokenizer.decode(row) for row in rows]
