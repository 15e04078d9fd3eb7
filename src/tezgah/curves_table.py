"""What `tezgah curves` says: runs side by side, where their curves cross, and which settings differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
import numpy as np

from tezgah.answers import table
from tezgah.recipe import differing
from tezgah.training.compared import (
    UNITS,
    Compared,
    Measure,
    Meeting,
    cautions,
    common_measure,
    measures_of,
    meetings,
    notes,
)
from tezgah.training.figures import power_number
from tezgah.training.metrics import column
from tezgah.training.page import number
from tezgah.training.plots import time_unit

MOST_PAIRS = 10  # whose crossings are told on the terminal
COLUMNS: dict[Measure, str] = {
    "validation_loss": "loss",
    "bits_per_byte": "bits/byte",
    "masked_accuracy": "masked accuracy",
}


@dataclass(frozen=True)
class Comparison:
    """Runs, and what was found out about them."""

    runs: Sequence[Compared]
    measure: Measure  # that crossings are told by
    reason: str
    meetings: Sequence[Meeting]
    settings: dict[str, dict[str, Any]]  # those that differ: key → run → value
    notes: Sequence[str]  # what is not there, and what may mislead


def compare(runs: Sequence[Compared]) -> Comparison:
    """Compare runs by the measure that means the same in all of them."""
    measure, reason = common_measure(runs)
    return Comparison(
        runs,
        measure,
        reason,
        meetings(runs, measure),
        differing({run.name: run.record.recipe for run in runs if run.record.recipe}),
        [*(sentence for run in runs for sentence in notes(run)), *cautions(runs)],
    )


def figures(run: Compared) -> dict[str, Any]:
    """What a run has come to, by name; None where it is not known."""
    newest, rates = run.rows[-1], column(run.rows, "tokens_per_second")
    rate = float(np.nanmedian(rates)) if np.isfinite(rates).any() else None
    each = run.flops_per_token
    return {
        "parameters": run.parameters,
        "flops_per_token": each,
        "step": newest.step,
        "tokens": newest.tokens,
        "epoch": newest.epoch,
        "seconds": newest.seconds,
        "flops": None if each is None else each * newest.tokens,
        "tokens_per_second": rate,
        "flops_per_second": None if each is None or rate is None else each * rate,
        **{f"best_{measure}": run.best(measure) for measure in UNITS},
        **{measure: run.newest(measure) for measure in UNITS},
        "held_out_bits_per_byte": run.record.evaluation.bits_per_byte if run.record.evaluation else None,
    }


def text(found: Comparison) -> str:
    """All of it for a terminal."""
    parts = [_runs(found.runs)]
    if found.meetings:
        parts.append(f"Crossings, by {found.measure.replace('_', ' ')}: {found.reason}")
        pairs = [list(pair) for _, pair in groupby(found.meetings, key=lambda each: (each.first, each.second))]
        parts += [_pair(pair, is_named=len(pairs) > 1) for pair in pairs[:MOST_PAIRS]]
        if len(pairs) > MOST_PAIRS:
            parts.append(f"And {len(pairs) - MOST_PAIRS:,} pairs more: in the page, and with --json.")
        parts.append(f"Settings that differ: {', '.join(found.settings) or 'none'}.")
    if found.notes:
        parts.append("\n".join(found.notes))
    return "\n\n".join(parts)


def value(found: Comparison) -> dict[str, Any]:
    """All of it as one object."""
    return {
        "runs": {run.name: figures(run) for run in found.runs},
        "measure": found.measure,
        "reason": found.reason,
        "crossings": [_crossings(each, found.measure) for each in found.meetings],
        "settings": msgspec.to_builtins(found.settings),
        "notes": list(found.notes),
    }


def counted(value: float | None) -> str:
    """A whole number, or a dash."""
    return "–" if value is None else f"{value:,.0f}"


def flops(value: float | None) -> str:
    """Operations as a power of ten, or a dash."""
    return "–" if value is None else power_number(value)


def _crossings(meeting: Meeting, measure: Measure) -> dict[str, Any]:
    met = meeting.met
    return {
        "runs": [meeting.first, meeting.second],
        "over": meeting.over,
        "from": met.start if met else None,
        "to": met.end if met else None,
        "crossings": [
            {"at": at.x, measure: at.y, "below_from_here": meeting.first if at.first_is_below else meeting.second}
            for at in (met.crossings if met else ())
        ],
        "words": meeting.words,
    }


def _runs(runs: Sequence[Compared]) -> str:
    unit, seconds = time_unit(max(run.rows[-1].seconds for run in runs))
    measures = measures_of(runs)
    readings = [each for measure in measures for each in (COLUMNS[measure], "best")]
    head = ("run", "parameters", "FLOPs/token", "tokens", unit, "FLOPs", *readings)
    return table(head, [(run.name, *_cells(figures(run), seconds, measures)) for run in runs])


def _cells(found: dict[str, Any], unit_seconds: int, measures: Sequence[Measure]) -> list[str]:
    whole = [counted(found[name]) for name in ("parameters", "flops_per_token", "tokens")]
    losses = [number(found[name]) for measure in measures for name in (measure, f"best_{measure}")]
    return [*whole, f"{found['seconds'] / unit_seconds:,.1f}", flops(found["flops"]), *losses]


def _pair(pair: Sequence[Meeting], is_named: bool) -> str:
    """Two runs over every axis, a line each."""
    head = [f"{pair[0].first}, {pair[0].second}"] if is_named else []
    return "\n".join([*head, *(f"over {each.over:<6}  {each.words}" for each in pair)])
