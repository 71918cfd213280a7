"""The embedded store: documents in one SQLite file that one process owns."""

from typing import Any

from dts_core.clock import Clock
from dts_core.sqlite import Database, one_row
from dts_core.stores.embedded.documents import Documents
from dts_core.stores.embedded.hosts import Hosts
from dts_core.stores.embedded.intake import EmbeddedIntake
from dts_core.stores.embedded.jobs import Jobs
from dts_core.stores.embedded.letters import Letters
from dts_core.stores.embedded.logs import Logs
from dts_core.stores.embedded.marks import Marks
from dts_core.stores.embedded.roles import Roles
from dts_core.stores.embedded.runs import Runs

__all__ = ["EmbeddedIntake", "EmbeddedStore"]


class EmbeddedStore(Jobs, Documents, Marks, Hosts, Logs, Letters, Runs, Roles):
    """The Store over an open file whose schema is this version's."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)

    async def ping(self) -> None:
        """See Store."""
        await self._read(lambda connection: one_row(connection, "SELECT seq FROM jobs LIMIT 1"))

    def metrics(self) -> dict[str, Any]:
        """See Store."""
        return {
            "store_commits": self._database.commits,
            "store_writes_waiting": self._database.waiting,
        }

    async def close(self) -> None:
        """See Store; closes the file."""
        await self._database.close()
