"""The report's first section: what the model makes of held-out text, beside those who learn nothing from order."""

import math
from collections.abc import Callable

import numpy as np

from tezgah.tokens.neighbours import NEIGHBOURS
from tezgah.training.figures import Panel
from tezgah.training.metrics import column, last, seconds_below
from tezgah.training.page import figure, number
from tezgah.training.plots import COMPRESSORS, accuracy_panel, bits_panel
from tezgah.training.record import Record

MASKED = "Masked accuracy"


def held_out(record: Record) -> tuple[str, str]:
    """The section's title and body."""
    return (MASKED, _masked(record)) if is_masked(record) else ("Bits per byte", _bits(record))


def headline(record: Record) -> tuple[str, str]:
    """The one figure to remember of a run, and its name."""
    evaluation = record.evaluation
    field = "masked_accuracy" if is_masked(record) else "bits_per_byte"
    value = getattr(evaluation, field) if evaluation else last(record.rows, field)
    return (MASKED, _percent(value)) if is_masked(record) else ("Bits per byte", number(value))


def held_out_panel(record: Record) -> Panel:
    """The course of that figure."""
    if is_masked(record):
        return accuracy_panel(record.rows, record.baselines)
    return bits_panel(record.rows, record.reading_baselines)


def is_masked(record: Record) -> bool:
    """Whether the run's model fills masks."""
    return last(record.rows, "masked_accuracy") is not None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _masked(record: Record) -> str:
    """The course of the masked accuracy, and where it ended."""
    panel = held_out_panel(record)
    values = {NEIGHBOURS: record.baselines[NEIGHBOURS]} if NEIGHBOURS in record.baselines else {}
    if record.evaluation and record.evaluation.masked_accuracy is not None:
        values["this model"] = record.evaluation.masked_accuracy
    bars = _bars(dict(sorted(values.items(), key=lambda pair: -pair[1])), _percent)
    note = (
        "The share of masked tokens of held-out text whose likeliest filling is the token that stood there; higher is "
        "better. 15 % of the tokens are masked, always the same ones, each replaced by [MASK]. Pairs of neighbours "
        "are counts of the training text: the token that most likely stands between the two beside it."
    )
    return f'<div class="figures">{figure("masked", MASKED, panel)}<div>{bars}</div></div>' + (
        f'<p class="caption">{note}</p>'
    )


def _bits(record: Record) -> str:
    panel = held_out_panel(record)
    if panel.is_empty and not record.evaluation:
        return ""
    values = {COMPRESSORS[name]: value for name, value in record.baselines.items() if name in COMPRESSORS}
    if record.evaluation and record.evaluation.bits_per_byte is not None:
        values["this model"] = record.evaluation.bits_per_byte
    bars = _bars(dict(sorted(values.items(), key=lambda pair: pair[1])), "{:.3f}".format)
    beside = bars + f"<p>{_verdict(record)}</p>"
    note = (
        "The model's loss over the held-out text, in bits, divided by the text's bytes; lower is better. "
        "The compressors read the same bytes in order; primed, xz has read the end of the training text before them. "
        "Readings during training may take a part of the held-out text, and the lines in the plot are of that part; "
        "the final figures take all of it."
    )
    return f'<div class="figures">{figure("bits", "Held-out bits per byte", panel)}<div>{beside}</div></div>' + (
        f'<p class="caption">{note}</p>'
    )


def _bars(values: dict[str, float], written: Callable[[float], str]) -> str:
    """The model among others, in this order; nothing before it is measured."""
    if "this model" not in values:
        return ""
    longest = max(values.values())
    bars = (
        f'<span{mark}>{name}</span><span><i{mark} style="width:{100 * value / longest:.1f}%"></i></span>'
        f"<span{mark}>{written(value)}</span>"
        for name, value in values.items()
        for mark in (' class="ours"' if name == "this model" else "",)
    )
    return f'<div class="bars">{"".join(bars)}</div>'


def _verdict(record: Record) -> str:
    """When the curve fell below xz, in words."""
    if "xz" not in record.reading_baselines:
        return "The compressors are measured when training is over."
    level, lowest = record.reading_baselines["xz"], np.fmin.reduce(column(record.rows, "bits_per_byte"))
    seconds = seconds_below(record.rows, level)
    if seconds is None and math.isnan(lowest):
        return "No reading of bits per byte was taken while training."
    if seconds is None:
        return f"The curve did not fall below xz -9e: its lowest reading is {lowest:.3f}, xz needs {level:.3f}."
    return (
        f"The curve falls below xz -9e of the same bytes ({level:.3f}) <strong>at minute {seconds / 60:.1f}</strong>, "
        "taken on a straight line over the logarithm of time between the readings around it."
    )
