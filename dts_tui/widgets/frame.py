"""The frame: header, areas or crumbs, the bar that says the server is gone, footer."""

import time
from collections.abc import Sequence
from typing import Final

from textual import events

from dts_core.plain import words
from dts_core.plain.cells import cells, cut
from dts_tui.actions import allowed, forbidden, key_label
from dts_tui.catalogue import AREAS
from dts_tui.draw import Line, fit, spread, width_of
from dts_tui.widgets.drawn import Drawn


class Header(Drawn):
    """One line: who one is and where, how fresh the data is, alarms, what is switched off, the time."""

    DEFAULT_CSS = "Header { height: 1; }"

    def draw(self, width: int, height: int) -> list[Line]:
        """The line."""
        console, world = self.console, self.console.world
        who = f"{world.user}@{console.server}" if world.user else console.server
        left: Line = [(" dts ", "brand"), (" " + cut(who, max(width // 3, 12)), "headdim")]
        parts: list[Line] = [self._freshness()]
        if alarms := world.open_alarms:
            worst = "bad" if any(alarm.level == "critical" for alarm in alarms) else "warn"
            parts.append([(f"▲ {words.plural(len(alarms), 'alarm')}", f"{worst}/head")])
        if console.read_only:
            parts.append([("⚑ read-only", "warn/head")])
        if world.paused_at is not None:
            parts.append([(f" paused {words.age(time.monotonic() - world.paused_at)} ", "badge")])
        parts.append(
            [(words.clock(console.now(), utc=console.utc) + ("Z" if console.utc else ""), "head")]
        )
        right: Line = []
        for part in parts:
            right += [*part, ("  ", "head")]
        return [_on_head(spread(left, right, width, "head"))]

    def _freshness(self) -> Line:
        world = self.console.world
        now = time.monotonic()
        if world.connection.up is None:
            return [("◌ connecting", "headdim")]
        age = words.age(world.stamp.age(now))
        if world.connection.up is False:
            return [(f"✗ offline {age}", "bad/head")]
        if world.stamp.stale(now):
            return [(f"◐ stale {age}", "warn/head")]
        return [("● ", "good/head"), (f"live {age}", "headdim")]


def _on_head(line: Line) -> Line:
    return [
        (text, name if name in ("badge", "brand") or "head" in name else f"{name}/head")
        for text, name in line
    ]


class Areas(Drawn):
    """The areas with their numbers; inside an area, where one is."""

    DEFAULT_CSS = "Areas { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._spots: list[tuple[int, int, str]] = []

    def draw(self, width: int, height: int) -> list[Line]:
        """The line."""
        crumbs = self.console.crumbs()
        if len(crumbs) > 1:
            self._spots = []
            return [self._crumbs(crumbs, width)]
        return [self._areas(width)]

    def _areas(self, width: int) -> Line:
        out: Line = []
        short = width < 12 * len(AREAS) - 8
        letters = 5 if width >= 74 else 3
        self._spots = []
        at = 0
        for number, name in enumerate(AREAS, 1):
            here = name == self.console.area
            label = f" {number} {name.capitalize()} "
            if short and not here:
                label = f" {number} {name.capitalize()[:letters]} "
            self._spots.append((at, at + len(label), name))
            out.append((label, "tabon" if here else "tab"))
            at += len(label)
        return fit(out, width)

    def _crumbs(self, crumbs: list[str], width: int) -> Line:
        out: Line = [(" ", "text")]
        for index, crumb in enumerate(crumbs):
            last = index + 1 == len(crumbs)
            out.append((crumb, "strong" if last else "dim"))
            if not last:
                out.append((" ▸ ", "faint"))
        return fit(out, width)

    def on_click(self, event: events.Click) -> None:
        """A click opens an area, or goes one step out."""
        for start, end, name in self._spots:
            if start <= event.x < end:
                self.console.run_named(name)
                return
        if not self._spots:
            self.console.run_named("back")


class Gone(Drawn):
    """The bar that is there while the server does not answer."""

    DEFAULT_CSS = "Gone { height: 1; display: none; }"

    def draw(self, width: int, height: int) -> list[Line]:
        """Since when, when it is tried again, and why."""
        connection = self.console.world.connection
        since = words.clock(connection.since, utc=self.console.utc)
        left = max((connection.retry_at or 0.0) - time.monotonic(), 0.0)
        what, why = "server unreachable", connection.why
        if connection.answered:  # in few words: it says why itself
            what, why = "no answer", why.partition(". ")[0]
        text = f" {what} since {since}, next try in {left:.0f} s "
        room = width - cells(text)
        return [fit([(text + _reason(why, room), "gone")], width, "gone")]


def _reason(why: str, room: int) -> str:
    """Why, and what to do; in little room only what to do, and that only for a server of this machine."""
    if cells(why) + 3 <= room:
        return f"· {why} "
    if room > 20 and "://" not in why:
        return cut(f"· {why} ", room)
    if any(f"//{host}" in why for host in ("127.", "localhost", "[::1]")):
        return "· `dts up` starts it "
    return cut(f"· {why} ", room) if room > 40 else ""


_TYPING: Final = (
    ("enter", "takes it"), ("tab", "completes"), ("↑ ↓", "earlier ones"), ("esc", "leaves"),
)  # fmt: skip


def _named(keys: Sequence[tuple[str, str]]) -> Line:
    """Keys with what each does."""
    out: Line = [(" ", "head")]
    for key, does in keys:
        out += [(key, "key"), (f" {does}  ", "headdim")]
    return out


class Footer(Drawn):
    """What the keys do here; for a few seconds, a notice instead."""

    DEFAULT_CSS = "Footer { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.notice: tuple[str, str] | None = None
        self.typing = False
        """Whether the line above takes a command, a filter or a search."""
        self._spots: list[tuple[int, int, str]] = []

    def draw(self, width: int, height: int) -> list[Line]:
        """The line."""
        self._spots = []
        if self.typing:
            return [_on_head(fit(_named(_TYPING), width, "head"))]
        if self.notice is not None:
            text, kind = self.notice
            glyph = {"good": "✓", "warn": "▲", "bad": "✗"}.get(kind, "·")
            return [
                _on_head(fit([(f" {glyph} ", kind), (cut(text, width - 4), "head")], width, "head"))
            ]
        if (overlay := self.console.overlay) is not None:
            return [_on_head(fit(_named(overlay.KEYS), width, "head"))]
        return [_on_head(self._keys(width))]

    def _keys(self, width: int) -> Line:
        console = self.console
        out: Line = [(" ", "head")]
        tail: Line = []
        world = console.world
        actions = console.registry.footer(console.scope)
        last = [action for action in actions if action.name in ("help", "palette")]
        end = [(f"{key_label(action.keys[0])} ", "key") for action in last if action.keys]
        end += [(f"{action.title} ", "headdim") for action in last]
        tail = [*end]
        for action in actions:
            if action in last or not action.keys:
                continue
            if console.view is not None and not console.view.has_use(action.name):
                continue
            if forbidden(action, world.role):
                continue
            why = allowed(
                action,
                role=world.role,
                read_only=console.read_only,
                connected=world.connection.up is True,
            )
            key, title = key_label(action.keys[0]), f" {action.title}  "
            if width_of(out) + cells(key + title) + width_of(tail) >= width:  # one cell between
                break
            self._spots.append((width_of(out), width_of(out) + cells(key + title), action.name))
            out += [(key, "faint" if why else "key"), (title, "faint" if why else "headdim")]
        return spread(out, tail, width, "head")

    def on_click(self, event: events.Click) -> None:
        """A click does what the key does."""
        for start, end, name in self._spots:
            if start <= event.x < end:
                self.console.run_named(name)
                return


class TooSmall(Drawn):
    """What is there below the smallest size."""

    DEFAULT_CSS = "TooSmall { display: none; }"

    def draw(self, width: int, height: int) -> list[Line]:
        """One line."""
        return [[(cut(f"dts needs 60x15, this is {width}x{height}", width), "warn")]]
