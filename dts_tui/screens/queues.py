"""Queues: what waits, who takes, how fast; and the state of every part in words."""

import time
from collections.abc import Iterable

from textual.app import ComposeResult

from dts_core.model import QueueStats
from dts_core.plain import words
from dts_tui.draw import Line, fit, rule
from dts_tui.screens.base import ONCE, Place
from dts_tui.screens.lists import WorldList
from dts_tui.wall_drawing import shown_queues
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column


class _Parts(Drawn):
    """The parts of the server, each with its state."""

    DEFAULT_CSS = "_Parts { height: auto; max-height: 12; }"

    def draw(self, width: int, height: int) -> list[Line]:
        status = self.console.world.status
        if status is None or not status.components:
            return []
        engine: Line = [
            (
                f"{status.engine}, dts {status.version}, up {words.since(status.started_at, self.console.now())}",
                "dim",
            )
        ]
        out: list[Line] = [rule([("parts", "title")], engine, width)]
        for name, state in sorted(status.components.items()):
            if name.startswith("link "):
                state = f"up, worker {state}"
            good = state.split(" ")[0].rstrip(",:;") in (
                "ok",
                "up",
                "running",
                "ready",
                "connected",
                "idle",
                "live",
            )
            out.append(
                fit(
                    [
                        ("  ● " if good else "  ◐ ", "good" if good else "warn"),
                        (f"{name:<14} ", "text"),
                        (state, "dim"),
                    ],
                    width,
                )
            )
        return out

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        status = self.console.world.status
        return len(status.components) + 1 if status is not None and status.components else 0


class Queues(WorldList[QueueStats]):
    """Every queue; rates are counted here, between two statuses."""

    scope = area = "queues"
    KEYS = ("name", "state")
    EMPTY = "no queue"

    def __init__(self, place: Place) -> None:
        self._before: dict[str, tuple[float, QueueStats]] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        super().__init__(place)
        self._parts = _Parts()

    def compose(self) -> ComposeResult:
        """The table, and the parts below."""
        yield self.table
        yield self._parts

    def key(self, item: QueueStats) -> str:
        """Its name."""
        return item.name

    def records(self) -> Iterable[QueueStats]:
        """Those of jobs first."""
        return shown_queues(self.console.world)

    def record(self, item: QueueStats) -> dict[str, str]:
        """For filter and export."""
        return {
            "name": item.name,
            "state": "paused" if item.paused else "open",
            "ready": str(item.ready),
            "unacked": str(item.unacked),
            "consumers": str(item.consumers),
            "dead": str(item.dead),
        }

    def world_changed(self) -> None:
        """Rates over the time since the last status that differs."""
        now = self.console.world.stamp.at or time.monotonic()
        for queue in self.console.world.queues:
            at, old = self._before.get(queue.name, (now, queue))
            if now - at >= 0.9:
                gap = now - at
                self._rates[queue.name] = (
                    (queue.published - old.published) / gap,
                    (queue.acked - old.acked) / gap,
                )
                self._before[queue.name] = (now, queue)
            else:
                self._before.setdefault(queue.name, (now, queue))
        self._parts.refresh(layout=True)
        self._parts.redraw()
        super().world_changed()

    def columns(self) -> list[Column[QueueStats]]:
        """Name, what waits, rates, consumers, losses."""

        def figure(value: float, style: str = "strong") -> tuple[str, str]:
            return words.short_count(value), style if value else "dim"

        def rate(queue: QueueStats, which: int) -> tuple[str, str]:
            value = max(self._rates.get(queue.name, (0.0, 0.0))[which], 0.0)
            return f"{words.short_count(value)}/s", "text" if value >= 0.5 else "dim"

        def ready(queue: QueueStats, width: int) -> tuple[str, str]:
            return figure(queue.ready, "warn" if not queue.consumers else "strong")

        def oldest(queue: QueueStats, width: int) -> tuple[str, str]:
            return (words.age(queue.oldest_seconds) if queue.ready else words.ABSENT), "dim"

        return [
            Column(
                "queue",
                lambda q, w: (q.name + (" (paused)" if q.paused else ""), "strong"),
                14,
                grow=1,
                most=40,
                keep=9,
                sort=lambda q: q.name,
            ),
            Column("ready", ready, 8, align="right", keep=9, sort=lambda q: -q.ready),
            Column(
                "unacked",
                lambda q, w: figure(q.unacked, "busy"),
                8,
                align="right",
                keep=8,
                sort=lambda q: -q.unacked,
            ),
            Column("oldest", oldest, 7, align="right", keep=7, sort=lambda q: -q.oldest_seconds),
            Column("in", lambda q, w: rate(q, 0), 8, align="right", keep=6),
            Column("out", lambda q, w: rate(q, 1), 8, align="right", keep=6),
            Column("consumers", lambda q, w: figure(q.consumers, "text"), 9, align="right", keep=5),
            Column("dropped", lambda q, w: figure(q.dropped, "warn"), 8, align="right", keep=3),
            Column(
                "dead",
                lambda q, w: figure(q.dead, "bad"),
                6,
                align="right",
                keep=4,
                sort=lambda q: -q.dead,
            ),
        ]

    def do_describe(self) -> None:
        """Every figure."""
        if (queue := self.rows.current) is not None:
            items = [(name, str(getattr(queue, name)), "text") for name in queue.__struct_fields__]
            self.console.open_overlay(
                Reader(f"queue {queue.name}", lambda width: pairs(items, width))
            )

    def do_open(self) -> None:
        """The jobs that wait in it; of another queue, its figures."""
        queue = self.rows.current
        if queue is not None and queue.name.startswith("jobs."):
            self.console.go(
                Place(
                    "jobs",
                    f"queue={queue.name.removeprefix('jobs.')} queued,running,retrying",
                    ONCE,
                )
            )
        else:
            self.do_describe()
