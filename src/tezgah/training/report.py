"""`report.html` and `curves.png`: a run explained by the files of its own folder.

Text that came from documents or from the model is escaped on the way in.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tezgah.files import write_bytes, write_text
from tezgah.models.cost import count_parameters
from tezgah.training.curves import run_figure
from tezgah.training.figures import picture
from tezgah.training.held_out import headline, held_out, is_masked
from tezgah.training.markdown import escape, to_html
from tezgah.training.metrics import LONGEST_LINE, Row, column, last
from tezgah.training.page import figure, number, page, switch
from tezgah.training.plots import (
    Against,
    gradient_panel,
    loss_panel,
    perplexity_panel,
    rate_panel,
    throughput_panel,
    time_unit,
)
from tezgah.training.record import Record, model_config, read_record
from tezgah.training.samples import samples
from tezgah.training.sources_table import sources_table


def write_report(run: Path, is_outdated: bool = False) -> None:
    """Write `report.html` and `curves.png` from the files of a run folder, finished or not.

    What the run does not hold yet is named at the top of the page; without a single row of
    metrics there is no `curves.png`. `is_outdated` says that `evaluation.json` is of an earlier
    model, so that its figures are left out.
    """
    record = read_record(run, is_outdated)
    if record.rows:
        write_bytes(run / "curves.png", picture(run_figure(record), "png"))
    write_text(run / "report.html", report_page(record))


def report_page(record: Record) -> str:
    """The whole page."""
    sections = dict(_sections(record))
    return page(record.name, _lead(record), sections, _footer(record), record.missing, _keys(record))


def _sections(record: Record) -> Iterator[tuple[str, str]]:
    """Each section's title and body; an empty body leaves the section out."""
    if record.rows:
        yield held_out(record)
        yield "Loss and perplexity", _losses(record.rows)
        yield "Training", _training(record)
        yield "Sources", sources_table(record)
        yield "Samples", samples(record.rows, is_masked(record))
    yield "Corpus", to_html(record.card.removeprefix("# Corpus card"), top=2)
    yield "Tokenizer", _tokenizer(record.measures)
    yield "Recipe", f"<pre>{escape(record.recipe_text)}</pre>" if record.recipe_text else ""
    yield "Versions", _table(record.versions)
    yield "Log", _log(record.log)


def _lead(record: Record) -> str:
    if not record.rows:
        return "A run of tezgah that has not begun to train."
    newest = record.rows[-1]
    state = "measured on its held-out text" if record.evaluation else "not yet measured at its end"
    return f"A run of tezgah, {newest.step:,} steps long, {state}."


def _keys(record: Record) -> str:
    """The headline figures."""
    if not record.rows:
        return ""
    cells = "".join(
        f'<div><dt>{label}</dt><dd class="value">{value}</dd><dd class="beside">{beside}</dd></div>'
        for label, value, beside in _headline(record)
    )
    return f'<dl class="keys">{cells}</dl>'


def _headline(record: Record) -> Iterator[tuple[str, str, str]]:
    """Label, value, and a word beside it."""
    rows, evaluation, newest = record.rows, record.evaluation, record.rows[-1]
    source = "held-out text, whole" if evaluation else "at the last reading"
    unit, seconds = time_unit(newest.seconds)
    rates = column(rows, "tokens_per_second")
    speed = f"{np.nanmedian(rates):,.0f}" if np.isfinite(rates).any() else "–"
    vocabulary = record.measures.get("vocab_size")
    config = model_config(record)
    parameters = f"{count_parameters(config):,}" if config else "–"
    yield "Parameters", parameters, f"{vocabulary:,} token ids" if vocabulary else ""
    yield "Tokens seen", f"{newest.tokens:,}", f"{newest.epoch:.2f} epochs, {newest.step:,} steps"
    yield "Training time", f"{newest.seconds / seconds:.1f} {unit}", "with readings and checkpoints"
    yield "Throughput", speed, "tokens per second, median"
    yield "Training loss", number(last(rows, "train_eval_loss")), f"last step alone {number(last(rows, 'loss'))}"
    yield "Validation loss", number(last(rows, "validation_loss")), "nats per token"
    yield "Perplexity", number(evaluation.perplexity if evaluation else last(rows, "perplexity")), source
    name, value = headline(record)
    yield name, value, source


