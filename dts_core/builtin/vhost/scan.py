"""Which keys virtual hosts show, looked at before any of them is pinned; nothing is shown to them."""

import asyncio
from typing import Any, Final

import msgspec

from dts_core.builtin import Calling, current
from dts_core.errors import DtsError, HostKeyChanged, HostKeyRejected, HostKeyUnknown
from dts_core.services.users import LOCAL
from dts_core.ssh.base import type_of
from dts_core.text import clean

__all__ = ["main"]

AT_ONCE: Final = 64


async def main(hosts: list[str]) -> dict[str, Any]:
    """Connect to each host up to its key, and no further.

    Args:
        hosts: Ids of virtual hosts.

    Returns:
        hosts: id -> state (unknown: nothing is pinned; pinned: it shows the pinned key; changed: it shows another one;
        unreachable), and of what it showed type, fingerprint and key; else why.
    """
    calling = current()
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(host: str) -> dict[str, str]:
        async with gate:
            return await _look(calling, host)

    found = await asyncio.gather(*(look(host) for host in hosts))
    return {"hosts": dict(zip(hosts, found, strict=True))}


async def _look(calling: Calling, host: str) -> dict[str, str]:
    caller = msgspec.structs.replace(LOCAL, user=calling.submitter)
    try:
        target = await calling.remotes.showing(caller, host, why=f"job {calling.job}")
        async with calling.remotes.sessions.session(target):
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
