"""The verb that sets two models side by side: `tezgah compare`."""

from typing import TYPE_CHECKING, Any

import msgspec

from tezgah.answers import Answer, Verb, lines
from tezgah.comparing import OF_THE_VERB, CompareFlags
from tezgah.opening import MODEL

if TYPE_CHECKING:
    from tezgah.compare_page import TaskComparison
    from tezgah.evaluation.paired import McNemar
    from tezgah.evaluation.side_by_side import SideBySide


def compare(operands: list[str], flags: CompareFlags) -> Answer:
    """Set two models side by side on one page."""
    from tezgah import comparing

    given = {name: getattr(flags, name) for name in CompareFlags.__struct_fields__ if name not in OF_THE_VERB}
    found = comparing.compare(operands[0], operands[1], flags.o, **given)
    value: dict[str, Any] = {"models": found.models, **found.drawn}
    value |= {"texts": msgspec.to_builtins(found.texts), "tasks": msgspec.to_builtins(found.tasks, str_keys=True)}
    figures = {**_figures(found.texts, found.tasks), "page": flags.o}
    return Answer(lines(figures), {**value, "page": flags.o})


def _figures(texts: "SideBySide | None", tasks: "TaskComparison | None") -> dict[str, str]:
    """What a reader wants to know first."""
    shown: dict[str, str] = {}
    if texts:
        shown["prompts"] = f"{sum(len(family.prompts) for family in texts.families):,}"
        for writer, row in zip(texts.models, texts.bits_per_byte, strict=True):
            for reader, bits in zip(texts.models, row, strict=True):
                shown[f"{writer} read by {reader}"] = f"{bits} bits per byte" if bits else "nothing written"
    if tasks:
        shown["pass@1, second − first"] = str(tasks.difference.difference)
        shown["p, sign flips"] = f"{tasks.difference.p_value:.4f}"
        shown["p, McNemar"] = _p_values(tasks.mcnemar)
        shown["flipped tasks"] = f"{len(tasks.only_first):,} to {len(tasks.only_second):,}"
        if tasks.infilled:
            shown["infilled lines right, second − first"] = str(tasks.infilled.difference.difference)
            shown["p, McNemar, infilled lines"] = _p_values(tasks.infilled.mcnemar)
    return shown


def _p_values(found: "McNemar") -> str:
    return f"{found.exact:.4f} exact, {found.mid_p:.4f} mid-p"


COMPARE = Verb(
    "Set two models side by side on one page: what they write after the same prompts, which code tasks they solve.",
    ("MODEL", "MODEL"),
    CompareFlags,
    compare,
    f"{MODEL} Both have the same seeds. A line of --prompts in double quotes has the escapes of JSON.",
)
