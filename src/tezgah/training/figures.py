"""Figures: what a panel shows is data, how it looks is decided here once.

Colours are Okabe and Ito's (2008, "Color Universal Design"), told apart by colour-blind people;
marker and dash differ as well. Nothing here touches matplotlib's global state.
"""

import io
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from tezgah.training.metrics import Floats, thin

INK, QUIET, GRID, STEP = "#24303a", "#5d6b78", "#e3e7ea", "#a3b0bb"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#b8609a", "#e69f00", "#56b4e9"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
MARKERS = "os^Dv<>"
DASHES = ((0, ()), (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))

Scale = Literal["linear", "log"]
Legend = Literal["each", "shared", "none"]
PICTURES: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}  # undated
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a run may be called "a$b$c"
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "svg.fonttype": "none",  # text stays text: the page's font, selectable, readable by screen readers
}


@dataclass(frozen=True)
class Look:
    """How a line is drawn."""

    color: str
    marker: str = ""
    dash: tuple[float, tuple[float, ...]] = (0, ())
    width: float = 1.2
    alpha: float = 1.0


EACH_STEP = Look(STEP, width=0.7)
TRAINING = Look(BLUE, "s", (0, (4, 1.5)))
VALIDATION = Look(VERMILION, "o")


@dataclass(frozen=True)
class Line:
    """One curve. Without a label it is left out of the legend."""

    label: str
    x: Floats
    y: Floats
    look: Look


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with."""

    label: str
    value: float
    dash: tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes; labels carry their units."""

    x_label: str
    y_label: str
    lines: Sequence[Line]
    levels: Sequence[Level] = ()
    crossing: tuple[float, float, str] | None = None  # x, y and the words beside it
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    from_zero: bool = False  # the y axis begins at zero
    x_in_powers: bool = False  # ticks of the x axis are powers of ten, 2e13

    @property
    def is_empty(self) -> bool:
        """True where no line has a point that these axes can show."""
        return not any(len(self.visible(line)[0]) for line in self.lines)

    def visible(self, line: Line) -> tuple[Floats, Floats]:
        """The pairs that can be drawn: finite, and above zero on a logarithmic axis."""
        shown = np.isfinite(line.x) & np.isfinite(line.y)
        shown &= (line.x > 0) | (self.x_scale == "linear")
        shown &= (line.y > 0) | (self.y_scale == "linear")
        return line.x[shown], line.y[shown]


def styled() -> AbstractContextManager[None]:
    """The house look for figures made and saved inside the block, whatever the user's own settings are."""
    return matplotlib.style.context(["default", STYLE])


def figure_of(
    panels: Sequence[Panel], width: float, height: float, columns: int = 1, legend: Legend = "each"
) -> Figure:
    """Panels side by side, `columns` a row; `width` and `height` in inches.

    Each panel carries its legend above itself; or the figure carries the last panel's, "shared"; or there is none.
    """
    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
        for number, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(-(-len(panels) // columns), columns, number)
            draw(axes, panel)
            if legend == "each":
                axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4)
        if legend == "shared":
            handles, labels = figure.axes[-1].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=4)
    return figure


def draw(axes: Axes, panel: Panel) -> None:
    """Draw a panel's lines, levels and scales."""
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
    for line in panel.lines:
        _draw_line(axes, line, *thin(*panel.visible(line)))
    for level in panel.levels:
        axes.axhline(level.value, color=QUIET, linewidth=0.9, linestyle=level.dash, label=level.label, zorder=1.5)
    if panel.crossing:
        top = max(float(y.max()) for _, y in map(panel.visible, panel.lines) if len(y))
        # a curve that began below the level has the legend above it
        _mark_crossing(axes, *panel.crossing, below=panel.crossing[1] >= top)
    if panel.x_scale == "linear" and (low := axes.dataLim.x0) == axes.dataLim.x1:
        axes.set_xlim(0, 2 * low or 1)  # one point alone
    if panel.from_zero:
        axes.set_ylim(bottom=0)
    if not panel.is_empty:  # a logarithmic axis needs a point to have limits
        _scale(axes, "x", panel.x_scale, power_number if panel.x_in_powers else short_number)
        _scale(axes, "y", panel.y_scale, short_number)


