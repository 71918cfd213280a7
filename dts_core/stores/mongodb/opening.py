"""How the store begins: what the deployment promises, the sequences, the indexes, what a crash left."""

import logging
from typing import Final

from dts_core.errors import ConfigError
from dts_core.settings import StoreSettings, masked
from dts_core.stores.mongodb import indexes
from dts_core.stores.mongodb.base import Part, Shared
from dts_core.stores.mongodb.driver import Client, answering, deadlined
from dts_core.stores.mongodb.ordering import SortedDocuments

log = logging.getLogger(__name__)
INDEXES_SECONDS: Final = 600.0


class Opening(Part):
    """The first steps on a database, each within its deadline."""

    def __init__(self, shared: Shared, client: Client, settings: StoreSettings) -> None:
        super().__init__(shared)
        self._client = client
        self._settings = settings

    @deadlined
    async def check_promises(self) -> None:
        """Look at what answers, and refuse what cannot keep our promises.

        Raises:
            ConfigError: It is no replica set, and no setting allows that.
            StoreUnavailable: Nothing answers, or no majority confirms a write.
        """
        hello = await self._client.admin.command("hello")
        is_replicated = "setName" in hello or hello.get("msg") == "isdbgrid"
        if not is_replicated and not self._settings.allow_standalone:
            raise ConfigError(
                f"{masked(self._settings.url)} is a standalone server: what it confirmed may be lost with it.",
                key="store.url",
                advice="Make it a replica set (of one member, for a start: --replSet and rs.initiate()), "
                "or set store.allow_standalone = true and take the risk.",
            )
        if not is_replicated:
            log.warning("MongoDB is a standalone server: what it confirmed may be lost with it")

    @deadlined
    async def prepare(self) -> None:
        """Begin the sequences; their first write also shows whether a majority confirms.

        Raises:
            StoreUnavailable: It does not.
        """
        await self._shared.jobs.prepare()
        await self._shared.logs.prepare()

    async def make_indexes(self) -> None:
        """Make the indexes that are missing; of a large collection that may take its time."""
        async with answering(self, INDEXES_SECONDS):
            await indexes.ensure(self._shared.database)

    async def place_documents(self, documents: SortedDocuments) -> None:
        """Put documents of a former version into every order; of a large collection that may take its time."""
        async with answering(self, INDEXES_SECONDS):
            placed = await documents.place_documents()
        if placed:
            log.info("%d documents of a former version were put in order", placed)
