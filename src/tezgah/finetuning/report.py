"""`report.html` of a fine-tuning: what the classifier can do, what it takes for what, and how far to trust it.

Texts and labels are escaped on the way in.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tezgah.files import write_bytes, write_text
from tezgah.finetuning.plots import confusion_figure, loss_panel, quality_panel, reliability_figure
from tezgah.finetuning.record import FinetuneRecord, Mistake
from tezgah.training.figures import inline_svg, picture
from tezgah.training.markdown import escape
from tezgah.training.page import figure, number, page

FOOTER = (
    "Drawn from finetune.json of this folder alone. Macro-F1 is the mean of the classes' F1, each class counted alike. "
    "The best epoch was chosen by the held-out texts, so that their figures are a little too good; measure on others."
)
SEVERAL = "Where a text may have several labels there is no confusion matrix: every label is a question of its own."


def write_report(folder: Path, record: FinetuneRecord) -> None:
    """Write `report.html` and its pictures, `confusion.png` and `reliability.png`, into the folder."""
    if record.measured.confusion:
        write_bytes(folder / "confusion.png", picture(confusion_figure(record.measured), "png"))
    write_bytes(folder / "reliability.png", picture(reliability_figure(record.measured.reliability), "png"))
    write_text(folder / "report.html", report_page(record))


def report_page(record: FinetuneRecord) -> str:
    """The whole page."""
    lead = f"A classifier of {len(record.labels):,} labels, made of {record.model} by tezgah; {record.held_out}."
    return page(Path(record.data).name, lead, dict(_sections(record)), FOOTER, record.notes, _keys(record))


def _sections(record: FinetuneRecord) -> Iterator[tuple[str, str]]:
    measured = record.measured
    yield "Classes", _classes(record)
    if measured.confusion:
        drawing = inline_svg(confusion_figure(measured), "confusion", "Confusion matrix: true against predicted class")
        yield (
            "Confusion",
            f'<div style="max-width:44rem">{drawing}</div>'
            + _caption(
                "Texts by their true class, a row, and the class they were given, a column. "
                "The colour is the share of the row."
            ),
        )
    else:
        yield "Confusion", f"<p>{SEVERAL}</p>"
    drawing = inline_svg(reliability_figure(measured.reliability), "reliability", "Accuracy against confidence")
    yield (
        "Calibration",
        f'<div style="max-width:30rem">{drawing}</div>'
        + _caption(
            f"Expected calibration error {measured.calibration_error:.3f}: how far confidence and accuracy lie apart, "
            f"over {len(measured.reliability)} steps of confidence that have predictions. "
            "Below the dashed line the model is surer than it is right."
        ),
    )
    if record.history:
        panels = [figure("loss", "Loss", loss_panel(record.history))]
        if record.history[0].macro_f1 is not None:
            panels.append(figure("quality", "Accuracy and macro-F1", quality_panel(record.history)))
        yield "Training", f'<div class="figures">{"".join(panels)}</div>'
    yield "Mistakes", _mistakes(record.mistakes)
    yield "Settings", _table(("setting", "value"), [(name, str(value)) for name, value in record.settings.items()])


def _keys(record: FinetuneRecord) -> str:
    """The headline figures."""
    measured = record.measured
    spread = f"folds: {number(min(record.folds))} to {number(max(record.folds))}" if record.folds else ""
    cells = (
        ("Macro-F1", number(measured.macro_f1), spread or f"best epoch {record.best_epoch}"),
        ("Accuracy", number(measured.accuracy), f"of {measured.texts:,} held-out texts"),
        ("Calibration error", number(measured.calibration_error), "expected, 0 is best"),
        ("Trained on", f"{record.trained_texts:,}", f"texts, {record.seconds / 60:.1f} minutes"),
    )
    inside = "".join(
        f'<div><dt>{label}</dt><dd class="value">{value}</dd><dd class="beside">{beside}</dd></div>'
        for label, value, beside in cells
    )
    return f'<dl class="keys">{inside}</dl>'


def _classes(record: FinetuneRecord) -> str:
    rows = [
        (
            each.label,
            f"{record.counts.get(each.label, 0):,}",
            f"{each.texts:,}",
            *(f"{value:.3f}" for value in (each.precision, each.recall, each.f1)),
        )
        for each in record.measured.classes
    ]
    return _table(("class", "texts", "of them measured", "precision", "recall", "F1"), rows)


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>None among the held-out texts.</p>"
    rows = [
        (
            each.text if each.text_pair is None else f"{each.text} ‖ {each.text_pair}",
            ", ".join(each.labels) or "none",
            ", ".join(each.predicted) or "none",
            f"{each.confidence:.3f}",
        )
        for each in mistakes
    ]
    return _table(("text", "label", "predicted", "confidence"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; numbers stand to the right."""
    is_number = [
        all(row[place].replace(",", "").replace(".", "").isdigit() for row in rows) for place in range(len(head))
    ]
    kinds = [' class="number"' if right else "" for right in is_number]
    top = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _caption(text: str) -> str:
    return f'<p class="caption">{text}</p>'