def _draw_line(axes: Axes, line: Line, x: Floats, y: Floats) -> None:
    look = line.look
    marker = look.marker or ("o" if len(x) == 1 else "")  # a line of one point would not be seen
    axes.plot(
        x,
        y,
        color=look.color,
        linewidth=look.width,
        alpha=look.alpha,
        linestyle=look.dash,
        marker=marker,
        markersize=3.8 if look.marker else 2.5,
        markevery=max(1, len(x) // 40),
        label=line.label or "_nolegend_",
        zorder=2.5 if look.marker else 2,
    )


def _mark_crossing(axes: Axes, x: float, y: float, words: str, below: bool) -> None:
    axes.add_line(
        Line2D([x], [y], color=INK, marker="o", markersize=9, markerfacecolor="none", markeredgecolor=INK, zorder=3)
    )
    axes.annotate(words, (x, y), (10, -18 if below else 12), textcoords="offset points", color=INK)


def _scale(axes: Axes, name: Literal["x", "y"], scale: Scale, number: Callable[[float, int], str]) -> None:
    """Ticks a person reads: 1-2-5 over decades, plain steps where a logarithmic axis spans much less than one."""
    axis: Axis = axes.xaxis if name == "x" else axes.yaxis
    locator: Locator = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
    if scale == "log":
        axes.set(**{f"{name}scale": "log"})
        low, high = axis.get_view_interval()
        decades = np.log10(high / low)
        if decades > 0.7:
            locator = LogLocator(subs=(1.0,) if decades > 3 else (1.0, 2.0, 5.0))
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(number))


def short_number(value: float, _position: int = 0) -> str:
    """A tick's number, short.

    >>> [short_number(value) for value in (0, 0.0025, 2.5, 1_500, 20_000, 2_500_000, 3e9)]
    ['0', '0.0025', '2.5', '1,500', '20k', '2.5M', '3B']
    """
    for unit, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(unit, 1e4):
            return f"{value / unit:.4g}{suffix}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def power_number(value: float, _position: int = 0) -> str:
    """A tick's number as a power of ten, to three digits; operations are counted so.

    >>> [power_number(value) for value in (0, 1e12, 2.346e13)]
    ['0', '1e12', '2.35e13']
    """
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}" if value else "0"


def swatch(look: Look) -> Figure:
    """A short piece of a line, for a legend that stands in a page."""
    with styled():
        figure = Figure(figsize=(0.5, 0.16))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.set(xlim=(0, 2), ylim=(-1, 1))
        x, y = np.array([0.0, 1.0, 2.0]), np.zeros(3)
        _draw_line(axes, Line("", x, y, look), x, y)
        axes.lines[0].set_markevery([1])
    return figure


def picture(figure: Figure, kind: str) -> bytes:
    """The figure as a file: png (160 dots an inch), svg or pdf; the same figure gives the same bytes."""
    file = io.BytesIO()
    with styled(), matplotlib.rc_context({"svg.hashsalt": "tezgah"}):
        figure.savefig(file, format=kind, dpi=160, metadata=PICTURES[kind])
    return file.getvalue()


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` to stand inside a page, without references to anything outside.

    `name` keeps its ids apart from those of the page's other figures; `description` is for screen
    readers. Colours become the page's custom properties (`--c0072b2` …), so that a dark page can
    choose its own.
    """
    text = picture(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{description}">', text, count=1
    )
    text = re.sub(r' id="[a-zA-Z.]+(2d)?_\d+"', "", text)  # figure_1, line2d_3: no one refers to them
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text.replace("xlink:href", "href"))
    text = re.sub(r"font-family: [^;]*;", "", text)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]).replace("\n", ""), text)
    return re.sub(r"(fill|stroke): #([0-9a-f]{6})", r"\1: var(--c\2)", text)
