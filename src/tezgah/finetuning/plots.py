"""The pictures of a classifier: which classes are taken for which, how far its confidence holds, how it learned."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from tezgah.evaluation.calibration import Bin
from tezgah.finetuning.metrics import Measured
from tezgah.finetuning.training import Epoch
from tezgah.training.figures import BLUE, DASHES, INK, QUIET, STEP, TRAINING, VALIDATION, Line, Look, Panel, styled

MOST_NUMBERED = 20  # classes up to which every cell shows its count
LONGEST_NAME = 24  # characters of a label beside an axis
DEEPEST = 0.6  # of the colour of a cell; ink is read on it, light or dark


def confusion_figure(measured: Measured) -> Figure:
    """The confusion matrix: a row a true class, a column a predicted one, the colour its share of the row."""
    counts = np.array(measured.confusion)
    names = [_short(each.label) for each in measured.classes]
    size = min(11.0, 2.2 + 0.5 * len(names))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with styled():
        figure = Figure(figsize=(size, size - 0.4), layout="constrained")
        axes = figure.add_subplot()
        for (row, column), share in np.ndenumerate(shares):
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=BLUE, alpha=DEEPEST * float(share), linewidth=0))
            if len(names) <= MOST_NUMBERED and counts[row, column]:
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=INK)
        ends = (-0.5, len(names) - 0.5)
        axes.set(xlim=ends, ylim=ends[::-1], xlabel="predicted class", ylabel="true class", aspect="equal")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
    return figure


def reliability_figure(bins: Sequence[Bin]) -> Figure:
    """How often predictions of each confidence are right, and below how many there are of each."""
    with styled():
        figure = Figure(figsize=(4.7, 4.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=QUIET, linewidth=0.9, linestyle=DASHES[1], label="as right as confident")
        for each in bins:
            corner, width = (each.low, 0.0), each.high - each.low
            upper.add_patch(Rectangle(corner, width, each.accuracy, facecolor=BLUE, alpha=0.25, linewidth=0))
            lower.add_patch(Rectangle(corner, width, each.predictions, facecolor=STEP, linewidth=0))
        x, y = [each.confidence for each in bins], [each.accuracy for each in bins]
        upper.plot(x, y, color=BLUE, marker="o", markersize=4, linewidth=1.2, label="this model")
        upper.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        lower.set(xlabel="confidence", ylabel="predictions", ylim=(0, 1.05 * max(each.predictions for each in bins)))
        lower.yaxis.set_minor_locator(NullLocator())
    return figure


def loss_panel(history: Sequence[Epoch]) -> Panel:
    """Loss of both sides after every epoch."""
    lines = [Line("training, with dropout", _epochs(history), _values(history, "loss"), TRAINING)]
    if any(each.validation_loss is not None for each in history):
        lines.append(Line("held out", _epochs(history), _values(history, "validation_loss"), VALIDATION))
    return Panel("epochs", "loss (nats per label)", lines, from_zero=True)


def quality_panel(history: Sequence[Epoch]) -> Panel:
    """Accuracy and macro-F1 on what is held out, after every epoch."""
    lines = [
        Line("accuracy", _epochs(history), _values(history, "accuracy"), Look(BLUE, "s", DASHES[1])),
        Line("macro-F1", _epochs(history), _values(history, "macro_f1"), VALIDATION),
    ]
    return Panel("epochs", "share (held-out texts)", lines, from_zero=True)


def _epochs(history: Sequence[Epoch]) -> np.ndarray:
    return np.array([each.epoch for each in history], np.float64)


def _values(history: Sequence[Epoch], name: str) -> np.ndarray:
    values = [getattr(each, name) for each in history]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
