"""Text out of a model: candidates that go on from a prompt."""

from typing import TYPE_CHECKING, Literal

from tezgah.errors import InputError
from tezgah.generation.decode import generate_ids
from tezgah.generation.kinds import check_causal
from tezgah.generation.sampling import Sampling
from tezgah.generation.stops import ends_block, first_block

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer


def generate(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    prompt: str,
    max_new_tokens: int = 50,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    n: int = 1,
    seed: int = 1,
    max_length: int | None = None,
    until: Literal["block"] | None = None,
) -> list[str]:
    """`n` texts, each the prompt and its completion; candidate i depends on (seed, i), never on n.

    A completion ends at end-of-text, after `max_new_tokens`, or, with `until="block"`, before the
    first later line that starts something new (stops.py). `max_length` counts the prompt's tokens
    too and takes the place of `max_new_tokens`. An empty prompt is the beginning of a document.
    """
    check_causal(model, "tezgah.generate")
    if n < 1:
        raise InputError(f"n is {n}; give 1 or more.")
    if until not in (None, "block"):
        raise InputError(f"until is {until!r}; the one known value is 'block'.")
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    ids = tokenizer.encode(prompt).tolist() or [tokenizer.separator_id]
    if max_length is not None:
        if max_length <= len(ids):
            raise InputError(
                f"max_length is {max_length:,} and the prompt has {len(ids):,} tokens already. "
                f"Give {len(ids) + 1:,} or more, or max_new_tokens, which does not count the prompt."
            )
        max_new_tokens = max_length - len(ids)

    def is_finished(new_ids: list[int]) -> bool:
        return until == "block" and ends_block(tokenizer.decode(new_ids))

    completions = generate_ids(
        model, ids, max_new_tokens, sampling, range(n), tokenizer.separator_id, is_finished, tokenizer.vocab_size
    )
    texts = [tokenizer.decode(new_ids) for new_ids in completions]
    return [prompt + (first_block(text) if until == "block" else text) for text in texts]
