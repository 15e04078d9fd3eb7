"""The page of `tezgah curves`: runs over one another, where they cross, what they came to, which settings differ."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tezgah.curves_table import COLUMNS, Comparison, counted, figures, flops
from tezgah.fields import shown
from tezgah.training.compared import OVER, UNITS, Compared, Measure, measures_of
from tezgah.training.curves import look_of, runs_panels, shared_levels
from tezgah.training.figures import QUIET, Look, Scale, inline_svg, swatch
from tezgah.training.markdown import escape
from tezgah.training.page import figure, number, page, switch
from tezgah.training.plots import time_unit

FIGURE_INCHES = (3.7, 2.9)  # three beside one another on a wide page
SCALES: dict[str, Scale] = {"log-log": "log", "linear": "linear"}
TITLES: dict[Measure, str] = {
    "validation_loss": "Validation loss",
    "bits_per_byte": "Bits per byte",
    "masked_accuracy": "Masked accuracy",
}
FOOTER = (
    "Drawn from the files of the runs' folders alone: metrics.jsonl, recipe.toml, evaluation.json, tokenizer/, "
    "model/config.json. Time is that of training with its readings and checkpoints. FLOPs are tokens times those of "
    "training on one: three times forward, attention counted at half where it is causal, nothing recomputed."
)


def curves_page(found: Comparison) -> str:
    """The whole page."""
    runs = found.runs
    name = ", ".join(run.name for run in runs) if len(runs) <= 3 else f"{len(runs)} runs"
    lead = f"Learning curves of {len(runs)} run{'s' if len(runs) > 1 else ''} over tokens, time and FLOPs."
    sections = {"Curves": _curves(runs), "Crossings": _crossings(found), "Runs": _runs(runs), **_settings(found)}
    return page(name, lead, sections, FOOTER, found.notes)


def _curves(runs: Sequence[Compared]) -> str:
    """Every panel on both scales, under one legend for all."""
    note = (
        "Marked: readings of held-out text. Thin: the training loss, the median of stretches of steps that grow as the "
        "run does. On log-log axes the reading before the first step is left out. "
        + ("The ring is where the two runs cross last." if len(runs) == 2 else "")
    )
    options = {option: _figures(runs, option, scale) for option, scale in SCALES.items()}
    return f'{_legend(runs)}{switch("axes", "axes", options)}<p class="caption">{note}</p>'


def _figures(runs: Sequence[Compared], option: str, scale: Scale) -> str:
    drawn = (
        figure(f"{measure}-{over}-{option}", f"{TITLES[measure]} over {over}", panel, FIGURE_INCHES, False)
        for measure, over, panel in runs_panels(runs, scale)
    )
    return f'<div class="figures three">{"".join(drawn)}</div>'


def _legend(runs: Sequence[Compared]) -> str:
    looks = [(run.name, look_of(number)) for number, run in enumerate(runs)]
    looks += [(level.label, Look(QUIET, dash=level.dash, width=0.9)) for level in shared_levels(runs)]
    items = (
        f"<li>{inline_svg(swatch(look), f'swatch-{number}', 'line')}{escape(label)}</li>"
        for number, (label, look) in enumerate(looks)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _crossings(found: Comparison) -> str:
    """A row for every two runs."""
    if not found.meetings:
        return ""
    rows = [
        [f"{first}, {second}", *(each.words for each in pair)]
        for (first, second), pair in groupby(found.meetings, key=lambda each: (each.first, each.second))
    ]
    why = (
        f"By {found.measure.replace('_', ' ')} ({UNITS[found.measure]}): {found.reason} "
        "Between two readings a curve is taken as a straight line over the logarithm of the axis."
    )
    return _table(["runs", *(f"over {over}" for over in OVER)], rows) + f'<p class="caption">{escape(why)}</p>'


def _runs(runs: Sequence[Compared]) -> str:
    """What each run came to."""
    unit, seconds = time_unit(max(run.rows[-1].seconds for run in runs))
    head = ["run", "parameters", "FLOPs/token", "tokens", "epochs", unit, "FLOPs", "tokens/s", "FLOPs/s"]
    measures = measures_of(runs)
    head += [f"{COLUMNS[measure]}, {which}" for measure in measures for which in ("best", "last")] + ["of all text"]
    note = (
        "Loss is that of validation, in nats per token. Best and last are those of the readings, which may take a part "
        "of the held-out text; the last column is the evaluation of all of it, in bits per byte. Tokens/s are the "
        "median step's."
    )
    table = _table(head, [[run.name, *_cells(figures(run), seconds, measures)] for run in runs], numbers_from=1)
    return f'{table}<p class="caption">{note}</p>'


def _cells(found: dict[str, Any], unit_seconds: int, measures: Sequence[Measure]) -> list[str]:
    losses = [number(found[name]) for measure in measures for name in (f"best_{measure}", measure)]
    return [
        *(counted(found[name]) for name in ("parameters", "flops_per_token", "tokens")),
        f"{found['epoch']:.2f}",
        f"{found['seconds'] / unit_seconds:,.1f}",
        flops(found["flops"]),
        counted(found["tokens_per_second"]),
        flops(found["flops_per_second"]),
        *losses,
        number(found["held_out_bits_per_byte"]),
    ]


def _settings(found: Comparison) -> dict[str, str]:
    """The fields of the recipes that are not the same in all runs; no section where one run stands alone."""
    if len(found.runs) == 1:
        return {}
    told = [run.name for run in found.runs if run.record.recipe]
    rows = [[key, *(shown(values[name]) for name in told)] for key, values in found.settings.items()]
    return {
        "Settings that differ": _table(["field", *told], rows) if rows else "<p>None: the recipes are the same.</p>"
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int | None = None) -> str:
    """A table of texts; the columns from `numbers_from` on are numbers."""

    def cell(tag: str, place: int, text: str) -> str:
        kind = "" if numbers_from is None or place < numbers_from else ' class="number"'
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    def row(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(cell(tag, place, text) for place, text in enumerate(cells))}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f'<div class="wide"><table><thead>{row("th", head)}</thead><tbody>{body}</tbody></table></div>'
