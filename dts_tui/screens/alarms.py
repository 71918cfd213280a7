"""Alarms, open ones first."""

from collections.abc import Iterable

from dts_core.model import Alarm
from dts_core.plain import glyphs, words
from dts_core.views import AlarmList
from dts_tui.draw import Line
from dts_tui.screens.base import ONCE, Place
from dts_tui.screens.lists import WorldList
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column


class Alarms(WorldList[Alarm]):
    """Open ones with every status; closed ones are asked for when the screen opens."""

    scope = area = "alarms"
    KEYS = ("host", "rule", "level", "state", "text")
    EMPTY = "no alarm: all quiet"

    def __init__(self, place: Place) -> None:
        self._known: dict[str, Alarm] = {}
        super().__init__(place)

    def key(self, item: Alarm) -> str:
        """Its id."""
        return item.id

    def entered(self) -> None:
        """And those that have closed."""
        super().entered()
        self.refresh_data()

    def refresh_data(self) -> None:
        """All of them."""

        def got(answer: AlarmList) -> None:
            self._known = {alarm.id: alarm for alarm in answer.items}
            self.world_changed()

        self.ask("alarms", lambda client: client.alarms(), got)

    def records(self) -> Iterable[Alarm]:
        """Open ones first, then the newest."""
        known = {**self._known, **{alarm.id: alarm for alarm in self.console.world.open_alarms}}
        open_now = {alarm.id for alarm in self.console.world.open_alarms}
        if any(
            alarm.closed_at is None and alarm.id not in open_now for alarm in self._known.values()
        ):
            self._known = {
                key: alarm
                for key, alarm in self._known.items()
                if alarm.closed_at or key in open_now
            }
            self.refresh_data()
        return sorted(
            known.values(),
            key=lambda alarm: (alarm.closed_at is not None, -alarm.opened_at.timestamp()),
        )

    def record(self, item: Alarm) -> dict[str, str]:
        """For filter and export."""
        return {
            "host": item.host, "rule": item.rule, "level": item.level, "state": "closed" if item.closed_at else "open",
            "text": item.text, "opened_at": item.opened_at.isoformat(),
        }  # fmt: skip

    def columns(self) -> list[Column[Alarm]]:
        """Level, host, rule, since, value, text."""

        def level(alarm: Alarm, width: int) -> Line:
            look = (
                glyphs.ALARM["closed"]
                if alarm.closed_at
                else glyphs.ALARM.get(alarm.level, glyphs.UNKNOWN)
            )
            return [
                (f"{look.glyph} ", look.style),
                ("closed" if alarm.closed_at else alarm.level, look.style),
            ]

        def lasted(alarm: Alarm, width: int) -> tuple[str, str]:
            end = alarm.closed_at or self.console.now()
            return words.duration(
                (end - alarm.opened_at).total_seconds()
            ), "dim" if alarm.closed_at else "text"

        return [
            Column("level", level, 10, keep=9, sort=lambda a: a.level),
            Column(
                "host",
                lambda a, w: (a.host, "strong"),
                10,
                grow=1,
                most=24,
                keep=9,
                sort=lambda a: a.host,
            ),
            Column(
                "rule",
                lambda a, w: (a.rule, "text"),
                9,
                grow=1,
                most=22,
                keep=8,
                sort=lambda a: a.rule,
            ),
            Column(
                "opened",
                lambda a, w: (
                    words.moment(a.opened_at, self.console.now(), utc=self.console.utc),
                    "dim",
                ),
                10,
                keep=7,
            ),
            Column("lasted", lasted, 8, align="right", keep=6),
            Column(
                "peak",
                lambda a, w: (words.share(a.peak) if 0 < a.peak <= 1 else words.ABSENT, "text"),
                5,
                align="right",
                keep=4,
            ),
            Column("what", lambda a, w: (a.text, "dim"), 16, grow=4, keep=8),
        ]

    def do_open(self) -> None:
        """The host's page."""
        if (alarm := self.rows.current) is not None:
            self.console.go(Place("host", alarm.host))

    do_timeline = do_open

    def do_describe(self) -> None:
        """Every field."""
        if (alarm := self.rows.current) is not None:
            items = [(name, value, "text") for name, value in self.record(alarm).items()]
            items.append(("value", f"{alarm.value:.3f}, peak {alarm.peak:.3f}", "text"))
            items.append(("closed", words.instant(alarm.closed_at, utc=self.console.utc), "text"))
            self.console.open_overlay(
                Reader(f"alarm on {alarm.host}", lambda width: pairs(items, width))
            )

    def do_job_logs(self) -> None:
        """What the host wrote."""
        if (alarm := self.rows.current) is not None:
            self.console.go(Place("logs", f"host={alarm.host}", ONCE))

    def subject(self) -> dict[str, str]:
        """Its host."""
        host = self.rows.current.host if self.rows.current else ""
        return {"host": host, "log_options": f"--host {host}", "log_query": f"host={host}"}
