"""A control side with everything that runs there, and hosts that one real OpenSSH plays on many loopback addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from dts_core.clients import AdminClient
from dts_core.daemons.base import running
from dts_core.model import Operation
from dts_core.services.container import Services
from dts_core.services.users import LOCAL, USERS
from dts_core.settings import ServerFile
from dts_core.sqlite import OwnerLock
from dts_core.testing import wait_until
from dts_core.views.ssh import HostRunView
from dts_core.wiring.owner import open_owner
from tests.support.server import SECRET
from tests.support.sshd import SshServer

MANY_SECONDS = 300.0
"""For what takes many hosts on one machine."""
OVER = ("done", "failed", "cancelled", "dead")


class Fleet:
    """An administrator's client of such a control side."""

    def __init__(self, services: Services, admin: AdminClient) -> None:
        self.services = services
        self.admin = admin

    async def add(self, sshd: SshServer, name: str, address: str = "", **fields: Any) -> None:
        """A virtual host on one of the server's addresses."""
        given = sshd.vhost() | ({"address": address} if address else {}) | fields
        await self.services.vhosts.create(LOCAL, {"_id": name, **given})

    async def add_all(self, sshd: SshServer, **fields: Any) -> list[str]:
        """One for each address of the server: web-1, web-2, ..."""
        names = [f"web-{number}" for number in range(1, len(sshd.addresses) + 1)]
        for name, address in zip(names, sshd.addresses, strict=True):
            await self.add(sshd, name, address, **fields)
        return names

    async def start(self, hosts: list[str], argv: list[str], **options: Any) -> str:
        """Start a command; the job's id."""
        started = await self.admin.ssh.start(hosts, argv=argv, **options)
        assert started.job is not None
        return started.job.id

    async def ended(self, job: str) -> str:
        """The state of a job at its end."""
        state = ""

        async def is_over() -> bool:
            nonlocal state
            state = (await self.admin.job(job)).state
            return state in OVER

        await wait_until(is_over, MANY_SECONDS, what=f"job {job} is over")
        return state

    async def states(self, job: str) -> dict[str, str]:
        """Host -> state."""
        return {name: view.state for name, view in (await self.runs(job)).items()}

    async def runs(self, job: str) -> dict[str, HostRunView]:
        """Every host of the job."""
        found: dict[str, HostRunView] = {}
        start = 0
        while True:
            page = await self.admin.ssh.hosts(job, start=start)
            found |= {view.host: view for view in page.items}
            start = page.next
            if not start:
                return found

    async def recorded(self, op_type: str) -> list[Operation]:
        """Operations of a type, the newest first."""
        found = await self.services.store.operations(limit=1000)
        return [operation for _, operation in found if operation.op_type == op_type]


@asynccontextmanager
async def fleet(folder: Path, settings: ServerFile | None = None) -> AsyncIterator[Fleet]:
    """One on a folder of its own, new or of before."""
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = OwnerLock(folder)
    try:
        async with (
            open_owner(folder, settings or ServerFile()) as opened,
            running(opened.parts),
            AdminClient("http://dts", http_transport=httpx.ASGITransport(opened.app)) as admin,
        ):
            services = opened.services
            if await USERS.find(services.store, "root") is None:
                body = {"_id": "root", "role": "admin", "secret": SECRET}
                await services.users.create(LOCAL, body)
            known = await USERS.load(services.store, "root")
            admin.token = (await services.sessions.issue(known, 1.0, LOCAL)).token
            yield Fleet(services, admin)
    finally:
        lock.release()
