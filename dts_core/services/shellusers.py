"""Whom a virtual host lets open shells: those very users, not others that are made under their names later."""

from collections.abc import Sequence
from datetime import datetime

from dts_core.model import User, VirtualHost
from dts_core.services.users import USERS
from dts_core.stores.base import Store

__all__ = ["granted", "granted_before", "is_granted"]


async def granted(store: Store, names: Sequence[str]) -> dict[str, datetime]:
    """When each of these users was made; without those that there are none of."""
    return {user.id: user.created_at for user in await _found(store, names)}


async def granted_before(store: Store, vhost: VirtualHost) -> dict[str, datetime]:
    """The same of a document of before this was kept: of users who were there when it was changed last."""
    found = await _found(store, vhost.shell_users)
    return {user.id: user.created_at for user in found if user.created_at <= vhost.updated_at}


async def is_granted(store: Store, vhost: VirtualHost, name: str) -> bool:
    """Whether the user of this name is one whom the virtual host was told of."""
    if name not in vhost.shell_users:
        return False
    kept = vhost.shell_granted
    if kept is None:
        kept = await granted_before(store, vhost)
    return name in kept and await granted(store, [name]) == {name: kept[name]}


async def _found(store: Store, names: Sequence[str]) -> list[User]:
    users = [await USERS.find(store, name) for name in names]
    return [user for user in users if user is not None]
