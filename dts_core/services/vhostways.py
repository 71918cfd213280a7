"""Ways to virtual hosts: each may lead through another one, never in a circle."""

from typing import Final

from dts_core.errors import InvalidInput
from dts_core.model import VirtualHost
from dts_core.services.documents import Collection
from dts_core.stores.base import Store

__all__ = ["WAY_MAX", "check_way"]

WAY_MAX: Final = 8
"""Most hosts that a way leads through."""


async def check_way(store: Store, vhosts: Collection[VirtualHost], vhost: VirtualHost) -> None:
    """Follow the way to a virtual host as it is to be stored.

    Raises:
        InvalidInput: It leads through one that is not there, in a circle, or through more than WAY_MAX.
    """
    passed = [vhost.id]
    following = vhost.jump
    while following:
        if following in passed:
            raise _wrong(f"the way would be a circle: {' through '.join([*passed, following])}")
        if len(passed) > WAY_MAX:
            raise _wrong(f"the way would lead through more than {WAY_MAX} hosts")
        found = await vhosts.find(store, following)
        if found is None:
            raise _wrong("there is no such virtual host")
        passed.append(following)
        following = found.jump


def _wrong(why: str) -> InvalidInput:
    return InvalidInput(f"jump: {why}.", fields={"jump": why})
