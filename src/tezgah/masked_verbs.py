"""The verbs of a model that looks both ways, `tezgah fill`; and `tezgah likelihood`, of any model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.opening import MODEL, check_rows, with_tokenizer
from tezgah.settings import NaturalFloat, NaturalInt, PositiveInt, Share

if TYPE_CHECKING:
    from tezgah.generation.likelihood import Likelihood
    from tezgah.tokenizer.tokenizer import Tokenizer


class FillFlags(Plain, frozen=True):
    """Flags of `fill`."""

    n: Annotated[PositiveInt, Meta(description="candidates per text, at most")] = 5
    order: Annotated[
        Literal["left", "certain", "all", "gibbs"],
        Meta(
            description="left: from left to right; certain: the most certain first; all: all at once, then the least "
            "certain again; gibbs: each anew, the others given, in sweeps"
        ),
    ] = "certain"
    temperature: Annotated[NaturalFloat, Meta(description="0 always takes the likeliest token")] = 0.0
    top_k: Annotated[NaturalInt, Meta(description="sample from the k likeliest tokens; 0 is off")] = 0
    top_p: Annotated[Share, Meta(description="sample from the likeliest tokens that together have this share")] = 1.0
    seed: Annotated[NaturalInt, Meta(description="with it the same candidates come again")] = 1
    sweeps: Annotated[PositiveInt, Meta(description="how often the orders all and gibbs go over the masks")] = 10


def fill(operands: list[str], flags: FillFlags) -> Answer:
    """Fill the masks of texts."""
    from tezgah.generation.fill import fill_texts
    from tezgah.generation.kinds import check_masked
    from tezgah.generation.sampling import Sampling
    from tezgah.masked_stations import check_mask

    path, *texts = operands
    sampling = Sampling(flags.temperature, flags.top_k, flags.top_p, flags.seed)
    model, tokenizer = _opened(path)
    check_masked(model, path)
    check_mask(tokenizer, Path(path))
    check_rows(path, model, tokenizer)
    found = fill_texts(model, tokenizer, texts, flags.n, flags.order, sampling, flags.sweeps)
    shown = ["\n".join(f"{each.score:.4f}  {each.text}" for each in candidates) for candidates in found]
    given = msgspec.structs.asdict(flags)
    del given["json"]
    listed = [
        {"prompt": text, "text": each.text, "fills": each.fills, "ids": each.ids, "score": each.score}
        for text, candidates in zip(texts, found, strict=True)
        for each in candidates
    ]
    return Answer("\n\n".join(shown), {"model": path, **given, "candidates": listed})


def likelihood(operands: list[str], flags: Plain) -> Answer:
    """Tell how likely a model holds texts."""
    from tezgah.generation.kinds import fills_masks
    from tezgah.generation.likelihood import likelihoods
    from tezgah.masked_stations import check_mask

    path, *texts = operands
    model, tokenizer = _opened(path)
    if fills_masks(model):
        check_mask(tokenizer, Path(path))
    check_rows(path, model, tokenizer)
    found = likelihoods(model, tokenizer, texts)
    value = [
        {
            "text": each.text,
            "log_likelihood": each.log_likelihood,
            "tokens": each.tokens,
            "perplexity": each.perplexity,
            "is_pseudo": each.is_pseudo,
            "words": [{"word": word, "log_likelihood": score} for word, score in each.words],
        }
        for each in found
    ]
    return Answer("\n\n".join(map(_told, found)), {"model": path, "texts": value})


def _told(found: "Likelihood") -> str:
    """The figures of a text, and its words one a line."""
    kind = "pseudo_" if found.is_pseudo else ""
    figures = {
        f"{kind}log_likelihood": found.log_likelihood,
        f"{kind}perplexity": found.perplexity,
        "tokens": found.tokens,
    }
    width = max(len(word) for word, _ in found.words) + 2
    words = [f"  {word:<{width}}{score:9.4f}" for word, score in found.words]
    return "\n".join([found.text, lines(figures), *words])


def _opened(path: str) -> "tuple[Any, Tokenizer]":
    """A MODEL on the best device here, and its tokenizer."""
    from tezgah.recipe import Recipe
    from tezgah.stations import evaluation_place

    model, tokenizer = with_tokenizer(path)
    return model.to(evaluation_place(Recipe()).device), tokenizer


MASKED_VERBS = {
    "fill": Verb(
        "Fill the masks of each TEXT: [MASK] stands for a token, [MASK:3] for three, [MASK*] for as many of 1 to 8 as "
        "are likeliest.",
        ("MODEL", "TEXT…"),
        FillFlags,
        fill,
        f"{MODEL} It needs a masked-LM head. Before a candidate stands the mean probability of its tokens (geometric). "
        "Outside of the masks a text stays as it is. After `--` a TEXT may begin with a dash.",
    ),
    "likelihood": Verb(
        "Tell the log-likelihood of each TEXT and of its words, in nats; of a masked language model the pseudo one.",
        ("MODEL", "TEXT…"),
        Plain,
        likelihood,
        f"{MODEL} After `--` a TEXT may begin with a dash.",
    ),
}
