"""The verb that looks into models: `tezgah inspect`."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.errors import InputError
from tezgah.opening import MODEL
from tezgah.settings import PositiveInt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tezgah.inspection_table import Inspected
    from tezgah.models.inspection import Looked

PROGRESS_BYTES = 1_000_000_000  # of weights, whose reading takes long enough to be told of


class InspectFlags(Plain, frozen=True):
    """Flags of `inspect`."""

    all: Annotated[bool, Meta(description="every block and every tensor, those that are alike too")] = False
    context: Annotated[
        PositiveInt | None, Meta(description="tokens of a text, for FLOPs and memory; default the model's longest")
    ] = None
    batch: Annotated[PositiveInt, Meta(description="texts at once, for memory")] = 1
    attention: Annotated[
        str, Meta(description="draw who attends to whom in this text, in every layer and head, as a page")
    ] = ""
    o: Annotated[str, Meta(description="the page to write, .html")] = "attention.html"


def inspect(operands: list[str], flags: InspectFlags) -> Answer:
    """Tell what a model is and costs, or what differs between two; or draw its attention."""
    if flags.attention:
        return _attention(operands, flags)
    from tezgah import inspection_table

    found = [_inspected(path, flags, with_statistics=len(operands) == 1) for path in operands]
    if len(found) == 1:
        return Answer(inspection_table.text(found[0], flags.all), inspection_table.value(found[0]))
    first, second = found
    compared = None
    if first.looked.files is not None and second.looked.files is not None:
        from tezgah.models.weight_statistics import compare

        prefixes = first.looked.family.prefix, second.looked.family.prefix
        with _reading(first.looked) as told:
            compared = compare(first.looked.files, second.looked.files, prefixes, told)
    return Answer(
        inspection_table.comparison_text(first, second, compared, flags.all),
        inspection_table.comparison_value(first, second, compared),
    )


def _inspected(path: str, flags: InspectFlags, with_statistics: bool) -> "Inspected":
    from tezgah.api import find_model
    from tezgah.inspection_table import Inspected
    from tezgah.models.inspection import in_order, look
    from tezgah.models.weight_statistics import statistics_of
    from tezgah.tokenizer.reading import holds_tokenizer
    from tezgah.tokenizer.tokenizer import Tokenizer

    looked = look(find_model(Path(path)))
    longest = looked.config.context_length
    if flags.context is not None and flags.context > longest:
        raise InputError(f"--context {flags.context:,}: {path} sees {longest:,} tokens at most. Give no more.")
    tokenizer = Tokenizer.load(looked.folder) if holds_tokenizer(looked.folder) else None
    statistics = {}
    if with_statistics and looked.files is not None:
        with _reading(looked) as told:
            names = in_order(looked.files.shapes)
            statistics = {name: statistics_of(looked.files.tensor(name), told) for name in names}
    return Inspected(
        path,
        looked,
        statistics,
        {"vocab_size": tokenizer.vocab_size, "hash": tokenizer.hash} if tokenizer else None,
        flags.context or longest,
        flags.batch,
    )


@contextmanager
def _reading(looked: "Looked") -> "Iterator[Callable[[int], None]]":
    """Takes how many numbers were read; shows how far it is where the weights are large."""
    from tezgah.console import progress
    from tezgah.models.cost import count_parameters

    numbers = count_parameters(looked.config)
    if 4 * numbers < PROGRESS_BYTES:
        yield lambda read: None
        return
    with progress("reading weights", numbers, "numbers") as bar:
        yield bar.advance


def _attention(operands: list[str], flags: InspectFlags) -> Answer:
    """Draw the attention of one model in a text."""
    if len(operands) > 1:
        raise InputError(f"--attention draws one MODEL: {operands[1]} is too many.")
    path, output = operands[0], Path(flags.o)
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{output}: the page is HTML. Give -o a name that ends in .html.")
    from tezgah.attention_page import read_attention, write_page
    from tezgah.opening import with_tokenizer

    model, tokenizer = with_tokenizer(path)
    seen = read_attention(path, model, tokenizer, flags.attention)
    write_page(seen, output)
    layers, heads, time, _ = seen.weights.shape
    value = {"page": str(output), "layers": layers, "heads": heads}
    return Answer(lines(value | {"tokens": time}), value | {"tokens": list(seen.tokens)})


INSPECT = Verb(
    "Look into a model: its parts, what it costs, its weights; of two, what differs. With --attention, draw who "
    "attends to whom in a text.",
    ("MODEL", "[MODEL]"),
    InspectFlags,
    inspect,
    f"{MODEL} Of one without weights its config.json alone is told of. Weights are read a piece at a time.",
)
