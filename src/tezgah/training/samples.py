"""The report's section of samples: what the model wrote at each reading, or how it filled the masks of prompts."""

from collections.abc import Sequence

from tezgah.training.figures import short_number
from tezgah.training.markdown import escape
from tezgah.training.metrics import Row, Sample
from tezgah.training.plots import time_unit


def samples(rows: Sequence[Row], is_filled: bool) -> str:
    """The section's body: the samples of each reading, to be unfolded; a prompt that was gone on from stands out.

    Of prompts whose masks were filled, `is_filled`, a table stands first: each before training and after it. Of
    others the newest reading is unfolded.
    """
    unit, seconds = time_unit(rows[-1].seconds)
    sampled = [row for row in rows if row.samples]
    parts = [_before_and_after(sampled)] if is_filled and sampled else []
    for row in sampled:
        opened = " open" if row is sampled[-1] and not is_filled else ""
        loss = f", validation loss {row.validation_loss:.3f}" if row.validation_loss is not None else ""
        when = f"{row.seconds / seconds:.1f} {unit}, {short_number(row.tokens)} tokens{loss}"
        texts = "".join(f"<pre>{escape(each.text) if is_filled else _gone_on(each)}</pre>" for each in row.samples)
        summary = f'Step {row.step:,}<span class="caption">{when}</span>'
        parts.append(f"<details{opened}><summary>{summary}</summary>{texts}</details>")
    return "\n".join(parts)


def _gone_on(sample: Sample) -> str:
    return f"<b>{escape(sample.prompt)}</b>{escape(sample.text.removeprefix(sample.prompt))}"


def _before_and_after(sampled: Sequence[Row]) -> str:
    """A line for each prompt of the newest reading: the prompt, how it was filled at the first reading, and now."""
    readings = [sampled[0], sampled[-1]] if len(sampled) > 1 else [sampled[0]]
    heads = ["prompt", *("before training" if row.step == 0 else f"after {row.step:,} steps" for row in readings)]
    filled = [{each.prompt: each.text for each in row.samples} for row in readings]
    lines = ([prompt, *(texts.get(prompt, "–") for texts in filled)] for prompt in filled[-1])
    titles = "".join(f"<th>{title}</th>" for title in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
