"""Hosts of the embedded store: their state, their bounded history, their alarms."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dts_core.model import Alarm, Host, HostSample
from dts_core.sqlite import Connection, all_rows, one_row
from dts_core.stores.embedded.base import Part
from dts_core.stores.fields import maybe_micros, micros
from dts_core.stores.samples import FINE, MINUTE, MINUTE_MICROS, mean, start_of_minute

_encoder = msgspec.msgpack.Encoder()
_host = msgspec.msgpack.Decoder(Host)
_sample = msgspec.msgpack.Decoder(HostSample)
_alarm = msgspec.msgpack.Decoder(Alarm)
_PUT_SAMPLE: Final = "INSERT OR REPLACE INTO samples(host, grain, at, sample) VALUES(?,?,?,?)"
# One seek a host; DISTINCT would walk every sample.
_SAMPLED: Final = (
    "WITH RECURSIVE found(host) AS (SELECT min(host) FROM samples UNION ALL "
    "SELECT (SELECT min(host) FROM samples WHERE host>found.host) FROM found WHERE found.host IS NOT NULL) "
    "SELECT host FROM found WHERE host IS NOT NULL"
)


_Point = tuple[str, int, int, bytes]
"""host, grain, at, sample"""


class Hosts(Part):
    """The HostStore."""

    async def save_hosts(
        self, hosts: Sequence[Host], samples: Sequence[tuple[str, HostSample]] = ()
    ) -> None:
        """See HostStore."""
        states = [(host.name, _encoder.encode(host)) for host in hosts]
        points = [
            (host, FINE, micros(sample.at), _encoder.encode(sample)) for host, sample in samples
        ]

        def work(connection: Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO hosts(name, doc) VALUES(?,?)", states)
            connection.executemany(_PUT_SAMPLE, points)

        await self._write(work)

    async def hosts(self) -> list[Host]:
        """See HostStore."""

        def work(connection: Connection) -> list[Host]:
            return [
                _host.decode(doc)
                for (doc,) in connection.execute("SELECT doc FROM hosts ORDER BY name")
            ]

        return await self._read(work)

    async def samples(
        self, host: str, since: datetime, *, by_minute: bool = False, limit: int = 2000
    ) -> list[HostSample]:
        """See HostStore."""
        grain = MINUTE if by_minute else FINE

        def work(connection: Connection) -> list[HostSample]:
            rows = all_rows(
                connection,
                "SELECT sample FROM samples WHERE host=? AND grain=? AND at>=? ORDER BY at DESC LIMIT ?",
                (host, grain, micros(since), limit),
            )
            return [_sample.decode(sample) for (sample,) in reversed(rows)]

        return await self._read(work)

    async def roll_up(self, now: datetime, *, fine: timedelta, coarse: timedelta) -> None:
        """See HostStore."""
        this_minute = start_of_minute(micros(now))
        keep = ((FINE, micros(now - fine)), (MINUTE, micros(now - coarse)))

        def look(connection: Connection) -> tuple[list[str], list[_Point]]:
            hosts = [str(host) for (host,) in all_rows(connection, _SAMPLED)]
            return hosts, [
                point for host in hosts for point in _minutes(connection, host, this_minute)
            ]

        # Complete minutes do not change any more: their means are made beside the writing thread.
        hosts, points = await self._read(look)

        def work(connection: Connection) -> None:
            connection.executemany(_PUT_SAMPLE, points)
            for host in hosts:
                for grain, before in keep:
                    connection.execute(
                        "DELETE FROM samples WHERE host=? AND grain=? AND at<?",
                        (host, grain, before),
                    )

        await self._write(work)

    async def save_alarm(self, alarm: Alarm) -> bool:
        """See HostStore."""

        def work(connection: Connection) -> bool:
            other = one_row(
                connection,
                "SELECT 1 FROM alarms WHERE host=? AND rule=? AND closed IS NULL AND id!=?",
                (alarm.host, alarm.rule, alarm.id),
            )
            if other is not None and alarm.closed_at is None:
                return False
            connection.execute(
                "INSERT OR REPLACE INTO alarms(id, host, rule, opened, closed, doc) VALUES(?,?,?,?,?,?)",
                (
                    alarm.id,
                    alarm.host,
                    alarm.rule,
                    micros(alarm.opened_at),
                    maybe_micros(alarm.closed_at),
                    _encoder.encode(alarm),
                ),
            )
            return True

        return await self._write(work)

    async def alarms(self, *, open_only: bool = False, limit: int = 200) -> list[Alarm]:
        """See HostStore."""

        def work(connection: Connection) -> list[Alarm]:
            rows = all_rows(
                connection,
                "SELECT doc FROM alarms INDEXED BY alarms_open WHERE closed IS NULL ORDER BY opened DESC LIMIT ?",
                (limit,),
            )
            if not open_only:
                rows += all_rows(
                    connection,
                    "SELECT doc FROM alarms INDEXED BY alarms_opened WHERE closed IS NOT NULL "
                    "ORDER BY opened DESC LIMIT ?",
                    (limit - len(rows),),
                )
            return [_alarm.decode(doc) for (doc,) in rows]

        return await self._read(work)


def _minutes(connection: Connection, host: str, this_minute: int) -> list[_Point]:
    """The minutes of one host that are complete and not written yet."""
    newest = connection.execute(
        "SELECT max(at) FROM samples WHERE host=? AND grain=?", (host, MINUTE)
    ).get
    since = 0 if newest is None else newest + MINUTE_MICROS
    minutes: dict[int, list[HostSample]] = {}
    for at, sample in all_rows(
        connection,
        "SELECT at, sample FROM samples WHERE host=? AND grain=? AND at>=? AND at<?",
        (host, FINE, since, this_minute),
    ):
        minutes.setdefault(start_of_minute(at), []).append(_sample.decode(sample))
    return [(host, MINUTE, at, _encoder.encode(mean(at, points))) for at, points in minutes.items()]
