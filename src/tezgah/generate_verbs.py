"""The verbs that go on from texts: `tezgah generate`, and `tezgah complete` at a place in a file of code."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Verb, percent
from tezgah.console import say
from tezgah.errors import InputError
from tezgah.generation.settings import GenerationSettings
from tezgah.opening import MODEL, opened

if TYPE_CHECKING:
    from tezgah.generation.completions import Completion
    from tezgah.generation.prompts import Prompt
    from tezgah.models.causal import CausalLM
    from tezgah.tokenizer.tokenizer import Tokenizer

SEPARATOR = "=" * 80  # between candidates
Draft = Annotated[
    str, Meta(description="a smaller MODEL with the same tokenizer, which guesses ahead: faster, as good a text")
]
Dtype = Annotated[
    Literal["float32", "bfloat16"],
    Meta(description="the parameters' precision; bfloat16 is half the memory, and read in half the time"),
]


class GenerateFlags(GenerationSettings, frozen=True):
    """Flags of `generate`."""

    prompts: Annotated[str, Meta(description='file of prompts: a line each, or JSON Lines with a "prompt"')] = ""
    o: Annotated[str, Meta(description="write the completions to this file, JSON Lines; goes on after a stop")] = ""
    stream: Annotated[bool, Meta(description="print one completion as it is made")] = False
    draft: Draft = ""
    dtype: Dtype = "float32"
    echo: Annotated[bool, Meta(description="with --logprobs and --json: those of the prompts' tokens too")] = False
    json: Annotated[bool, Meta(description="print one JSON object instead of text")] = False


class CompleteFlags(GenerationSettings, frozen=True):
    """Flags of `complete`."""

    until: Annotated[
        Literal["block"] | None, Meta(description="end where the block does; --past-block turns it off")
    ] = "block"
    past_block: Annotated[bool, Meta(description="go on where the block ends")] = False
    draft: Draft = ""
    dtype: Dtype = "float32"
    json: Annotated[bool, Meta(description="print one JSON object instead of text")] = False


def generate(operands: list[str], flags: GenerateFlags) -> Answer:
    """Complete prompts."""
    path, *texts = operands
    if bool(texts) == bool(flags.prompts):
        both = "give PROMPT or --prompts FILE, not both."
        raise InputError(both if texts else "`generate` needs PROMPT. Or give --prompts FILE.")
    from tezgah.generation.completions import complete, sampling_of
    from tezgah.generation.draft import check_goes_with_draft
    from tezgah.generation.prompts import given_prompts, read_prompts

    settings = _settings(flags)
    sampling_of(settings)  # before a model is opened for nothing
    prompts = read_prompts(Path(flags.prompts)) if flags.prompts else given_prompts(texts)
    if flags.stream and (len(prompts) > 1 or flags.n > 1 or flags.num_beams > 1 or flags.json or flags.o):
        raise InputError("--stream prints one completion of one PROMPT: without -n, --num-beams, --json and -o.")
    if flags.echo and (flags.logprobs is None or not flags.json):
        raise InputError("--echo adds the prompts' tokens to --logprobs K with --json. Give these, too.")
    if flags.logprobs is not None and not (flags.json or flags.o):
        raise InputError("--logprobs are told with --json, or in the file of -o. Give one of them, too.")
    if flags.echo and flags.o:
        raise InputError("--echo goes into --json's answer, not into the file of -o. Leave one of them out.")
    if flags.draft:
        check_goes_with_draft(settings)
    model, tokenizer = opened(path, dtype=flags.dtype)
    draft = _opened_draft(flags, tokenizer, settings)
    if flags.o:
        return _written(path, model, tokenizer, prompts, flags, settings, draft and draft[0])
    if flags.stream:
        from tezgah.generation.generate import stream

        text = prompts[0].text
        pieces = stream(model, tokenizer, text, draft, **msgspec.structs.asdict(settings))
        return Answer("", {}, chain([text], pieces))
    found = complete(model, tokenizer, [prompt.text for prompt in prompts], settings, draft and draft[0])
    if draft:
        _say_accepted(found)
    shown = f"\n{SEPARATOR}\n".join(prompts[each.prompt].text + each.text for each in found)
    candidates = [_candidate(prompts[each.prompt], each, tokenizer) for each in found]
    value = {"model": path, **_draft_named(flags.draft), **msgspec.structs.asdict(settings), "candidates": candidates}
    if flags.echo:
        value["prompts"] = _echoed(model, tokenizer, prompts, flags.logprobs or 0)
    return Answer(shown, value)


def complete_file(operands: list[str], flags: CompleteFlags) -> Answer:
    """Complete code at a place in a file."""
    from tezgah.generation.completions import completions, sampling_of
    from tezgah.generation.draft import check_goes_with_draft
    from tezgah.generation.infill import place_prompt, read_place
    from tezgah.generation.rows_file import candidate_row

    path, place = operands
    settings = _settings(flags)
    if flags.past_block:
        settings = msgspec.structs.replace(settings, until=None)
    sampling_of(settings)
    if flags.logprobs is not None and not flags.json:
        raise InputError("--logprobs are told with --json. Give it, too.")
    if flags.draft:
        check_goes_with_draft(settings)
    prefix, suffix = read_place(place)
    model, tokenizer = opened(path, dtype=flags.dtype)
    prompt, is_infilled = place_prompt(model, tokenizer, prefix, suffix, settings)
    draft = _opened_draft(flags, tokenizer, settings)
    made = completions(model, tokenizer, [prompt], settings, draft and draft[0])
    found = sorted(made, key=lambda each: each.candidate)
    if draft:
        _say_accepted(found)
    value = {
        "model": path,
        **_draft_named(flags.draft),
        "place": place,
        "is_infilled": is_infilled,
        **msgspec.structs.asdict(settings),
        "candidates": [candidate_row(each, tokenizer) for each in found],
    }
    return Answer(f"\n{SEPARATOR}\n".join(each.text for each in found), value)


def _written(
    path: str,
    model: Any,
    tokenizer: "Tokenizer",
    prompts: "Sequence[Prompt]",
    flags: GenerateFlags,
    settings: GenerationSettings,
    draft: Any,
) -> Answer:
    """Completions in a file, and where it is."""
    from tezgah import api
    from tezgah.files import hash_file
    from tezgah.generation.rows_file import write_rows

    folders = [api.find_model(Path(each)) for each in (path, flags.draft) if each]
    weights = [each for folder in folders for each in sorted(folder.glob("*.safetensors"))]
    made_from = [flags.dtype, *(hash_file(each) for each in weights)]
    kept = write_rows(Path(flags.o), model, tokenizer, prompts, settings, made_from, draft)
    rows = len(prompts) * settings.n
    value = {"model": path, **_draft_named(flags.draft), "completions": flags.o, "rows": rows, "kept": kept}
    return Answer(flags.o, value)


def _opened_draft(
    flags: GenerateFlags | CompleteFlags, tokenizer: "Tokenizer", settings: GenerationSettings
) -> "tuple[CausalLM, Tokenizer] | None":
    """The draft that flags name, if they do; it goes with the model's tokenizer."""
    from tezgah.generation.draft import checked_draft

    if not flags.draft:
        return None
    draft = opened(flags.draft, dtype=flags.dtype)
    checked_draft(draft, tokenizer, settings, flags.draft)
    return draft


