"""`admin.vault`: the keys that secrets in the store are sealed with."""

from dts_core.clients import calls
from dts_core.clients.collections import AsyncGroup, SyncGroup
from dts_core.clients.describe import call


class VaultCalls:
    """The keys, and their rotation page by page."""

    status = call(calls.vault_status)
    rotate = call(calls.rotate_vault)


class Vault(VaultCalls, AsyncGroup):
    """The vault's keys, on the loop."""


class SyncVault(VaultCalls, SyncGroup):
    """The vault's keys, blocking."""
