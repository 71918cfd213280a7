"""The keys that secrets in the store are sealed with."""

from dts_core.clients.describe import Request, get, write
from dts_core.views import RotateView, VaultView


def vault_status() -> Request[VaultView]:
    """The keys, and how many secrets each is needed for."""
    return get("/admin/vault", VaultView)


def rotate_vault(*, cursor: str = "", limit: int = 50) -> Request[RotateView]:
    """One page of a rotation; go on with the answer's `next` until it is empty."""
    return write("POST", "/admin/vault/rotate", RotateView, {"cursor": cursor, "limit": limit})
