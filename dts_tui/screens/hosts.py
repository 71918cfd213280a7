"""Hosts as a list."""

from collections.abc import Iterable
from functools import partial

from dts_core.model import Host
from dts_core.plain import glyphs, words
from dts_core.plain.cells import pad
from dts_core.plain.figures import by_pressure, host_state, memory_share, worst_disk
from dts_tui.draw import Line, Span, bar, level_style, spark
from dts_tui.host_drawing import trail as points
from dts_tui.screens.base import ONCE, Place
from dts_tui.screens.host_shell import open_shell, shell_subject
from dts_tui.screens.lists import WorldList
from dts_tui.screens.operating import ask_drain
from dts_tui.widgets.table import Column


class Hosts(WorldList[Host]):
    """Every host, the worst first."""

    scope = area = "hosts"
    KEYS = ("name", "state", "version", "system", "queue")
    EMPTY = "no host yet: a makes a worker of one over SSH, `dts-worker` starts one here"

    def key(self, item: Host) -> str:
        """Its name."""
        return item.name

    def records(self) -> Iterable[Host]:
        """Worst first."""
        return by_pressure(self.console.world.hosts)

    def record(self, item: Host) -> dict[str, str]:
        """For filter and export."""
        return {
            "name": item.name,
            "state": host_state(item),
            "version": item.beat.version,
            "system": item.beat.system,
            "queue": " ".join(item.beat.queues),
            "cpu": f"{item.beat.cpu:.3f}",
            "memory": f"{memory_share(item):.3f}",
        }

    def columns(self) -> list[Column[Host]]:
        """State, name, figures."""
        return [*self._who(), *self._load(), *self._rest()]

    def _who(self) -> list[Column[Host]]:
        def beat(host: Host, width: int) -> Span:
            age = words.since(host.last_beat, self.console.now())
            return age, "dim" if host.state == "up" else "warn"

        def name(host: Host, width: int) -> Span:
            return host.name, "strong"

        return [
            Column("state", _state, 10, keep=9, sort=lambda h: h.state),
            Column("host", name, 10, grow=2, most=30, keep=9, sort=lambda h: h.name),
            Column("beat", beat, 5, align="right", keep=8),
        ]

    def _load(self) -> list[Column[Host]]:
        def cpu(host: Host, width: int) -> Line:
            return _share(host.beat.cpu, width)

        def memory(host: Host, width: int) -> Line:
            return _share(memory_share(host), width)

        def trail(host: Host, width: int) -> Line:
            history = self.console.world.history.get(host.name)
            return [(spark(points(history, history.cpu, width), width) if history else "", "bar")]

        return [
            Column("CPU", cpu, 14, grow=1, most=26, keep=8, sort=lambda h: -h.beat.cpu),
            Column("last 5 min", trail, 10, grow=1, most=40, keep=4),
            Column("memory", memory, 14, grow=1, most=26, keep=7, sort=lambda h: -memory_share(h)),
            Column("disk", _disk, 4, align="right", keep=6, sort=lambda h: -worst_disk(h)[1]),
        ]

    def _rest(self) -> list[Column[Host]]:
        def load(host: Host, width: int) -> Span:
            return f"{host.beat.load[0]:.2f}", "text"

        def jobs(host: Host, width: int) -> Span:
            return f"{host.beat.running}/{host.beat.slots}", "busy" if host.beat.running else "dim"

        def up(host: Host, width: int) -> Span:
            return words.age(int(host.beat.uptime_seconds)), "dim"

        def version(host: Host, width: int) -> Span:
            return host.beat.version, "dim"

        return [
            Column("load", load, 5, align="right", keep=5, sort=lambda h: -h.beat.load[0]),
            Column("jobs", jobs, 6, align="right", keep=8, sort=lambda h: -h.beat.running),
            Column("up", up, 4, align="right", keep=3),
            Column("version", version, 8, keep=2, sort=lambda h: h.beat.version),
        ]

    def world_changed(self) -> None:
        """And fetch histories that are missing."""
        world = self.console.world
        missing = [name for name, history in world.history.items() if not history.loaded]
        if missing and world.connection.up:
            self.console.background(partial(self.console.feed.histories, missing), "histories")
        super().world_changed()

    def do_open(self) -> None:
        """Its page."""
        if self.rows.cursor:
            self.console.go(Place("host", self.rows.cursor))

    do_describe = do_timeline = do_open

    def do_submit(self) -> None:
        """Choose a function to run there."""
        if self.rows.cursor:
            self.console.go(Place("choose", self.rows.cursor))

    def do_drain(self) -> None:
        """Have it take nothing new, or take jobs again."""
        ask_drain(self, self.rows.current)

    def do_job_logs(self) -> None:
        """Its log lines."""
        if self.rows.cursor:
            self.console.go(Place("logs", f"host={self.rows.cursor}", ONCE))

    def do_shell(self) -> None:
        """On the virtual host of the same name as the one under the cursor."""
        open_shell(self, self.rows.cursor)

    def subject(self) -> dict[str, str]:
        """The host under the cursor."""
        name, host = self.rows.cursor, self.rows.current
        return {
            "host": name,
            "drain": "undrain" if host is not None and host.beat.draining else "drain",
            "id": name,
            "log_options": f"--host {name}",
            "log_query": f"host={name}",
            **shell_subject(name),
        }


def _state(host: Host, width: int) -> Line:
    name = host_state(host)
    look = glyphs.host(name)
    return [(look.glyph + " ", look.style), (name, look.style)]


def _share(value: float, width: int) -> Line:
    style = level_style(value) if value >= 0.75 else "text"
    return [*bar(value, width - 5), (pad(words.share(value), 5, "right"), style)]


def _disk(host: Host, width: int) -> Span:
    share = worst_disk(host)[1]
    return words.share(share), level_style(share) if share >= 0.75 else "text"
