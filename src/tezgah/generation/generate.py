"""Text out of a model: candidates that go on from a prompt."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tezgah.errors import InputError
from tezgah.generation.completions import complete, read_prompt, wanted_of
from tezgah.generation.decode import decode
from tezgah.generation.draft import checked_draft
from tezgah.generation.endings import TextEnding
from tezgah.generation.guides import guides
from tezgah.generation.kinds import check_causal
from tezgah.generation.rows import Row
from tezgah.generation.settings import GenerationSettings
from tezgah.nn.modes import evaluating

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
    draft: "tuple[CausalLM, Tokenizer | None] | None" = None,
    **settings: Any,
) -> list[str]:
    """`n` texts, each the prompt and its completion; candidate i depends on (seed, i), never on n.

    A completion ends at end-of-text, after `max_new_tokens`, or, with `until="block"`, before the
    first later line that starts something new (stops.py). `max_length` counts the prompt's tokens
    too and takes the place of `max_new_tokens`. An empty prompt is the beginning of a document. `draft`, a smaller
    model and its tokenizer as `tezgah.load` gives them, guesses ahead (draft.py). `settings` are the other fields of
    `GenerationSettings`: `stop=["\\n\\n"]`, `min_p=0.05`, `num_beams=4` … Raises InputError for settings that are
    not known or make no sense, for a model that does not go on from a text, and for a draft of another tokenizer.
    """
    check_causal(model, "tezgah.generate")
    named = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "n": n, "seed": seed, "until": until}
    chosen = make_settings({**named, "max_new_tokens": max_new_tokens, "max_length": max_length, **settings})
    drafting = None if draft is None else checked_draft(draft, tokenizer, chosen)
    return [prompt + each.text for each in complete(model, tokenizer, [prompt], chosen, drafting)]


def stream(
    model: "CausalLM",
    tokenizer: "Tokenizer",
    prompt: str,
    draft: "tuple[CausalLM, Tokenizer | None] | None" = None,
    **settings: Any,
) -> Iterator[str]:
    """The completion of a prompt in pieces, as they are made; put together they are what `generate` adds to it.

    `draft` and `settings` are those of `generate`. What might belong to a stop, and half a character, waits for what
    follows. Raises InputError as `generate` does, and for more than one candidate.
    """
    check_causal(model, "tezgah.stream")
    chosen = make_settings(settings)
    if chosen.n > 1 or chosen.num_beams > 1:
        raise InputError("one completion can be streamed, and no beams: give n = 1 and num_beams = 1.")
    read = read_prompt(model, tokenizer, prompt, chosen)
    wanted, decoding = wanted_of([read], tokenizer, chosen)
    ending = TextEnding(tokenizer.text_stream(), chosen.stop, chosen.until == "block")
    drafting = None if draft is None else checked_draft(draft, tokenizer, chosen)
    rows = decode(model, wanted, decoding, lambda place: ending, guides(tokenizer, chosen), drafting)
    return _pieces(model, rows, ending)


def make_settings(values: dict[str, Any]) -> GenerationSettings:
    """Settings from their names and values. Raises InputError that begins with the name of what is wrong."""
    fields = {field.name: field for field in msgspec.structs.fields(GenerationSettings)}
    given = dict(values)
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    if isinstance(given.get("json_schema"), dict):
        given["json_schema"] = json.dumps(given["json_schema"])
    if isinstance(given.get("early_stopping"), bool):
        given["early_stopping"] = str(given["early_stopping"]).lower()
    for name, value in given.items():
        if name not in fields:
            raise InputError(f"{name} is no setting of generation; they are {', '.join(fields)}.")
        try:
            given[name] = msgspec.convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            raise InputError(f"{name} is {value!r}: {str(error)[0].lower()}{str(error)[1:]}.") from None
    return GenerationSettings(**given)


def _pieces(model: "CausalLM", rows: Iterator[Row], ending: TextEnding) -> Iterator[str]:
    reason = None
    while reason is None:
        with evaluating(model):  # for one token only: the caller's own work goes on between two pieces
            reason = next(rows).reason
        if piece := ending.take():
            yield piece
    ending.close()
    if piece := ending.take():
        yield piece
