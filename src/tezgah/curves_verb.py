"""The verb that sets runs beside one another: `tezgah curves`."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from tezgah.answers import Answer, Plain, Verb, lines
from tezgah.errors import InputError


class CurvesFlags(Plain, frozen=True):
    """Flags of `curves`."""

    o: Annotated[
        str,
        Meta(description="page to write, .html, its picture beside it; or the picture alone, .png, .svg or .pdf"),
    ] = "curves.html"


def curves(operands: list[str], flags: CurvesFlags) -> Answer:
    """Draw runs over one another, and say where they cross and what differs."""
    output = Path(flags.o)
    kind = output.suffix.lower().removeprefix(".")
    if kind not in ("html", "png", "svg", "pdf"):
        raise InputError(f"{output}: curves are a page, .html, or a picture, .png, .svg or .pdf. Choose one of these.")
    from tezgah.changes import has_outdated_evaluation
    from tezgah.curves_page import curves_page
    from tezgah.curves_table import compare, text, value
    from tezgah.files import write_bytes, write_text
    from tezgah.training.compared import read_compared
    from tezgah.training.curves import runs_figure
    from tezgah.training.figures import picture

    found = compare(read_compared([Path(operand) for operand in operands], has_outdated_evaluation))
    written = {"picture": str(output.with_suffix(".png") if kind == "html" else output)}
    write_bytes(Path(written["picture"]), picture(runs_figure(found.runs), "png" if kind == "html" else kind))
    if kind == "html":
        write_text(output, curves_page(found))
        written = {"page": str(output), **written}
    return Answer(f"{text(found)}\n\n{lines(written)}", {**value(found), **written})


CURVES = Verb(
    "Draw runs over one another, over tokens, time and FLOPs, as one page; say where they cross and what differs.",
    ("RUN…",),
    CurvesFlags,
    curves,
    "A RUN is a run folder; its training may be going on, or stopped. Curves are compared by validation loss, or by "
    "bits per byte where tokens or samples are not the same in all runs.",
)
