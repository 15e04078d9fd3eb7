"""The small part of Markdown that a corpus card uses, as HTML: headings, tables, lists, code, bold.

Everything else is text, and all text is escaped: a card quotes documents nobody has vetted.
"""

import html
import re
from collections.abc import Callable, Iterator

HEADING = re.compile(r"(#{1,6})\s+(.*?)(\s+#+)?\s*$")
ITEM = re.compile(r"(\s*)([-*+]|\d{1,9}[.)])\s+(.*)")
FENCE = re.compile(r"`{3,}|~{3,}")
RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")  # the line under a table's head
NUMBER = re.compile(r"[\d.,]+%?")
VISIBLE = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


def escape(text: str) -> str:
    r"""Text that stands in HTML as it is: markup escaped, control characters shown as symbols.

    >>> escape("<b>\x1b[0m")
    '&lt;b&gt;␛[0m'
    """
    whole = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()  # a lone surrogate has no bytes
    return html.escape(whole.translate(VISIBLE))


def to_html(text: str, top: int = 1) -> str:
    r"""Render a card; `#` becomes a heading of level `top`.

    >>> to_html("# Card\n\n- `a.py`, **kept**", top=3)
    '<h3>Card</h3>\n<ul><li><code>a.py</code>, <strong>kept</strong></li></ul>'
    """
    return "\n".join(_blocks(text.replace("\r\n", "\n").split("\n"), top))


def _blocks(lines: list[str], top: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line, end = lines[at], at + 1
        if fence := FENCE.match(line):
            end = next((after for after in range(end, len(lines)) if lines[after].startswith(fence[0])), len(lines))
            yield f"<pre><code>{escape(chr(10).join(lines[at + 1 : end]))}</code></pre>"
            end += 1  # the closing fence
        elif heading := HEADING.match(line):
            level = min(6, top + len(heading[1]) - 1)
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
        elif _is_table(line, "".join(lines[end : end + 1])):
            end = _end(lines, at, lambda line, _below: "|" not in line)
            yield _table(line, lines[at + 1], lines[at + 2 : end])
        elif ITEM.match(line):
            end = _end(lines, at, lambda line, _below: not (ITEM.match(line) or line.startswith(" ")))
            yield _list(lines[at:end])
        elif line.strip():
            end = _end(lines, at, _begins_block)
            yield f"<p>{_inline(' '.join(each.strip() for each in lines[at:end]))}</p>"
        at = end


def _end(lines: list[str], first: int, stops: Callable[[str, str], object]) -> int:
    """The line before which the block of line `first` stops; `stops` sees each line and the one below it."""
    later = range(first + 1, len(lines))
    return next((at for at in later if stops(lines[at], "".join(lines[at + 1 : at + 2]))), len(lines))


def _begins_block(line: str, below: str) -> bool:
    return not line.strip() or any(kind.match(line) for kind in (FENCE, HEADING, ITEM)) or _is_table(line, below)


def _is_table(line: str, below: str) -> bool:
    return "|" in line and "|" in below and bool(RULE.match(below))


def _table(head: str, rule: str, body: list[str]) -> str:
    """A table in a box that scrolls by itself on a narrow page; columns ruled `--:` or all of numbers stand right."""
    width = len(_cells(rule))
    rows = [(_cells(line) + [""] * width)[:width] for line in body]  # short rows are filled, long ones cut
    columns = zip(_cells(rule), *rows, strict=True)
    right = [rule.endswith(":") or (cells and all(map(NUMBER.fullmatch, cells))) for rule, *cells in columns]

    def row(cells: list[str], tag: str) -> str:
        kinds = (' class="number"' if is_right else "" for is_right in right)
        return f"<tr>{''.join(f'<{tag}{kind}>{_inline(c)}</{tag}>' for c, kind in zip(cells, kinds, strict=True))}</tr>"

    top, rest = row((_cells(head) + [""] * width)[:width], "th"), "".join(row(cells, "td") for cells in rows)
    return f'<div class="wide"><table><thead>{top}</thead><tbody>{rest}</tbody></table></div>'


def _cells(line: str) -> list[str]:
    inside = re.sub(r"^\s*\||(?<!\\)\|\s*$", "", line)
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inside)]


def _list(lines: list[str]) -> str:
    """A list; lines indented deeper than its first marker belong to the item above them."""
    first = ITEM.match(lines[0])
    assert first
    tag = "ol" if first[2][0].isdigit() else "ul"
    items: list[tuple[str, list[str]]] = []
    for line in lines:
        item = ITEM.match(line)
        if item and len(item[1]) <= len(first[1]):
            items.append((item[3], []))
        elif item or items[-1][1]:
            items[-1][1].append(line)
        else:
            items[-1] = (f"{items[-1][0]} {line.strip()}", [])
    inside = "".join(f"<li>{_inline(text)}{_list(below) if below else ''}</li>" for text, below in items)
    return f"<{tag}>{inside}</{tag}>"


def _inline(text: str) -> str:
    """Code spans, bold and backslash escapes of one line."""
    pieces = re.split(r"(?<![\\`])(`+)(?!`)(.+?)(?<!`)\1(?!`)", text)  # text, ticks, code, text, ticks, code, … text
    out = [_bold(pieces[0])]
    for code, after in zip(pieces[2::3], pieces[3::3], strict=True):
        out.append(f"<code>{escape(_unpadded(code))}</code>{_bold(after)}")
    return "".join(out)


def _unpadded(code: str) -> str:
    return code[1:-1] if code.strip() and code[0] == code[-1] == " " else code  # `` ` `` is one tick


def _bold(text: str) -> str:
    marked = re.sub(r"(?<!\\)\*\*(?=\S)(.+?)(?<=\S)\*\*", r"<strong>\1</strong>", escape(text))
    return re.sub(r"\\(&(?:amp|lt|gt|quot|#x27);|[!-/:-@\[-`{-~])", r"\1", marked)
