"""The HTTP clients. `Client` and `AdminClient` work on the loop, `SyncClient` and `SyncAdminClient` block."""

from dts_core.clients.calls import submission
from dts_core.clients.client import AdminClient, Client, SyncAdminClient, SyncClient

__all__ = ["AdminClient", "Client", "SyncAdminClient", "SyncClient", "submission"]
