"""A page that stands alone: its figures are inside it, nothing is fetched, no script runs.

What these functions are given as HTML is taken as it is; names and sentences they escape.
"""

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template

from tezgah.training.figures import Panel, figure_of, inline_svg
from tezgah.training.markdown import escape

FIGURE_INCHES = (4.7, 3.2)  # at 9-point text: read well on a 390-pixel phone and in half a desktop page


def page(
    name: str, lead: str, sections: Mapping[str, str], footer: str, missing: Sequence[str] = (), keys: str = ""
) -> str:
    """The whole page: sections by their titles, those without a body left out; `missing` are sentences."""
    shown = {title: body for title, body in sections.items() if body}
    template = Template((resources.files("tezgah.training") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=escape(name),
        lead=escape(lead),
        contents=" ".join(f'<a href="#{_anchor(title)}">{title}</a>' for title in shown),
        missing=f'<div class="note">{"".join(f"<p>{escape(each)}</p>" for each in missing)}</div>' if missing else "",
        keys=keys,
        sections="\n".join(
            f'<section id="{_anchor(title)}">\n<h2>{title}</h2>\n{body}\n</section>' for title, body in shown.items()
        ),
        footer=escape(footer),
    )


def switch(name: str, caption: str, options: Mapping[str, str]) -> str:
    """One of several sets of figures at a time, the first to begin with; it works without a script."""
    parts: list[str] = []
    for option, figures in options.items():
        checked = "" if parts else " checked"
        parts.append(
            f'<input type="radio" name="{name}" id="{name}-{option}"{checked}>'
            f'<label for="{name}-{option}">{option}</label>{figures}'
        )
    return f'<div class="switch" role="radiogroup"><span class="caption">{caption}</span>{"".join(parts)}</div>'


def figure(
    name: str, title: str, panel: Panel, inches: tuple[float, float] = FIGURE_INCHES, has_legend: bool = True
) -> str:
    """A panel under its title; `name` keeps its ids apart from those of other figures."""
    if panel.is_empty:
        return f"<figure><figcaption>{title}</figcaption><p>Nothing to draw yet on these axes.</p></figure>"
    drawing = inline_svg(
        figure_of([panel], *inches, legend="shared" if has_legend else "none"),
        name,
        f"{title}: {panel.y_label} against {panel.x_label}",
    )
    return f"<figure><figcaption>{title}</figcaption>{drawing}</figure>"


def number(value: float | None) -> str:
    """As many decimals as a reader can use; a dash for what is not known.

    >>> [number(value) for value in (1.53249, 29.71, 50_262.4, None)]
    ['1.532', '29.7', '50,262', '–']
    """
    if value is None or math.isnan(value):
        return "–"
    decimals = 3 if abs(value) < 10 else 1 if abs(value) < 1_000 else 0
    return f"{value:,.{decimals}f}"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
