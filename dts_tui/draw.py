"""Drawing with characters: pure functions from figures to lines of styled text.

No Textual here, so that looks are testable.

A line is a list of spans (text, style name). Style names belong to the palette (themes.py). Widths are terminal cells.
"""

import math
import re
from collections.abc import Iterable, Sequence

from rich.cells import set_cell_size

from dts_core.plain.cells import cells, cut, pad

Span = tuple[str, str]
Line = list[Span]

_EIGHTHS = " ▎▎▍▌▋▊▉█"  # not the eighth: a bar ends in it
_SPARKS = "▁▂▃▄▅▆▇█"


def width_of(line: Iterable[Span]) -> int:
    """Cells a line takes."""
    return sum(cells(text) for text, _ in line)


def fit(line: Line, width: int, style: str = "text") -> Line:
    """The line in exactly `width` cells, cut or padded."""
    out: Line = []
    left = width
    for index, (text, name) in enumerate(line):
        need = cells(text)
        if need > left or (need == left and left and index + 1 < len(line) and _more(line, index)):
            out.append(
                (pad(cut(text + " ", left) if need == left else cut(text, left), left), name)
            )
            return out
        out.append((text, name))
        left -= need
    if left > 0:
        out.append((" " * left, style))
    return out


def _more(line: Line, index: int) -> bool:
    return any(text.strip() for text, _ in line[index + 1 :])


def join(groups: Sequence[Line], gap: str = "  ", style: str = "text") -> Line:
    """Lines one after another, with a gap between."""
    out: Line = []
    for index, group in enumerate(groups):
        if index:
            out.append((gap, style))
        out.extend(group)
    return out


def spread(left: Line, right: Line, width: int, style: str = "text") -> Line:
    """`left` and `right` at the two ends; when both do not fit, `left` is cut."""
    need = width_of(right)
    if need >= width:
        return fit(right, width, style)
    gap = 1 if need else 0
    return [*fit(left, width - need - gap, style), (" " * gap, style), *right]


def hits(text: str, style: str, search: str) -> Line:
    """The text in its style, every place that holds the search set off, whatever its case."""
    if not search:
        return [(text, style)]
    out: Line = []
    last = 0
    for match in re.finditer(re.escape(search), text, re.IGNORECASE):
        out += [(text[last : match.start()], style), (match.group(), "hit")]
        last = match.end()
    return [*out, (text[last:], style)]


def level_style(fraction: float) -> str:
    """The palette style of a load: calm, raised from 75 %, high from 90 %."""
    return "bad" if fraction >= 0.9 else "warn" if fraction >= 0.75 else "bar"


def bar(fraction: float, width: int, style: str = "") -> Line:
    """A bar of `width` cells including its two ends, to an eighth of a cell."""
    inner = max(width - 2, 1)
    fraction = min(max(fraction, 0.0), 1.0) if math.isfinite(fraction) else 0.0
    eighths = round(fraction * inner * 8)
    if fraction > 0 and eighths == 0:
        eighths = 1
    full, part = divmod(eighths, 8)
    body = "█" * full + (_EIGHTHS[part] if part else "")
    name = style or level_style(fraction)
    return [("▕", "faint"), (body, name), (" " * (inner - len(body)), name), ("▏", "faint")]


def spark(values: Sequence[float], width: int, top: float = 1.0) -> str:
    """The last `width` values as a row of blocks from 0 to `top`; missing ones are blank on the left."""
    shown = list(values)[-width:] if width > 0 else []
    return "".join(_spark(value, top) for value in shown).rjust(width)


def _spark(value: float, top: float) -> str:
    if not math.isfinite(value) or top <= 0:
        return " "
    step = int(min(max(value / top, 0.0), 1.0) * 7.999)
    return _SPARKS[step]


