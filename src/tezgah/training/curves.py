"""Curves as pictures: of one run, and of several runs over one another."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tezgah.errors import InputError
from tezgah.files import write_bytes
from tezgah.training.figures import PICTURES, figure_of, picture
from tezgah.training.plots import bits_panel, levels, loss_panel, runs_panel
from tezgah.training.record import Record, read_record


def draw_curves(runs: Sequence[Path], output: Path) -> None:
    """Draw runs over one another, named by their folders; `output` is a .png, .svg or .pdf file.

    One run alone is drawn as the `curves.png` of its folder is.
    """
    kind = output.suffix.lower().removeprefix(".")
    if kind not in PICTURES:
        raise InputError(f"{output}: a picture of curves ends in .png, .svg or .pdf. Choose one of these.")
    if not runs:
        raise InputError("No run was given to draw. Give one run folder or more.")
    records = [read_record(run) for run in runs]
    for run, record in zip(runs, records, strict=True):
        if not record.rows:
            raise InputError(f"{run}: metrics.jsonl holds no row yet. Train this run first, or leave it out.")
    figure = run_figure(records[0]) if len(records) == 1 else runs_figure(dict(zip(names(runs), records, strict=True)))
    write_bytes(output, picture(figure, kind))


def run_figure(record: Record) -> Figure:
    """One run: its losses against tokens, its bits per byte over time."""
    panels = [loss_panel(record.rows, "tokens"), bits_panel(record.rows, record.reading_baselines)]
    return figure_of(panels, width=11, height=4, columns=2)


def runs_figure(records: dict[str, Record]) -> Figure:
    """Several runs by name: validation loss and held-out bits per byte, each against tokens and over time.

    The compressors are drawn where every run was held to the same ones.
    """
    runs = {name: record.rows for name, record in records.items()}
    baselines = [record.reading_baselines for record in records.values()]
    shared = levels(baselines[0]) if all(these == baselines[0] for these in baselines) else []
    loss, bits = "validation loss; thin: each step (nats per token)", "held-out text (bits per byte)"
    panels = [
        runs_panel(runs, "validation_loss", loss, "tokens"),
        runs_panel(runs, "validation_loss", loss, "time"),
        runs_panel(runs, "bits_per_byte", bits, "tokens", shared),
        runs_panel(runs, "bits_per_byte", bits, "time", shared),
    ]
    return figure_of(panels, width=11, height=7.6, columns=2, shared=True)


def names(runs: Sequence[Path]) -> list[str]:
    """What each run is called in the legend: its folder's name, or its whole path where two folders share one.

    >>> names([Path("runs/small"), Path("runs/large")]), names([Path("a/small"), Path("b/small")])
    (['small', 'large'], ['a/small', 'b/small'])
    """
    count = Counter(run.resolve().name for run in runs)
    found = [name if count[name := run.resolve().name] == 1 else str(run) for run in runs]
    return [f"./{name}" if name.startswith("_") else name for name in found]  # matplotlib hides "_…" from a legend
