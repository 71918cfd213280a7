"""The parts that run and the workers, as lines: who is in trouble first, who is simply up together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from dts_core.model import Host
from dts_core.plain import glyphs, words
from dts_core.plain.cells import cells, pad
from dts_core.plain.figures import host_state
from dts_core.text import clean
from dts_core.views import PartView, StatusView
from dts_tui.draw import Line, fit, rule, width_of, wrap

TROUBLE = ("away", "quiet")
ENDS = ("store", "broker")
COLUMN = 90
"""From twice this width on the lines of a panel stand in two columns."""
_NAME_MOST = 22
_BEFORE = 4
"""Cells before a name: margin, glyph, gap."""
_UNHEARD = ("lost", "late")
_HOSTS_MOST = 200
"""Most workers' hosts that are listed one by one."""
_NO_WORKERS: Final = "none: jobs wait until a `dts-worker` is started"

DOES: Final[Mapping[str, str]] = {
    "store": "keeps jobs, results, functions, users",
    "broker": "carries the messages",
    "broker line": "the server's connection to the broker",
    "server": "answers consoles and programs",
    "porter": "writes results down",
    "stethoscope": "hears heartbeats, tells late from lost",
    "logtracer": "writes log lines down",
    "scheduler": "starts what is due, retries, watches leases",
    "requests": "grants claims, hands out sources",
    "internal": "runs the functions of dts/",
    "announcements": "tells consoles what has changed",
    "services": "the server's background work",
    "leases": "judges whose lease is over",
    "undertaker": "puts dead letters aside",
    "submissions": "takes jobs that come by AMQP",
    "ear": "proves that heartbeats are heard",
    "recorder": "proves that results are recorded",
    "credentials": "keeps the administrator's token fresh",
}


def troubled(parts: Sequence[PartView]) -> list[PartView]:
    """Those that are away or were not heard of lately."""
    return [part for part in parts if part.state in TROUBLE]


def in_order(parts: Sequence[PartView]) -> list[PartView]:
    """Trouble first, the others as the server has them."""
    return sorted(parts, key=lambda part: part.state not in TROUBLE)


def parts_panel(status: StatusView, width: int, height: int) -> list[Line]:
    """A title and as many lines as fit; the last one says how many do not."""
    up = words.since(status.started_at, status.at)
    title: Line = [("parts", "title"), (f" ─ {len(status.parts)}", "dim"), *_health(status)]
    out = [rule(title, [(f"{status.engine}, dts {status.version}, up {up}", "dim")], width)]
    lines = panel_lines(status, width)
    room = max(height - 1, 0)
    if len(lines) > room > 0:
        left = len(lines) - room + 1
        lines = [*lines[: room - 1], [(f"  and {words.plural(left, 'more line')}: v", "dim")]]
    return out + lines[:room]


def panel_lines(status: StatusView, width: int) -> list[Line]:
    """A line for store, broker, workers and whoever is not simply up; the names of the others together."""
    alone = [part for part in in_order(status.parts) if part.name in ENDS or part.state != "up"]
    others = [part for part in status.parts if part.name not in ENDS and part.state == "up"]
    name = _name_width(alone)
    shown = [part_line(part, name) for part in alone]
    first = sum(part.name in ENDS or part.state in TROUBLE for part in alone)
    shown.insert(first, _workers_line(status.hosts, name))
    return [*_columns(shown, width), *_together(others, name, width)]


def parts_in_full(status: StatusView, now: datetime, width: int) -> list[Line]:
    """Every part with its words unshortened and what it does, and every worker's host; who is in trouble first."""
    shown = in_order(status.parts)
    name = _name_width(shown)
    parts = [line for part in shown for line in _full(part, name, width)]
    hosts = _hosts_in_full(status.hosts, now, width)
    unheard = any(host.state in _UNHEARD for host in status.hosts)
    return [*hosts, [], *parts] if unheard and not troubled(shown) else [*parts, [], *hosts]


