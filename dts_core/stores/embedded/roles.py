"""Who leads in a role, and which parts there are: of a control side whose one store is the embedded one."""

from datetime import timedelta
from typing import Final

import msgspec

from dts_core.model import PartState
from dts_core.sqlite import Connection, all_rows
from dts_core.stores.embedded.base import Part
from dts_core.stores.fields import instant, micros
from dts_core.stores.limits import PARTS_KEPT_SECONDS

_encoder = msgspec.msgpack.Encoder()
_part = msgspec.msgpack.Decoder(PartState)
_HOLD: Final = (
    "INSERT INTO roles(role, owner, until) VALUES(?,?,?) ON CONFLICT(role) DO UPDATE "
    "SET owner=excluded.owner, until=excluded.until WHERE owner=excluded.owner OR until<=?"
)


class Roles(Part):
    """The RoleStore."""

    async def hold_role(self, role: str, owner: str, seconds: float) -> bool:
        """See RoleStore."""
        now = self._clock.now()
        values = (role, owner, micros(now + timedelta(seconds=seconds)), micros(now))

        def work(connection: Connection) -> bool:
            connection.execute(_HOLD, values)
            return connection.changes() > 0

        return await self._write(work)

    async def release_role(self, role: str, owner: str) -> None:
        """See RoleStore."""

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM roles WHERE role=? AND owner=?", (role, owner))

        await self._write(work)

    async def save_part(self, part: PartState) -> None:
        """See RoleStore."""
        now = self._clock.now()
        row = (part.id, part.name, micros(now), _encoder.encode(part))
        old = micros(now - timedelta(seconds=PARTS_KEPT_SECONDS))

        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO parts(id, name, seen, doc) VALUES(?,?,?,?)", row
            )
            connection.execute("DELETE FROM parts WHERE seen<?", (old,))

        await self._write(work)

    async def parts(self, *, within_seconds: float = 60.0) -> list[PartState]:
        """See RoleStore."""
        since = micros(self._clock.now() - timedelta(seconds=within_seconds))
        select = "SELECT seen, doc FROM parts WHERE seen>=? ORDER BY name, id"
        rows = await self._read(lambda connection: all_rows(connection, select, (since,)))
        return [
            msgspec.structs.replace(_part.decode(doc), seen_at=instant(seen)) for seen, doc in rows
        ]