def _draft_named(draft: str) -> dict[str, str]:
    return {"draft": draft} if draft else {}


def _say_accepted(found: "Sequence[Completion]") -> None:
    """How many of the draft's guesses were right."""
    guessed, accepted = (sum(counts) for counts in zip(*((each.guessed, each.accepted) for each in found), strict=True))
    if guessed:
        say(f"draft: {accepted:,} of {guessed:,} tokens that it guessed were taken, {percent(accepted / guessed)}")


def _candidate(prompt: "Prompt", completion: "Completion", tokenizer: "Tokenizer") -> dict[str, Any]:
    """A completion as a JSON answer has it: the row of a file, and the whole text."""
    from tezgah.generation.rows_file import row_of

    row = row_of(prompt, completion.prompt, completion, tokenizer)
    return {"prompt": prompt.text, "text": prompt.text + completion.text, **row}


def _echoed(model: Any, tokenizer: "Tokenizer", prompts: "Sequence[Prompt]", top: int) -> list[dict[str, Any]]:
    """The prompts with the log-probabilities of their tokens."""
    from tezgah.generation.rows_file import logprob_rows
    from tezgah.generation.scores import score_texts

    scored = score_texts(model, tokenizer, [prompt.text for prompt in prompts], top)
    return [{"prompt": each.text, "logprobs": logprob_rows(each.ids, each.logprobs, tokenizer)} for each in scored]


def _settings(flags: GenerationSettings) -> GenerationSettings:
    """Those of a verb's flags that say how to generate."""
    return GenerationSettings(**{name: getattr(flags, name) for name in GenerationSettings.__struct_fields__})


GENERATE_VERBS: dict[str, Verb] = {
    "generate": Verb(
        "Complete each PROMPT; candidates are printed with their prompt, a line of 80 `=` between two.",
        ("MODEL", "[PROMPT…]"),
        GenerateFlags,
        generate,
        f"{MODEL} After `--` a PROMPT may begin with a dash.",
    ),
    "complete": Verb(
        "Complete code at a place in a file: after LINE, or before COLUMN of it. The completion alone is printed.",
        ("MODEL", "FILE:LINE[:COLUMN]"),
        CompleteFlags,
        complete_file,
        f"{MODEL} A model trained to fill in the middle reads what follows, too; any other what stands before.",
    ),
}