def _hosts_in_full(hosts: Sequence[Host], now: datetime, width: int) -> list[Line]:
    title: Line = [("workers, by host", "column")]
    if not hosts:
        return [title, [("  " + _NO_WORKERS, "warn")]]
    shown = sorted(hosts, key=lambda host: (host.state not in _UNHEARD, host.name))
    out = [title, *(_host_line(host, now, width) for host in shown[:_HOSTS_MOST])]
    if (left := len(hosts) - _HOSTS_MOST) > 0:
        out.append([(f"  and {words.plural(left, 'more host')}: 4 lists all", "dim")])
    return out


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


def _health(status: StatusView) -> Line:
    if bad := len(troubled(status.parts)):
        return [(f" ─ {bad} in trouble", "bad")]
    if unheard := sum(host.state in _UNHEARD for host in status.hosts):
        return [(f" ─ {words.plural(unheard, 'worker host')} not heard", "warn")]
    return [(" ─ all well", "good")]


def _workers_line(hosts: Sequence[Host], name: int) -> Line:
    states = Counter(host_state(host) for host in hosts)
    worst = next((state for state in _UNHEARD if states[state]), "up")
    look = glyphs.host(worst if hosts else "lost")
    said = ", ".join(f"{number} {state}" for state, number in states.most_common())
    missing = ", ".join(clean(host.name, 60) for host in hosts if host.state in _UNHEARD)
    text = f"{words.plural(len(hosts), 'host')}: {said}" if hosts else _NO_WORKERS
    return [
        (f"  {look.glyph} ", look.style),
        (pad("workers", name) + "  ", "text"),
        (text, "dim" if hosts and worst == "up" else "text"),
        (f" ({missing})" if missing else "", "text"),
    ]


def _columns(lines: list[Line], width: int) -> list[Line]:
    if width < 2 * COLUMN:
        return [fit(line, width) for line in lines]
    half = width // 2
    rows = -(-len(lines) // 2)
    fitted = [fit(line, half) for line in lines] + [fit([], half)] * (2 * rows - len(lines))
    return [[*fitted[row], *fitted[row + rows]] for row in range(rows)]


def _together(parts: Sequence[PartView], name: int, width: int) -> list[Line]:
    if not parts:
        return []
    look = glyphs.part("up")
    text = ", ".join(_name(part) for part in parts)
    folded = wrap(text, max(width - _BEFORE - name - 3, 10))
    lead: Line = [(f"  {look.glyph} ", look.style), (pad("up", name) + "  ", "text")]
    gap: Line = [(" " * (_BEFORE + name + 2), "text")]
    return [
        fit([*(gap if number else lead), (line, "dim")], width)
        for number, line in enumerate(folded)
    ]


def _full(part: PartView, name: int, width: int) -> list[Line]:
    before = _BEFORE + name + 2
    folded = wrap(clean(part.words, 400), max(width - before, 10))
    out = [part_line(_with_words(part, folded[0]), name)]
    style = "text" if part.state in TROUBLE else "dim"
    out += [[(" " * before, "text"), (text, style)] for text in folded[1:]]
    does = f"  {DOES[part.name]}" if part.name in DOES else ""
    if width_of(out[-1]) + cells(does) <= width:
        out[-1] = [*out[-1], (does, "faint")]
    return [fit(line, width) for line in out]


def _with_words(part: PartView, text: str) -> PartView:
    return PartView(name=part.name, state=part.state, words=text, host=part.host, pid=part.pid)


def _host_line(host: Host, now: datetime, width: int) -> Line:
    state, beat = host_state(host), host.beat
    look = glyphs.host(state)
    text = (
        f"{state}, beat {words.since(host.last_beat, now)} ago, "
        f"{beat.running} of {words.plural(beat.slots, 'slot')} busy"
    )
    name = pad(clean(host.name, 120), _NAME_MOST)
    return fit([(f"  {look.glyph} ", look.style), (name + "  ", "text"), (text, "dim")], width)


def _name_width(parts: Sequence[PartView]) -> int:
    longest = max((cells(_name(part)) for part in parts), default=0)
    return min(max(longest, len("workers")), _NAME_MOST)


def _name(part: PartView) -> str:
    return clean(f"{part.name} {part.host}".rstrip(), 120)
