"""Which keys virtual hosts show, looked at before any of them is pinned; nothing is shown to them."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dts_core.builtin import Calling, current
from dts_core.builtin.person import remotes_of
from dts_core.errors import DtsError, HostKeyChanged, HostKeyRejected, HostKeyUnknown
from dts_core.services.users import LOCAL
from dts_core.ssh.base import type_of
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.remote import Remotes

__all__ = ["main"]

AT_ONCE: Final = 64


async def main(
    hosts: list[str], ask: bool = False, own_keys: list[str] | None = None
) -> dict[str, Any]:
    """Connect to each host up to its key, and no further.

    Args:
        hosts: Ids of virtual hosts.
        ask: Whether whoever called is asked for what is not stored of hosts that the way leads through.
        own_keys: Public keys of their SSH agent, for such hosts of which nothing is stored.

    Returns:
        hosts: id -> state (unknown: nothing is pinned; pinned: it shows the pinned key; changed: it shows another one;
        unreachable), and of what it showed type, fingerprint and key; else why.
    """
    calling = current()
    gate = asyncio.Semaphore(AT_ONCE)

    async with remotes_of(calling, ask=ask, own_keys=own_keys) as remotes:

        async def look(host: str) -> dict[str, str]:
            async with gate:
                return await _look(calling, remotes, host)

        found = await asyncio.gather(*(look(host) for host in hosts))
    return {"hosts": dict(zip(hosts, found, strict=True))}


async def _look(calling: Calling, remotes: "Remotes", host: str) -> dict[str, str]:
    caller = msgspec.structs.replace(LOCAL, user=calling.submitter)
    try:
        target = await remotes.showing(caller, host, why=f"job {calling.job}")
        async with remotes.sessions.session(target):
            return {"state": "unreachable", "why": "it let us in without a key to look at"}
    except HostKeyRejected as error:
        if error.host != host:  # one of its way
            return {"state": "unreachable", "why": clean(str(error), 400)}
        state = "pinned"
        if isinstance(error, HostKeyUnknown):
            state = "unknown"
        elif isinstance(error, HostKeyChanged):
            state = "changed"
            await calling.services.host_trust.changed(error)
        return {
            "state": state,
            "type": type_of(error.shown),
            "fingerprint": error.fingerprint,
            "key": error.shown,
        }
    except DtsError as error:
        return {"state": "unreachable", "why": clean(str(error), 400)}
