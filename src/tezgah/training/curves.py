"""Curves as pictures: of one run, and of several runs over one another."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from tezgah.training.compared import OVER, Compared, Measure, Over, measures_of, said
from tezgah.training.crossings import encounter
from tezgah.training.figures import DASHES, MARKERS, PALETTE, Level, Line, Look, Panel, Scale, figure_of
from tezgah.training.held_out import held_out_panel
from tezgah.training.metrics import column
from tezgah.training.plots import levels, loss_panel, time_unit
from tezgah.training.record import Record

LONGEST_NAME = 36  # characters of a run's name in the legend of a picture
Y_LABELS: dict[Measure, str] = {
    "validation_loss": "validation loss (nats per token)\nthin: training loss",
    "bits_per_byte": "held-out text (bits per byte)",
    "masked_accuracy": "masked accuracy (share)",
}


def run_figure(record: Record) -> Figure:
    """One run: its losses against tokens, and its held-out figure over time."""
    panels = [loss_panel(record.rows, "tokens"), held_out_panel(record)]
    return figure_of(panels, width=11, height=4, columns=2)


def runs_figure(runs: Sequence[Compared]) -> Figure:
    """Runs over one another: each measure that any of them has over tokens, time and FLOPs, on logarithmic axes."""
    panels = [panel for _, _, panel in runs_panels(runs, "log")]
    rows = len(panels) // len(OVER)
    return figure_of(panels, width=13, height=0.6 + 3.3 * rows, columns=len(OVER), legend="shared")


def runs_panels(runs: Sequence[Compared], scale: Scale) -> Iterator[tuple[Measure, Over, Panel]]:
    """Every panel of runs over one another, row after row; both axes have this scale."""
    for measure in measures_of(runs):
        for over in OVER:
            yield measure, over, _panel(runs, measure, over, scale)


def look_of(number: int) -> Look:
    """How the curve of the run with this number, from 0, is drawn."""
    dash = DASHES[number // len(PALETTE) % len(DASHES)]
    return Look(PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)], dash)


def shared_levels(runs: Sequence[Compared]) -> list[Level]:
    """The compressors as horizontal lines, where every run was held to the same ones."""
    baselines = [run.record.reading_baselines for run in runs]
    return levels(baselines[0]) if all(these == baselines[0] for these in baselines) else []


def _panel(runs: Sequence[Compared], measure: Measure, over: Over, scale: Scale) -> Panel:
    """One measure of every run: its readings marked, and behind a loss the smoothed one of training, thin."""
    unit, each = time_unit(max(run.rows[-1].seconds for run in runs)) if over == "time" else (over, 1)
    lines = []
    for number, run in enumerate(runs):
        look, x = look_of(number), run.x(over) / each
        if scale == "log":
            x = np.where(column(run.rows, "tokens") > 0, x, np.nan)  # before the first step nothing was learned
        if measure == "validation_loss":
            places, loss = run.smoothed_loss
            lines.append(Line("", x[places], loss, Look(look.color, width=0.6, alpha=0.4)))
        lines.append(Line(_short(run.name), x, column(run.rows, measure), look))
    x_labels = {"tokens": "training (tokens seen)", "time": f"training time ({unit})", "FLOPs": "training (FLOPs)"}
    return Panel(
        x_labels[over],
        Y_LABELS[measure],
        lines,
        levels=shared_levels(runs) if measure == "bits_per_byte" else [],
        crossing=_crossing(runs, measure, over, each),
        x_scale=scale,
        y_scale=scale,
        x_in_powers=over == "FLOPs",
    )


def _crossing(runs: Sequence[Compared], measure: Measure, over: Over, each: int) -> tuple[float, float, str] | None:
    """Where the curves of two runs cross last; more runs would have too many such places to mark."""
    met = encounter(*(run.curve(measure, over) for run in runs)) if len(runs) == 2 else None
    if not (met and met.crossings):
        return None
    return met.crossings[-1].x / each, met.crossings[-1].y, said(over, met.crossings[-1].x)


def _short(name: str) -> str:
    """A name for a legend: its ends where it is long; matplotlib hides "_…" from one."""
    half = LONGEST_NAME // 2
    shown = name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"
    return f"./{shown}" if shown.startswith("_") else shown
