"""The picture of `tezgah tokenizer measure`: bytes per token and tokens per word, a bar each."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tezgah.errors import InputError
from tezgah.files import write_bytes
from tezgah.tokenizer.measure import Measures
from tezgah.tokenizer_table import Reading
from tezgah.training.figures import INK, PALETTE, PICTURES, picture, styled

BAR_INCHES, GAP_BARS = 0.2, 0.9  # height of a bar; bars that fit between two data sets
HATCHES = ("", "///", "...")  # after as many tokenizers as there are colours
PANELS: tuple[tuple[str, Callable[[Measures], float]], ...] = (
    ("bytes per token (more is better)", lambda measures: measures.bytes_per_token),
    ("tokens per word (fewer is better)", lambda measures: measures.tokens_per_word),
)


def picture_kind(output: Path) -> str:
    """The kind of a picture by its suffix. Raises InputError for others than .png, .svg and .pdf."""
    kind = output.suffix.lower().removeprefix(".")
    if kind not in PICTURES:
        raise InputError(f"{output}: a picture ends in .png, .svg or .pdf. Choose one of these.")
    return kind


def draw_bars(readings: Sequence[Reading], output: Path) -> None:
    """Draw readings into a .png, .svg or .pdf file: a group of bars a data set, a colour a tokenizer."""
    write_bytes(output, picture(bars_figure(readings), picture_kind(output)))


def bars_figure(readings: Sequence[Reading]) -> Figure:
    """The figure: two panels side by side, with one legend above both."""
    tokenizers = list(dict.fromkeys(reading.tokenizer for reading in readings))
    data = list(dict.fromkeys(reading.data for reading in readings))
    bars = len(data) * (len(tokenizers) + GAP_BARS)
    with styled():
        figure = Figure(figsize=(11, 1.3 + BAR_INCHES * bars), layout="constrained")
        first = figure.add_subplot(1, 2, 1)
        second = figure.add_subplot(1, 2, 2, sharey=first)
        for axes, (label, measure) in zip((first, second), PANELS, strict=True):
            for number, tokenizer in enumerate(tokenizers):
                of_it = {each.data: measure(each.measured.measures) for each in readings if each.tokenizer == tokenizer}
                _draw(axes, number, len(tokenizers), tokenizer, [of_it[name] for name in data])
            axes.set(xlabel=label)
            axes.margins(x=0.12)  # room for the numbers
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
        first.set_yticks(np.arange(len(data)) * (len(tokenizers) + GAP_BARS), data)
        first.invert_yaxis()
        second.tick_params(labelleft=False)
        handles, labels = first.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4)
    return figure


def _draw(axes: Axes, number: int, tokenizers: int, name: str, values: Sequence[float]) -> None:
    """The bars of a tokenizer, one a data set, with their numbers."""
    middle = np.arange(len(values)) * (tokenizers + GAP_BARS)
    bars = axes.barh(
        middle + number - (tokenizers - 1) / 2,
        values,
        height=0.86,
        color=PALETTE[number % len(PALETTE)],
        hatch=HATCHES[number // len(PALETTE) % len(HATCHES)],
        edgecolor="white",
        linewidth=0,
        label=f"./{name}" if name.startswith("_") else name,  # matplotlib hides "_…" from a legend
    )
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8, color=INK)
