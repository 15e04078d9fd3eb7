"""The page of `tezgah compare`: completions side by side, what a word changes, tasks that flipped.

Whatever a model wrote is escaped: markup is text, control characters are symbols.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tezgah.evaluation.intervals import Interval
from tezgah.evaluation.paired import Difference, McNemar, mcnemar, paired_difference
from tezgah.evaluation.task_results import TaskSummary
from tezgah.training.markdown import escape
from tezgah.training.page import page

if TYPE_CHECKING:
    from tezgah.evaluation.infilling import Infilled
    from tezgah.evaluation.side_by_side import FamilyTexts, SideBySide, WordShift
    from tezgah.evaluation.wording import TypicalWord
    from tezgah.task_measure import Measured

FOOTER = (
    "Intervals are of 95 %, by the bootstrap of tasks, prompts or completions; of one alone there is none. Typical "
    "words are those whose log-odds ratio with an informative prior (Monroe et al. 2008) is farthest from 0, in "
    "standard deviations. Few completions tell little: what is shown here is what these seeds gave."
)


class FlippedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that one model alone solved, with a sample of each."""

    task_id: str
    completions: tuple[str, str]
    reasons: tuple[str, str]


class InfilledComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two models that fill in the middle, on the same lines; their shares of right ones stand in their summaries."""

    mcnemar: McNemar
    difference: Difference


class TaskComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same tasks. A task is solved where any of its samples passed; pass@1 counts every sample.

    `infilled` is None unless both models fill in the middle and a task has a solution.
    """

    summaries: list[TaskSummary]
    contaminations: list[str]
    isolation: str
    mcnemar: McNemar
    difference: Difference
    infilled: InfilledComparison | None
    only_first: list[FlippedTask]
    only_second: list[FlippedTask]


def compare_tasks(first: "Measured", second: "Measured") -> TaskComparison:
    """Paired tests of two models' results on the same tasks."""
    from tezgah.task_measure import contaminated

    sides = [_by_task(each) for each in (first, second)]
    tasks = list(sides[0])
    before, after = ([any(row.passed for row in side[task]) for task in tasks] for side in sides)
    rates = [[sum(row.passed for row in side[task]) / len(side[task]) for task in tasks] for side in sides]
    flipped = [(a, _flipped(task, sides)) for task, a, b in zip(tasks, before, after, strict=True) if a != b]
    return TaskComparison(
        summaries=[first.summary, second.summary],
        contaminations=[contaminated(each.contamination) for each in (first, second)],
        isolation=first.isolation,
        mcnemar=mcnemar(before, after),
        difference=paired_difference(rates[0], rates[1], "pass@1"),
        infilled=_compare_infilled(first.infilled, second.infilled),
        only_first=[each for is_first, each in flipped if is_first],
        only_second=[each for is_first, each in flipped if not is_first],
    )


def compare_page(
    names: Sequence[str], texts: "SideBySide | None", tasks: TaskComparison | None, drawn: Mapping[str, Any]
) -> str:
    """The whole page; `drawn` says how completions were."""
    sections = {
        "Tasks": _tasks(names, tasks) if tasks else "",
        "Completions": "".join(_family(names, each) for each in texts.families) if texts else "",
        "What a word changes": _shifts(texts) if texts else "",
        "The models": _models(texts) if texts else "",
    }
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in drawn.items())
    return page(" and ".join(names), f"Two models side by side, with the same seeds. {told}.", sections, FOOTER)


def _by_task(measured: "Measured") -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in measured.results:
        found.setdefault(row.task_id, []).append(row)
    return found


def _compare_infilled(first: "Sequence[Infilled]", second: "Sequence[Infilled]") -> InfilledComparison | None:
    """Paired tests of whether each line was filled in right; the lines are the same of both models."""
    if not first or not second:
        return None
    before, after = ([each.matches for each in side] for side in (first, second))
    return InfilledComparison(mcnemar=mcnemar(before, after), difference=paired_difference(before, after, "infill"))


def _flipped(task: str, sides: Sequence[Mapping[str, list[Any]]]) -> FlippedTask:
    """The first sample that passed, or else the first, of each model."""
    shown = [next((row for row in side[task] if row.passed), side[task][0]) for side in sides]
    return FlippedTask(
        task_id=task,
        completions=(shown[0].completion, shown[1].completion),
        reasons=(shown[0].reason, shown[1].reason),
    )


