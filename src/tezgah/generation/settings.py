"""How texts are generated: the settings of `tezgah generate`, of `tezgah complete` and of the Python door."""

from typing import Annotated, Literal

from msgspec import Meta

from tezgah.settings import NaturalFloat, NaturalInt, PositiveFloat, PositiveInt, Settings, Share


class GenerationSettings(Settings, frozen=True):
    """Everything a completion depends on beside its model, its tokenizer and its prompt."""

    n: Annotated[PositiveInt, Meta(description="candidates per prompt")] = 1
    temperature: Annotated[NaturalFloat, Meta(description="0 always takes the likeliest token")] = 0.0
    top_k: Annotated[NaturalInt, Meta(description="sample from the k likeliest tokens; 0 is off")] = 0
    top_p: Annotated[Share, Meta(description="sample from the likeliest tokens that together have this share")] = 1.0
    min_p: Annotated[
        Share, Meta(description="sample from tokens at least this many times as likely as the likeliest; 0 is off")
    ] = 0.0
    typical_p: Annotated[
        Share, Meta(description="sample from the tokens of most usual surprise that together have this share")
    ] = 1.0
    repetition_penalty: Annotated[
        PositiveFloat, Meta(description="above 1: what the prompt or the completion has becomes less likely")
    ] = 1.0
    presence_penalty: Annotated[
        float, Meta(description="taken from the score of every token that the completion has already")
    ] = 0.0
    no_repeat_ngram: Annotated[NaturalInt, Meta(description="never so many tokens in a row twice; 0 is off")] = 0
    seed: Annotated[NaturalInt, Meta(description="with it the same candidates come again")] = 1
    max_new_tokens: Annotated[PositiveInt, Meta(description="longest completion, the prompt not counted")] = 50
    max_length: Annotated[
        PositiveInt | None, Meta(description="longest text, prompt and completion, in tokens; replaces max-new-tokens")
    ] = None
    max_seconds: Annotated[PositiveFloat | None, Meta(description="end a completion after so long")] = None
    until: Annotated[
        Literal["block"] | None,
        Meta(description="block: end before the first later line that starts with class, def, #, @, print or if"),
    ] = None
    stop: Annotated[
        tuple[str, ...],
        Meta(
            description="end before this text; it may be given several times",
            extra={"commas": False, "repeats": "TEXT"},
        ),
    ] = ()
    regex: Annotated[str, Meta(description="a completion is a match of this regular expression")] = ""
    json_schema: Annotated[str, Meta(description="a completion is JSON of this schema, which is JSON, too")] = ""
    num_beams: Annotated[PositiveInt, Meta(description="beam search with so many beams; candidates are the n best")] = 1
    length_penalty: Annotated[
        float, Meta(description="of beams: the sum of log-probabilities is divided by length to this power")
    ] = 1.0
    early_stopping: Annotated[
        Literal["false", "true", "never"],
        Meta(
            description="of beams: stop when enough have ended (true), when no better one is likely (false), or when "
            "none is possible (never)"
        ),
    ] = "false"
    beam_groups: Annotated[PositiveInt, Meta(description="search in so many groups of beams, which differ")] = 1
    diversity_penalty: Annotated[
        NaturalFloat,
        Meta(description="of groups: taken from a token's score each time that a group before chose it in this step"),
    ] = 0.0
    overlong: Annotated[
        Literal["refuse", "truncate"],
        Meta(description="a prompt longer than the context is refused, or its last tokens are read"),
    ] = "truncate"
    logprobs: Annotated[
        NaturalInt | None,
        Meta(description="keep the log-probability of every token, and of so many of the likeliest in its place"),
    ] = None
    rows: Annotated[PositiveInt, Meta(description="completions made at once, at most")] = 32
    lookup: Annotated[
        NaturalInt,
        Meta(description="guess so many tokens ahead from the text itself: faster where it repeats, the same text"),
    ] = 0
    int8: Annotated[
        bool,
        Meta(description="round weights to 8 bits for the steps: faster on a CPU, scores differ a little"),
    ] = False
