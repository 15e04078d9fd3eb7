"""Completions of many prompts at once: texts in, texts out, with the reason why each ends."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

from tezgah.errors import InputError
from tezgah.generation.beams import Beams, search
from tezgah.generation.decode import decode
from tezgah.generation.endings import TextEnding, check_stops
from tezgah.generation.guides import guides
from tezgah.generation.rows import Decoding, Reason, Wanted
from tezgah.generation.sampling import Sampling
from tezgah.generation.scores import Logprobs
from tezgah.generation.settings import GenerationSettings
from tezgah.nn.modes import evaluating

if TYPE_CHECKING:
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer


class Completion(NamedTuple):
    """What a model added to prompt number `prompt`; `candidate` counts from 0.

    `text` is cut before the stop, `ids` are all that were chosen, the stop's too, end-of-text not. `score` is that of
    beam search. Where a draft or the text itself guessed ahead, `guessed` of the ids were guessed and judged, and
    `accepted` of those were taken.
    """

    prompt: int
    candidate: int
    text: str
    ids: list[int]
    reason: Reason
    logprobs: list[Logprobs]
    score: float | None = None
    guessed: int = 0
    accepted: int = 0


class ReadPrompt(NamedTuple):
    """A prompt's ids as the model reads them, and how many may follow."""

    ids: tuple[int, ...]
    max_new_tokens: int


def complete(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    prompts: Sequence[str],
    settings: GenerationSettings,
    draft: "CausalLM | None" = None,
) -> list[Completion]:
    """All candidates of all prompts, in order; a `draft` guesses ahead (draft.py).

    Raises InputError for what `settings` or a prompt has wrong.
    """
    read = [read_prompt(model, tokenizer, prompt, settings) for prompt in prompts]
    found = completions(model, tokenizer, read, settings, draft)
    return sorted(found, key=lambda each: (each.prompt, each.candidate))


def completions(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    prompts: Sequence[ReadPrompt],
    settings: GenerationSettings,
    draft: "CausalLM | None" = None,
) -> Iterator[Completion]:
    """The same as they are finished, of prompts that were read."""
    new_guide = guides(tokenizer, settings)
    if settings.num_beams > 1:
        for place, read in enumerate(prompts):
            yield from _best(model, tokenizer, place, read, settings)
        return
    wanted, decoding = wanted_of(prompts, tokenizer, settings)
    endings = [TextEnding(tokenizer.text_stream(), settings.stop, settings.until == "block") for _ in wanted]
    with evaluating(model):
        for row in decode(model, wanted, decoding, endings.__getitem__, new_guide, draft):
            if row.reason:
                prompt, candidate = divmod(row.place, settings.n)
                text = endings[row.place].close()
                told = (text, row.new_ids, row.reason, row.logprobs)
                yield Completion(prompt, candidate, *told, guessed=row.guessed, accepted=row.accepted)


def read_prompt(model: "CausalLM", tokenizer: "Tokenizer", prompt: str, settings: GenerationSettings) -> ReadPrompt:
    """The ids of a prompt; an empty one is the beginning of a document."""
    return limited(model, tuple(tokenizer.encode(prompt).tolist()) or (tokenizer.separator_id,), settings)


def limited(model: "CausalLM", ids: tuple[int, ...], settings: GenerationSettings) -> ReadPrompt:
    """A prompt and its longest completion, refused where settings say so."""
    context_length = model.config.context_length
    if len(ids) > context_length and settings.overlong == "refuse":
        raise InputError(
            f"the prompt has {len(ids):,} tokens, the model sees {context_length:,} at once. "
            "Shorten it, or read its end alone with overlong = truncate."
        )
    if settings.max_length is None:
        return ReadPrompt(ids, settings.max_new_tokens)
    if settings.max_length <= len(ids):
        raise InputError(
            f"max_length is {settings.max_length:,} and the prompt has {len(ids):,} tokens already. "
            f"Give {len(ids) + 1:,} or more, or max_new_tokens, which does not count the prompt."
        )
    return ReadPrompt(ids, settings.max_length - len(ids))


def wanted_of(
    prompts: Sequence[ReadPrompt], tokenizer: "Tokenizer", settings: GenerationSettings
) -> tuple[list[Wanted], Decoding]:
    """What is to be decoded, every candidate of every prompt, and how."""
    if settings.beam_groups > 1 or settings.diversity_penalty:
        raise InputError("beam_groups and diversity_penalty are of beam search. Give num_beams, or leave them out.")
    decoding = Decoding(
        sampling=sampling_of(settings),
        separator_id=tokenizer.separator_id,
        vocab_size=tokenizer.vocab_size,
        max_seconds=settings.max_seconds,
        most_rows=settings.rows,
        top_logprobs=settings.logprobs,
        lookup=settings.lookup,
        int8=settings.int8,
    )
    wanted = [Wanted(prompt.ids, prompt.max_new_tokens, row) for prompt in prompts for row in range(settings.n)]
    return wanted, decoding


def sampling_of(settings: GenerationSettings) -> Sampling:
    """How tokens are chosen. Raises InputError for values that make no sense, also those of stops."""
    check_stops(settings.stop)
    return Sampling(**{field.name: getattr(settings, field.name) for field in fields(Sampling)})


def _best(
    model: "CausalLM", tokenizer: "Tokenizer", place: int, prompt: ReadPrompt, settings: GenerationSettings
) -> Iterator[Completion]:
    """The n best of beam search."""
    if settings.logprobs is not None or settings.max_seconds is not None or settings.lookup or settings.int8:
        raise InputError(
            "beam search takes no logprobs, max_seconds, lookup or int8. Leave them out, or give num_beams = 1."
        )

    def ending(new_ids: Sequence[int]) -> tuple[TextEnding, Reason | None]:
        text = TextEnding(tokenizer.text_stream(), settings.stop, settings.until == "block")
        return text, next((reason for each in new_ids if (reason := text.add(each))), None)

    watched = bool(settings.stop or settings.until)
    beams = Beams(
        settings.num_beams,
        settings.n,
        settings.length_penalty,
        settings.early_stopping,
        settings.beam_groups,
        settings.diversity_penalty,
    )
    found = search(
        model,
        prompt.ids,
        prompt.max_new_tokens,
        beams,
        sampling_of(settings),
        tokenizer.separator_id,
        tokenizer.vocab_size,
        (lambda new_ids: ending(new_ids)[1] is not None) if watched else None,
    )
    for candidate, each in enumerate(found):
        text, reason = ending(each.ids)
        ended: Reason = "end" if each.is_ended else reason or "length"
        yield Completion(place, candidate, text.close(), each.ids, ended, [], each.score)
