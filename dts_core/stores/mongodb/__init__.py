"""The MongoDB store: documents in a replica set, shared by any number of processes.

Every promise rests on writes of single documents, guarded, confirmed by a majority and journaled; nothing needs a
transaction of several. `driver` is the one module that knows MongoDB's driver.
"""

from datetime import datetime, timedelta
from typing import Any

from dts_core.clock import Clock
from dts_core.errors import StoreUnavailable
from dts_core.settings import StoreSettings
from dts_core.stores.mongodb.base import Shared
from dts_core.stores.mongodb.documents import Documents
from dts_core.stores.mongodb.driver import Client, connect, deadlined, disconnect
from dts_core.stores.mongodb.hosts import Hosts
from dts_core.stores.mongodb.jobs import Jobs
from dts_core.stores.mongodb.letters import Letters
from dts_core.stores.mongodb.logs import Logs
from dts_core.stores.mongodb.marks import Marks
from dts_core.stores.mongodb.opening import Opening
from dts_core.stores.mongodb.positions import FIGURES
from dts_core.stores.mongodb.reach import unreached
from dts_core.stores.mongodb.roles import Roles
from dts_core.stores.mongodb.runs import Runs

__all__ = ["MongoStore", "open_store"]


class MongoStore(Jobs, Documents, Marks, Hosts, Logs, Letters, Runs, Roles):
    """The Store over one database. Made by `open_store`."""

    def __init__(self, shared: Shared, client: Client) -> None:
        super().__init__(shared)
        self._client = client

    @deadlined
    async def ping(self) -> None:
        """See Store."""
        await self._in(FIGURES).find_one({"_id": "jobs"}, {"seq": 1})

    async def roll_up(self, now: datetime, *, fine: timedelta, coarse: timedelta) -> None:
        """See HostStore. Beside it, once a minute thereby, the counts of jobs are put right where they may be off."""
        await super().roll_up(now, fine=fine, coarse=coarse)
        await self.mend_counts()

    def metrics(self) -> dict[str, Any]:
        """See Store."""
        return {
            "store_failures": self.failures,
            **{f"store_{name}": count for name, count in self.counters.items()},
        }

    async def close(self) -> None:
        """See Store; closes the connections."""
        await disconnect(self._client)


async def open_store(settings: StoreSettings, clock: Clock) -> MongoStore:
    """Connect, see that the deployment keeps our promises, make what is missing.

    Raises:
        ConfigError: The URL is wrong, or names a server that cannot keep them.
        StoreUnavailable: Nothing answers, or no majority confirms a write.
        SchemaMismatch: The database was made by something else.
    """
    client, database = connect(settings)
    try:
        shared = Shared(database, clock, settings.deadline_seconds)
        opening = Opening(shared, client, settings)
        try:
            await opening.check_promises()
        except StoreUnavailable as error:
            raise unreached(client, settings) or error from error
        await opening.prepare()
        await opening.make_indexes()
        store = MongoStore(shared, client)
        await opening.place_documents(store)
        return store
    except BaseException:
        await disconnect(client)
        raise