def squeeze(
    values: Sequence[float], points: int, *, count: int = 0, capacity: int = 0
) -> list[float]:
    """At most `points` values, each the mean of some neighbours, so that a long history fits a short row.

    Args:
        values: Oldest first.
        points: Most values to return.
        count: How many values there ever were, these being the last: groups then stay on
            the same values as time goes on.
        capacity: How many values a full history has; what fits is decided by it, so that nothing jumps while it fills.
    """
    if points <= 0:
        return []
    size = -(-max(len(values), capacity) // points)
    if size <= 1:
        return list(values)
    total = max(count, len(values))
    first = total - len(values)
    groups: dict[int, list[float]] = {}
    for index, value in enumerate(values, first):
        groups.setdefault(index // size, []).append(value)
    return [sum(group) / len(group) for group in groups.values()][-points:]


def chart(values: Sequence[float], width: int, height: int, top: float = 1.0) -> list[str]:
    """An area chart of `height` rows, newest value on the right; a point is one cell wide, an eighth of a cell high."""
    shown = list(values)[-width:]
    rows: list[str] = []
    for row in range(height):
        floor = height - row - 1
        out = []
        for value in shown:
            part = min(max(value / top, 0.0), 1.0) * height * 8 - floor * 8 if top > 0 else 0.0
            step = int(min(max(part, 0.0), 8.0))
            out.append(" " if step == 0 and floor else _SPARKS[max(step - 1, 0)])
        rows.append("".join(out).rjust(width))
    return rows


def rule(title: Line, right: Line, width: int, style: str = "border") -> Line:
    """A title line across the whole width: `── title ───────── right ──`."""
    head: Line = [("── ", style), *title, (" ", style)]
    told = any(text for text, _ in right)
    tail: Line = [(" ", style), *right, (" ──", style)] if told else [("", style)]
    room = width - width_of(tail)
    if room < 6:
        return fit(head, width, style)
    used = width_of(head)
    head = fit(head, room, style) if used > room else [*head, ("─" * (room - used), style)]
    return [*head, *tail]


def box(
    body: Sequence[Line], title: Line, right: Line, width: int, height: int, style: str
) -> list[Line]:
    """A frame of exactly `width` x `height` cells around lines, with a title in its upper edge."""
    if width < 4 or height < 2:
        return [fit([], width) for _ in range(height)]
    inner = width - 4
    out = [[("┌", style), *_edge(title, right, width - 2, style), ("┐", style)]]
    for index in range(height - 2):
        line = body[index] if index < len(body) else []
        out.append([("│ ", style), *fit(line, inner), (" │", style)])
    out.append([("└" + "─" * (width - 2) + "┘", style)])
    return out


def _edge(title: Line, right: Line, width: int, style: str) -> Line:
    head: Line = [(" ", style), *title, (" ", style)]
    tail: Line = [(" ", style), *right, (" ", style)] if right else []
    used, end = width_of(head), width_of(tail)
    if used + end + 1 > width:
        tail, end = [], 0
    if used > width:
        return fit(head, width, style)
    return [*head, ("─" * (width - used - end), style), *tail]


def wrap(text: str, width: int) -> list[str]:
    """Plain text folded at `width` cells, at spaces where there are any; at least one line."""
    if width <= 0:
        return [text]
    lines: list[str] = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while cells(rest) > width:
            piece = set_cell_size(rest, width).rstrip("\0")
            space = piece.rfind(" ")
            end = space if space > width // 3 else max(_fitting(rest, width), 1)
            lines.append(rest[:end].rstrip())
            rest = rest[end:].lstrip(" ")
        lines.append(rest)
    return lines


def _fitting(text: str, width: int) -> int:
    if text[:width].isascii():
        return width
    total = 0
    for index, char in enumerate(text):
        total += cells(char)
        if total > width:
            return index
    return len(text)


def pairs(items: Sequence[tuple[str, str, str]], width: int) -> list[Line]:
    """Lines of `label  value`, values folded; (label, value, style)."""
    label = min(max((cells(name) for name, _, _ in items), default=0), 22)
    out: list[Line] = []
    for name, value, style in items:
        for index, text in enumerate(wrap(value, max(width - label - 3, 10))):
            out.append([(pad(name if index == 0 else "", label) + "   ", "dim"), (text, style)])
    return out
