"""The parts that run, as lines: who is in trouble first."""

from collections.abc import Sequence

from dts_core.plain import glyphs, words
from dts_core.plain.cells import cells, pad
from dts_core.text import clean
from dts_core.views import PartView, StatusView
from dts_tui.draw import Line, fit, rule

TROUBLE = ("away", "quiet")
COLUMN = 90
"""From twice this width on parts stand in two columns."""
_NAME_MOST = 22


def troubled(parts: Sequence[PartView]) -> list[PartView]:
    """Those that are away or were not heard of lately."""
    return [part for part in parts if part.state in TROUBLE]


def in_order(parts: Sequence[PartView]) -> list[PartView]:
    """Trouble first, the others as the server has them."""
    return sorted(parts, key=lambda part: part.state not in TROUBLE)


def parts_panel(status: StatusView, width: int, height: int) -> list[Line]:
    """A title and as many parts as fit; the last line says how many do not."""
    up = words.since(status.started_at, status.at)
    bad = len(troubled(status.parts))
    title: Line = [("parts", "title"), (f" ─ {len(status.parts)}", "dim")]
    title.append((f" ─ {bad} in trouble", "bad") if bad else (" ─ all well", "good"))
    out = [rule(title, [(f"{status.engine}, dts {status.version}, up {up}", "dim")], width)]
    lines = part_lines(status.parts, width)
    room = max(height - 1, 0)
    if len(lines) > room > 0:
        left = len(lines) - room + 1
        lines = [*lines[: room - 1], [(f"  and {words.plural(left, 'more line')}: v", "dim")]]
    return out + lines[:room]


def part_lines(parts: Sequence[PartView], width: int) -> list[Line]:
    """Each part in a line, in two columns where there is room."""
    shown = in_order(parts)
    name = min(max((cells(_name(part)) for part in shown), default=0), _NAME_MOST)
    if width < 2 * COLUMN:
        return [fit(part_line(part, name), width) for part in shown]
    half = width // 2
    rows = -(-len(shown) // 2)
    lines = [fit(part_line(part, name), half) for part in shown]
    lines += [fit([], half)] * (2 * rows - len(lines))
    return [[*lines[row], *lines[row + rows]] for row in range(rows)]


def part_line(part: PartView, name: int) -> Line:
    """One part: glyph, name, its state in words, where it runs."""
    look = glyphs.part(part.state)
    style = "text" if part.state in TROUBLE else "dim"
    line: Line = [
        (f"  {look.glyph} ", look.style),
        (pad(_name(part), name) + "  ", "text"),
        (clean(part.words, 400), style),
    ]
    if part.pid:
        line.append((f"  pid {part.pid}", "faint"))
    return line


def _name(part: PartView) -> str:
    return clean(f"{part.name} {part.host}".rstrip(), 120)
