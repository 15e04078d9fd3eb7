"""The plots of one run: which figures of `metrics.jsonl` stand on which axes."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from tezgah.training.figures import (
    BLUE,
    DASHES,
    EACH_STEP,
    TRAINING,
    VALIDATION,
    Level,
    Line,
    Look,
    Panel,
    Scale,
)
from tezgah.training.metrics import Floats, Row, column, seconds_below

Against = Literal["tokens", "epochs", "time", "log-log"]
LOSSES = {
    "loss": ("training, each step", EACH_STEP),
    "train_eval_loss": ("training, evaluated", TRAINING),
    "validation_loss": ("validation", VALIDATION),
}
COMPRESSORS = {"gzip": "gzip -9", "xz": "xz -9e", "xz_primed": "xz -9e, primed"}
LEVEL_DASHES = {"gzip": DASHES[2], "xz": DASHES[1], "xz_primed": DASHES[3]}


def x_values(rows: Sequence[Row], against: Against) -> tuple[Floats, str]:
    """Where each row stands on the x axis, (rows,), and that axis' label."""
    if against == "epochs":
        return column(rows, "epoch"), "epochs (passes over the training split)"
    if against == "time":
        unit, seconds = time_unit(rows[-1].seconds if rows else 0)
        return column(rows, "seconds") / seconds, f"training time ({unit})"
    return column(rows, "tokens"), "training (tokens seen)"


def time_unit(seconds: float) -> tuple[str, int]:
    """The unit in which a run's length reads well, and its seconds.

    >>> time_unit(90), time_unit(240), time_unit(40_000)
    (('seconds', 1), ('minutes', 60), ('hours', 3600))
    """
    if seconds < 120:
        return "seconds", 1
    return ("minutes", 60) if seconds < 5 * 3_600 else ("hours", 3_600)


def loss_panel(rows: Sequence[Row], against: Against) -> Panel:
    """Loss of every step, and of both splits in evaluation mode."""
    values = [column(rows, field) for field in LOSSES]
    return _splits_panel(rows, against, "loss (nats per token)", values, "log" if against == "log-log" else "linear")


def perplexity_panel(rows: Sequence[Row], against: Against) -> Panel:
    """The exponential of each loss, always on a logarithmic axis: it falls from thousands to tens."""
    with np.errstate(over="ignore"):
        values = [np.exp(column(rows, field)) for field in LOSSES]
    return _splits_panel(rows, against, "perplexity (exp of the loss)", values, "log")


def _splits_panel(rows: Sequence[Row], against: Against, y_label: str, values: list[Floats], y_scale: Scale) -> Panel:
    x, x_label = x_values(rows, against)
    lines = [Line(label, x, y, look) for (label, look), y in zip(LOSSES.values(), values, strict=True)]
    return Panel(x_label, y_label, lines, x_scale="log" if against == "log-log" else "linear", y_scale=y_scale)


def bits_panel(rows: Sequence[Row], baselines: Mapping[str, float], against: Against = "time") -> Panel:
    """Held-out bits per byte, with the compressors as horizontal lines and the crossing of `xz` marked."""
    x, x_label = x_values(rows, against)
    seconds = seconds_below(rows, baselines["xz"]) if "xz" in baselines else None
    crossing = None
    if against == "time" and seconds is not None:
        unit, length = time_unit(rows[-1].seconds)
        crossing = (seconds / length, baselines["xz"], f"below xz after {seconds / length:.1f} {unit}")
    return Panel(
        x_label,
        "held-out text (bits per byte)",
        [Line("model", x, column(rows, "bits_per_byte"), VALIDATION)],
        levels=levels(baselines),
        crossing=crossing,
    )


def accuracy_panel(rows: Sequence[Row], baselines: Mapping[str, float], against: Against = "time") -> Panel:
    """The masked accuracy of held-out text, with the fillers it is held against as horizontal lines."""
    x, x_label = x_values(rows, against)
    return Panel(
        x_label,
        "held-out masks filled as they were (share)",
        [Line("model", x, column(rows, "masked_accuracy"), VALIDATION)],
        levels=[Level(name, value, DASHES[1]) for name, value in baselines.items()],
        from_zero=True,
    )


def levels(baselines: Mapping[str, float]) -> list[Level]:
    """The compressors as horizontal lines."""
    known = [name for name in COMPRESSORS if name in baselines]
    return [Level(COMPRESSORS[name], baselines[name], LEVEL_DASHES[name]) for name in known]


def rate_panel(rows: Sequence[Row]) -> Panel:
    """The learning rate of every step."""
    line = Line("learning rate", column(rows, "step"), column(rows, "learning_rate"), Look(BLUE))
    return Panel("training (steps)", "learning rate (per step)", [line], from_zero=True)


def throughput_panel(rows: Sequence[Row]) -> Panel:
    """Tokens a second, of every step and as a running median."""
    x, x_label = x_values(rows, "time")
    values = column(rows, "tokens_per_second")
    return Panel(x_label, "throughput (tokens per second)", _with_median(x, values), from_zero=True)


def gradient_panel(rows: Sequence[Row], clip: float) -> Panel:
    """The gradient's norm before clipping; `clip` is the largest norm let through, 0 where clipping is off."""
    lines = _with_median(column(rows, "step"), column(rows, "grad_norm"))
    clipped = [Level(f"clipped above {clip:g}", clip, DASHES[1])] if clip else []
    return Panel("training (steps)", "gradient norm (L2, before clipping)", lines, levels=clipped, y_scale="log")


def _with_median(x: Floats, y: Floats) -> list[Line]:
    shown = np.isfinite(y)
    x, y = x[shown], y[shown]
    span = len(y) // 60
    if span < 2:
        return [Line("each step", x, y, Look(BLUE))]
    starts = np.arange(0, len(y), span)
    median = np.array([np.median(y[start : start + span]) for start in starts])
    middle = np.array([np.median(x[start : start + span]) for start in starts])
    return [Line("each step", x, y, EACH_STEP), Line(f"median of {span:,} steps", middle, median, Look(BLUE))]
