"""How a fan-out is drawn: its head, its counts, and differences between answers. No Textual here."""

import difflib
from collections.abc import Sequence
from datetime import datetime

from dts_core.hostsets import fold
from dts_core.plain import glyphs, words
from dts_core.plain.figures import is_final, lasted
from dts_core.text import clean
from dts_core.views.ssh import HostOutputView, HostRunView
from dts_tui.draw import Line, bar, fit, join, rule, wrap
from dts_tui.fanout import MOVING, STATES, FanOut, compared, state_words, what_of
from dts_tui.output_text import output_lines

COMPARED_LINES = 5_000
"""Most lines of each side of a difference."""
SHOWN_LINES = 5_000
"""Most lines of a difference that are shown."""
NARROW = 124
"""Columns below which the counts take two lines."""
_STYLES = {"+": "good", "-": "bad", "@": "accent"}


def head_lines(fan: FanOut, now: datetime, width: int) -> list[Line]:
    """What runs there, how far the job is, and how many hosts stand in each state."""
    job = fan.job
    if job is None:
        return [[("asking …", "dim")]]
    look = glyphs.job(job.state)
    right: Line = [(f"{look.glyph} {job.state}", look.style)]
    took = lasted(job, now)
    if took is not None:
        told = words.duration(took) if is_final(job.state) else words.age(int(took))
        right.append((f"  {told}", "dim"))
    left: Line = [(clean(what_of(job), 2000), "title")]
    return [rule(left, right, width), fit(_progress(fan, width), width), *counts_lines(fan, width)]


def _progress(fan: FanOut, width: int) -> Line:
    assert fan.job is not None
    counts = fan.counts()
    ended = sum(count for state, count in counts.items() if state not in MOVING)
    share = ended / fan.total if fan.total else 0.0
    size = min(max(width // 4, 10), 30)
    told: Line = [
        (" ", "text"),
        *bar(share, size, "good" if ended == counts["ok"] else "warn"),
        (f" {ended} of {words.plural(fan.total, 'host')} ended", "text"),
    ]
    given = fan.job.kwargs if isinstance(fan.job.kwargs, dict) else {}
    parts = [f"{given['at_once']} at once"] if given.get("at_once") else []
    if given.get("batches"):
        parts.append(f"batches {', '.join(str(size) for size in given['batches'][:6])}")
    if given.get("failures_max") is not None:
        parts.append(f"stops after {words.plural(given['failures_max'], 'failure')}")
    if fan.job.again_of:
        parts.append(f"again of {words.short_id(fan.job.again_of)}")
    return [*told, *([("   " + clean(", ".join(parts), 200), "dim")] if parts else [])]


def counts_lines(fan: FanOut, width: int) -> list[Line]:
    """Every way to end with its glyph, word and count, and where hosts stand before; two lines where one is short."""
    counts = fan.counts()
    parts: list[Line] = []
    for state in (*STATES, *MOVING):
        look, count = glyphs.run(state), counts[state]
        told = f"{look.glyph} {state_words(state)} {words.count(count)}"
        parts.append([(told, look.style if count else "faint")])
    if width >= NARROW:
        return [fit([(" ", "text"), *join(parts)], width)]
    cells = [fit(part, max((width - 2) // 4, 12)) for part in parts]
    return [fit([(" ", "text"), *join(cells[at : at + 4], "")], width) for at in (0, 4)]


def difference(named: tuple[str, str], texts: tuple[HostOutputView, HostOutputView]) -> list[Line]:
    """What the second printed otherwise than the first, as a unified difference; what is left out is counted.

    Args:
        named: What each of them is called.
        texts: Their outputs.
    """
    sides = [output_lines(each).plain() for each in texts]
    before, after = (side[:COMPARED_LINES] for side in sides)
    told = difflib.unified_diff(before, after, named[0], named[1], lineterm="", n=2)
    lines: list[Line] = [[(clean(text), _STYLES.get(text[:1], "dim"))] for text in told]
    if not lines:
        lines = [[("no line differs", "dim")]]
    more = len(lines) - SHOWN_LINES
    if more > 0:
        lines = [*lines[:SHOWN_LINES], [(f"{words.plural(more, 'line')} more differ", "warn")]]
    for name, side in zip(named, sides, strict=True):
        if len(side) > COMPARED_LINES:
            left = len(side) - COMPARED_LINES
            lines.append(
                [(f"{name}: the last {words.count(left)} lines were not compared", "warn")]
            )
    return lines


def earlier_lines(
    now: Sequence[HostRunView], before: Sequence[HostRunView], width: int
) -> list[Line]:
    """What became of each host in an earlier run, and in this one: those that differ, then the others in one line."""
    told = compared(now, before)
    ways: dict[tuple[str, str], list[str]] = {}
    for host, then, here, same in told:
        if not same:
            ways.setdefault((then, here), []).append(host)
    out: list[Line] = []
    for (then, here), hosts in sorted(ways.items(), key=lambda each: -len(each[1])):
        turn = f"{then} → {here}" if then != here else f"{here}, but with another answer"
        out.append([(turn, "strong"), (f"   {words.plural(len(hosts), 'host')}", "dim")])
        out += [[("   " + text, "accent")] for text in wrap(clean(fold(hosts), 20_000), width - 4)]
        out.append([])
    same_hosts = [host for host, _, _, same in told if same]
    if same_hosts:
        out.append([(f"the same answer on {words.plural(len(same_hosts), 'host')}", "good")])
        folded = clean(fold(same_hosts), 20_000)
        out += [[("   " + text, "dim")] for text in wrap(folded, width - 4)]
    return out or [[("neither run has a host", "dim")]]
