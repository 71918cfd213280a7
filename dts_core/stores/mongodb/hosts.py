"""Hosts of the MongoDB store: their state, their bounded history, their alarms."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dts_core.model import Alarm, Host, HostSample
from dts_core.stores.fields import maybe_micros, micros
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    DESCENDING,
    VERSION,
    Doc,
    DuplicateKeyError,
    ReplaceOne,
    deadlined,
    upsert,
)
from dts_core.stores.mongodb.positions import FIGURES
from dts_core.stores.samples import FINE, MINUTE, mean, start_of_minute

_ROLLED: Final = "samples"
BATCH: Final = 1000
_encoder = msgspec.msgpack.Encoder()
_host = msgspec.msgpack.Decoder(Host)
_sample = msgspec.msgpack.Decoder(HostSample)
_alarm = msgspec.msgpack.Decoder(Alarm)


class Hosts(Part):
    """The HostStore."""

    @deadlined
    async def save_hosts(
        self, hosts: Sequence[Host], samples: Sequence[tuple[str, HostSample]] = ()
    ) -> None:
        """See HostStore."""
        if hosts:
            await upsert(
                self._light("hosts"),
                [
                    ReplaceOne(
                        {"_id": host.name},
                        {"_id": host.name, "v": VERSION, "doc": _encoder.encode(host)},
                        upsert=True,
                    )
                    for host in hosts
                ],
            )
        await self._put([(host, FINE, micros(sample.at), sample) for host, sample in samples])

    @deadlined
    async def hosts(self) -> list[Host]:
        """See HostStore."""
        found = self._light("hosts").find({}, {"doc": 1}).sort("_id", ASCENDING)
        return [_host.decode(each["doc"]) async for each in found]

    @deadlined
    async def samples(
        self, host: str, since: datetime, *, by_minute: bool = False, limit: int = 2000
    ) -> list[HostSample]:
        """See HostStore."""
        grain = MINUTE if by_minute else FINE
        found = (
            self._light("samples")
            .find({"host": host, "grain": grain, "at": {"$gte": micros(since)}}, {"sample": 1})
            .sort("at", DESCENDING)
            .limit(limit)
        )
        points = [_sample.decode(each["sample"]) async for each in found]
        return points[::-1]

    @deadlined
    async def roll_up(self, now: datetime, *, fine: timedelta, coarse: timedelta) -> None:
        """See HostStore."""
        this_minute = start_of_minute(micros(now))
        figures, samples = self._in(FIGURES), self._light("samples")
        rolled = await figures.find_one({"_id": _ROLLED}, {"until": 1})
        since = 0 if rolled is None else int(rolled["until"])
        minutes: dict[tuple[str, int], list[HostSample]] = {}
        found = samples.find({"grain": FINE, "at": {"$gte": since, "$lt": this_minute}})
        async for each in found:
            key = (each["host"], start_of_minute(each["at"]))
            minutes.setdefault(key, []).append(_sample.decode(each["sample"]))
        await self._put(
            [(host, MINUTE, at, mean(at, points)) for (host, at), points in minutes.items()]
        )
        await figures.update_one(
            {"_id": _ROLLED}, {"$max": {"until": this_minute}, "$set": {"v": VERSION}}, upsert=True
        )
        for grain, before in ((FINE, now - fine), (MINUTE, now - coarse)):
            await samples.delete_many({"grain": grain, "at": {"$lt": micros(before)}})

    @deadlined
    async def save_alarm(self, alarm: Alarm) -> bool:
        """See HostStore."""
        document = {
            "_id": alarm.id,
            "v": VERSION,
            "host": alarm.host,
            "rule": alarm.rule,
            "opened": micros(alarm.opened_at),
            "closed": maybe_micros(alarm.closed_at),
            "open": alarm.closed_at is None,
            "doc": _encoder.encode(alarm),
        }
        for _ in range(2):
            try:
                await self._in("alarms").replace_one({"_id": alarm.id}, document, upsert=True)
            except DuplicateKeyError as error:
                # Of two first writes of one id at once, the second finds it and replaces it.
                if "_id_" not in str(error):
                    return False
            else:
                return True
        return False

    @deadlined
    async def alarms(self, *, open_only: bool = False, limit: int = 200) -> list[Alarm]:
        """See HostStore."""
        docs = await self._alarms(is_open=True, limit=limit)
        if not open_only and len(docs) < limit:
            docs += await self._alarms(is_open=False, limit=limit - len(docs))
        return [_alarm.decode(each["doc"]) for each in docs]

    async def _alarms(self, *, is_open: bool, limit: int) -> list[Doc]:
        found = self._in("alarms").find({"open": is_open}, {"doc": 1}).sort("opened", DESCENDING)
        docs: list[Doc] = await found.limit(limit).to_list(None)
        return docs

    async def _put(self, points: Sequence[tuple[str, int, int, HostSample]]) -> None:
        writes = []
        for host, grain, at, sample in points:
            place: Doc = {"_id": f"{host}\0{grain}\0{at:020}"}
            fields = {"v": VERSION, "host": host, "grain": grain, "at": at}
            content = place | fields | {"sample": _encoder.encode(sample)}
            writes.append(ReplaceOne(place, content, upsert=True))
        for start in range(0, len(writes), BATCH):
            await upsert(self._light("samples"), writes[start : start + BATCH])