def _tasks(names: Sequence[str], found: TaskComparison) -> str:
    first, second = found.summaries
    rows = [[f"pass@{k}", str(each), str(second.pass_at_k[k])] for k, each in first.pass_at_k.items()]
    rows.append(["parses", str(first.parses), str(second.parses)])
    rows.append(["first call runs", str(first.runs), str(second.runs)])
    bits = [_shown(each.solution_bits_per_byte) for each in (first, second)]
    rows.append(["solution bits per byte", *bits])
    infilled = [each.infill_exact_match for each in (first, second)]
    if any(infilled):  # the tasks are the same, and so have solutions: who has no share does not fill in the middle
        rows.append(["infilled lines right", *(str(each or "does not fill in the middle") for each in infilled)])
    rows.append(["contamination", *found.contaminations])
    told = [
        f"{first.tasks:,} tasks, {first.samples:,} samples of each model; isolation {found.isolation}. "
        + _tests("pass@1", found.difference, "a task solved by any sample", found.mcnemar)
    ]
    if found.infilled:
        told.append(
            _tests("infilled lines", found.infilled.difference, "a line filled in right", found.infilled.mcnemar)
        )
    flipped = [
        _details(f"{each.task_id}: solved by {name} alone", _columns(names, [_sample(each, 0), _sample(each, 1)]))
        for name, side in zip(names, (found.only_first, found.only_second), strict=True)
        for each in side
    ]
    none = "" if flipped else "<p>No task flipped.</p>"
    return _table(["", *names], rows) + "".join(f"<p>{escape(each)}</p>" for each in told) + "".join(flipped) + none


def _tests(score: str, difference: Difference, success: str, uneven: McNemar) -> str:
    """Both paired tests in words."""
    return (
        f"Second minus first, {score}: {difference.difference}, p = {difference.p_value:.4f} (sign flips). "
        f"McNemar, {success}: {uneven.only_first:,} by the first alone, {uneven.only_second:,} by the second alone, "
        f"p = {uneven.exact:.4f} exact, {uneven.mid_p:.4f} mid-p."
    )


def _sample(task: FlippedTask, side: int) -> str:
    return f'<p class="caption">{escape(task.reasons[side])}</p>{_pre("", escape(task.completions[side]))}'


def _family(names: Sequence[str], family: "FamilyTexts") -> str:
    """Every prompt of a line, the models' completions in two columns."""
    parts = []
    for each in family.prompts:
        columns = [
            "".join(
                f'<p class="caption">{number}</p>{_pre(escape(each.prompt), escape(text))}'
                for number, text in enumerate(side, 1)
            )
            for side in each.texts
        ]
        parts.append(f"<h3>{escape(each.prompt.strip() or '(empty)')}</h3>{_columns(names, columns)}")
    return "".join(parts)


def _shifts(texts: "SideBySide") -> str:
    """A table for each family of prompts."""
    head = ["words", "model", "shift, nats/token", "distinct words", "typical of the first", "typical of the second"]
    return "".join(
        f"<h3>{escape(family.line)}</h3>{_table(head, [_shift_row(each) for each in family.shifts])}"
        for family in texts.families
        if family.shifts
    )


def _shift_row(found: "WordShift") -> list[str]:
    distinct = " · ".join(f"{each:.2f}" for each in found.distinct)
    return [" · ".join(found.words), found.model, _shown(found.shift), distinct, *_typical(found.typical)]


def _models(texts: "SideBySide") -> str:
    """What each model makes of what both wrote, and their words."""
    rows = [
        [writer, *(_shown(each) for each in row), f"{distinct:.3f}"]
        for writer, row, distinct in zip(texts.models, texts.bits_per_byte, texts.distinct, strict=True)
    ]
    head = ["written by", *(f"bits per byte under {name}" for name in texts.models), "distinct words"]
    words = _table([f"typical of {name}" for name in texts.models], [_typical(texts.typical)])
    return _table(head, rows) + words


def _typical(words: "Sequence[TypicalWord]") -> list[str]:
    sides = [each for each in words if each.z > 0], [each for each in reversed(words) if each.z < 0]
    return [", ".join(f"{each.word} ({abs(each.z):.1f})" for each in side) or "–" for side in sides]


def _shown(each: Interval | None) -> str:
    return "–" if each is None else str(each)


def _columns(names: Sequence[str], columns: Sequence[str]) -> str:
    parts = (
        f"<figure><figcaption>{escape(name)}</figcaption>{body}</figure>"
        for name, body in zip(names, columns, strict=True)
    )
    return f'<div class="figures">{"".join(parts)}</div>'


def _pre(prompt: str, text: str) -> str:
    """Both as they are; a browser drops a newline that comes first, so that one is set before them."""
    return f"<pre>\n{prompt}<b>{text}</b></pre>"


def _details(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f'<div class="wide"><table><thead>{row("th", head)}</thead><tbody>{body}</tbody></table></div>'