def _losses(rows: Sequence[Row]) -> str:
    """Loss and perplexity side by side; a switch without a script chooses the x axis."""
    options = {
        against: '<div class="figures">'
        + figure(f"loss-{against}", "Loss", loss_panel(rows, against))
        + figure(f"perplexity-{against}", "Perplexity", perplexity_panel(rows, against))
        + "</div>"
        for against in get_args(Against)
    }
    note = (
        "Both axes of log-log are logarithmic; the reading before the first step, at zero tokens, has no place there."
    )
    return f'{switch("against", "against", options)}<p class="caption">{note}</p>'


def _training(record: Record) -> str:
    rows = record.rows
    if last(rows, "loss") is None:
        return "<p>No step has been taken yet.</p>"
    clip = record.recipe.get("train", {}).get("gradient_clip", 0)
    figures = (
        figure("rate", "Learning rate", rate_panel(rows)),
        figure("gradient", "Gradient norm", gradient_panel(rows, clip)),
        figure("throughput", "Throughput", throughput_panel(rows)),
    )
    return f'<div class="figures">{"".join(figures)}</div>'


def _log(lines: Sequence[dict[str, Any]]) -> str:
    """Warnings and errors in sight, the rest folded away."""
    if not lines:
        return ""
    grave = [line for line in lines if line.get("event") in ("warning", "error")]
    all_of_it = f"<details><summary>All {len(lines):,} lines</summary>{_log_table(lines)}</details>"
    return (_log_table(grave) if grave else "<p>No warning and no error.</p>") + all_of_it


def _log_table(lines: Sequence[dict[str, Any]]) -> str:
    cells = ((str(line.get("time", "")), str(line.get("event", "")), _words(line)) for line in lines)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
    return f'<div class="wide"><table><tbody>{rows}</tbody></table></div>'


def _words(line: dict[str, Any]) -> str:
    """What a line of the log says: its message, the command that began, or the time that passed."""
    command = line.get("command")
    if isinstance(command, list):
        return " ".join(map(str, command))
    return str(line.get("message", f"after {line['seconds']:.1f} s" if "seconds" in line else ""))


def _tokenizer(measures: dict[str, Any]) -> str:
    note = '<p class="caption">Measured on held-out documents; a share lies between 0 and 1.</p>'
    return _table(measures) + note if measures else ""


def _table(values: dict[str, Any]) -> str:
    """A table of names and values; a table inside is opened."""
    if not values:
        return ""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{_value(value)}</td></tr>" for name, value in _pairs(values))
    return f'<div class="wide"><table><tbody>{rows}</tbody></table></div>'


def _pairs(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _pairs(value)
        elif name != "format":
            yield name.replace("_", " "), value


def _value(value: Any) -> str:
    """A value as HTML; the members of a list stand apart, quoted, so that white space shows."""
    if isinstance(value, list):
        return " ".join(f"<code>{escape(repr(each))}</code>" for each in value)
    if isinstance(value, int):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else escape(str(value))


def _footer(record: Record) -> str:
    thinned = (
        f" Of lines longer than {LONGEST_LINE:,} points the lowest and the highest of each equal stretch are drawn."
        if len(record.rows) > LONGEST_LINE
        else ""
    )
    return (
        "Drawn from the files of this folder alone: metrics.jsonl, evaluation.json, recipe.toml, versions.json, "
        "log.jsonl, corpus/card.md, tokenizer/measures.json. "
        f"The loss of each step is that step's own, never smoothed.{thinned}"
    )
