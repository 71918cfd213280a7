"""Queues: what waits, who takes, how fast, what was given up; and the state of every part in words."""

import json
import shlex
from collections.abc import Callable, Iterable
from urllib.parse import quote

from textual.app import ComposeResult

from dts_core.plain import queues as plain
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import QueueView
from dts_tui.draw import Line
from dts_tui.parts_drawing import panel_lines, parts_panel
from dts_tui.screens.base import ONCE, Place
from dts_tui.screens.lists import WorldList
from dts_tui.screens.operating import JOBS, ask_discard_queue, ask_pause
from dts_tui.state import Stamp
from dts_tui.wall_drawing import shown_queues
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column


class _Parts(Drawn):
    """The parts of the control side, each with its state; at most half of the screen."""

    DEFAULT_CSS = "_Parts { height: auto; max-height: 50%; }"

    def draw(self, width: int, height: int) -> list[Line]:
        status = self.console.world.status
        return parts_panel(status, width, height) if status is not None and status.parts else []

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        status = self.console.world.status
        return len(panel_lines(status, width)) + 1 if status is not None and status.parts else 0


class Queues(WorldList[QueueView]):
    """Every queue, those of jobs first."""

    scope = area = "queues"
    KEYS = ("name", "state")
    EMPTY = "no queue yet: the first worker or job makes one"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._parts = _Parts()

    def compose(self) -> ComposeResult:
        """The table, and the parts below."""
        yield self.table
        yield self._parts

    def key(self, item: QueueView) -> str:
        """Its name."""
        return item.name

    def records(self) -> Iterable[QueueView]:
        """Those of jobs first."""
        return shown_queues(self.console.world)

    def record(self, item: QueueView) -> dict[str, str]:
        """For filter and export."""
        return {
            "name": item.name,
            "state": plain.state(item, self.console.now()),
            "ready": str(item.ready),
            "unacked": plain.unacked(item),
            "oldest": plain.oldest(item),
            "published_rate": plain.rate(item.published_rate),
            "delivered_rate": plain.rate(item.delivered_rate),
            "acked_rate": plain.rate(item.acked_rate),
            "consumers": str(item.consumers),
            "dropped": str(item.dropped),
            "dead": str(item.dead),
        }

    def stamp_shown(self) -> Stamp:
        """Queues may be older than the rest: a broker that is away does not tell them."""
        return self.console.world.queue_stamp

    def remark(self) -> Line:
        """That the broker is away."""
        return [(" ─ broker away", "bad")] if self.console.world.broker_trouble else []

    def _empty(self) -> list[str]:
        if why := self.console.world.broker_trouble:
            return ["the queues are not known while the broker is away:", clean(why, 200)]
        return super()._empty()

    def world_changed(self) -> None:
        """And the parts."""
        self._parts.stale = self.console.world.stamp.stale(self.console.monotonic())
        self._parts.refresh(layout=True)
        self._parts.redraw()
        super().world_changed()

    def columns(self) -> list[Column[QueueView]]:
        """Name, state, what waits, rates, consumers, losses."""
        return [*self._who(), *self._waits(), *self._moves()]

    def _who(self) -> list[Column[QueueView]]:
        def name(queue: QueueView, width: int) -> tuple[str, str]:
            return queue.name, "strong" if queue.ready or queue.unacked else "text"

        def state(queue: QueueView, width: int) -> tuple[str, str]:
            text = plain.state(queue, self.console.now())
            return text, "dim" if text == "open" else "warn"

        return [
            Column("queue", name, 14, grow=1, most=40, keep=9, sort=lambda q: q.name),
            Column("state", state, 12, grow=1, most=36, keep=8, sort=lambda q: not q.paused),
        ]

    def _waits(self) -> list[Column[QueueView]]:
        def ready(queue: QueueView, width: int) -> tuple[str, str]:
            return _figure(queue.ready, "warn" if not queue.consumers else "strong")

        def unacked(queue: QueueView, width: int) -> tuple[str, str]:
            if queue.partial:
                return plain.UNKNOWN, "dim"
            return _figure(queue.unacked, "busy")

        def oldest(queue: QueueView, width: int) -> tuple[str, str]:
            return plain.oldest(queue), "dim"

        return [
            Column("ready", ready, 6, align="right", keep=9, sort=lambda q: -q.ready),
            Column("unacked", unacked, 7, align="right", keep=8, sort=lambda q: -q.unacked),
            Column("oldest", oldest, 6, align="right", keep=7, sort=lambda q: -q.oldest_seconds),
        ]

    def _moves(self) -> list[Column[QueueView]]:
        def consumers(queue: QueueView, width: int) -> tuple[str, str]:
            return _figure(queue.consumers, "text")

        def dropped(queue: QueueView, width: int) -> tuple[str, str]:
            return _figure(queue.dropped, "warn")

        def dead(queue: QueueView, width: int) -> tuple[str, str]:
            return _figure(queue.dead, "bad")

        return [
            _rates("in/s", lambda q: q.published_rate, 5, keep=6),
            _rates("out/s", lambda q: q.delivered_rate, 6, keep=3),
            _rates("done/s", lambda q: q.acked_rate, 6, keep=6),
            Column("consumers", consumers, 9, align="right", keep=7, sort=lambda q: -q.consumers),
            Column("dropped", dropped, 7, align="right", keep=2, sort=lambda q: -q.dropped),
            Column("dead", dead, 5, align="right", keep=8, sort=lambda q: -q.dead),
        ]

    # --- actions --------------------------------------------------------------------------------

    def do_describe(self) -> None:
        """Every figure, live."""
        if (known := self.rows.current) is None:
            return
        name = known.name

        def lines(width: int) -> list[Line]:
            queue = self.rows.items.get(name, known)
            facts = plain.facts(queue, self.console.now())
            return pairs([(what, value, "text") for what, value in facts], width)

        self.console.open_overlay(Reader(f"queue {clean(name, 60)}", lines, live=True))

    def do_open(self) -> None:
        """The jobs that wait in it; of another queue, its figures."""
        queue = self.rows.current
        if queue is not None and queue.name.startswith(JOBS):
            self.console.go(
                Place(
                    "jobs",
                    f"queue={queue.name.removeprefix(JOBS)} queued,running,retrying",
                    ONCE,
                )
            )
        else:
            self.do_describe()

    def do_pause_queue(self) -> None:
        """Pause the queue under the cursor, or resume it."""
        if (queue := self.rows.current) is not None:
            ask_pause(self, queue)

    def do_dead_letters(self) -> None:
        """Those of the queue under the cursor."""
        self.console.go(Place("dead", self.rows.cursor))

    def do_discard_queue(self) -> None:
        """All dead letters of the queue under the cursor."""
        if (queue := self.rows.current) is not None:
            ask_discard_queue(self, queue)

    def subject(self) -> dict[str, str]:
        """The queue under the cursor."""
        queue = self.rows.current
        return {
            "queue": quote(self.rows.cursor, safe=""),
            "queue_word": shlex.quote(self.rows.cursor) if self.rows.cursor else "",
            "queue_json": json.dumps(self.rows.cursor) if self.rows.cursor else "",
            "pause": "resume" if queue is not None and queue.paused else "pause",
        }


def _rates(
    title: str, rate: Callable[[QueueView], float | None], width: int, *, keep: int
) -> Column[QueueView]:
    """A column of messages a second, the busiest queue first when it is sorted by."""
    return Column(
        title,
        lambda queue, _: _rate(rate(queue)),
        width,
        align="right",
        keep=keep,
        sort=lambda queue: -(rate(queue) or 0.0),
    )


def _figure(value: float, style: str) -> tuple[str, str]:
    return words.short_count(value), style if value else "dim"


def _rate(value: float | None) -> tuple[str, str]:
    return plain.rate(value), "text" if value else "dim"
