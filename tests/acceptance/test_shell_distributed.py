"""Shells where servers share RabbitMQ and MongoDB: each reaches the host itself, and all know who may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from dts_core.clients import AdminClient, Client
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import ApiError, ServerUnreachable
from dts_core.testing import wait_until
from dts_core.vault import KeyFile
from dts_core.views.shell import Opened
from tests.support.distributed import Distributed, distributed
from tests.support.mongodb import MongoAddress
from tests.support.ports import free_port
from tests.support.processes import Running, eventually
from tests.support.rabbitmq import RabbitNode
from tests.support.shells import BEGIN, END, Talk
from tests.support.sshd import ssh_server

pytestmark = [
    pytest.mark.external("rabbitmq"),
    pytest.mark.external("sshd"),
    pytest.mark.slow,
]
SECRET = "a long enough secret of ben"


@asynccontextmanager
async def shell(engine: Distributed, url: str = "", token: str = "") -> AsyncIterator[Talk]:
    """One on web-1, open, through the server at that address; the first of them, when none is given."""
    first = local_endpoint(engine.data)
    async with (
        Client(url or first.url, token or first.token) as client,
        client.shell("web-1") as made,
    ):
        talk = Talk(made)
        async with asyncio.timeout(60):
            talk.opened = await anext(talk.heard)
        assert isinstance(talk.opened, Opened), talk.opened
        yield talk


async def records(admin: AdminClient) -> list[tuple[str, str, Any]]:
    """Kind, who and how of all shells on web-1, oldest first."""
    listed = await admin.operations.list(collection="ssh", doc_id="web-1")
    return [
        (each.op_type, each.operator, each.ops.get("how", [None, None])[1])
        for each in reversed(listed.items)
    ]


async def until_ended(admin: AdminClient, *ends: str) -> None:
    """These, and no others, are the ends on record."""

    async def look() -> bool:
        return [how for kind, _, how in await records(admin) if kind == END] == list(ends)

    await wait_until(look, what=f"ends {ends} are on record")


def test_a_shell_through_any_server(
    rabbit: RabbitNode, mongodb: MongoAddress, tmp_path: Path
) -> None:
    """Opened through one, its right taken away through another, its server killed: each is told, and on record."""
    key = tmp_path / "vault.key"
    KeyFile.made(key)
    env = {"DTS_VAULT_KEY_FILE": str(key)}
    with ssh_server() as sshd, distributed(tmp_path, rabbit.vhost(), mongodb.fresh()) as engine:
        engine.server(**env)
        with engine.client(workers=0) as client:
            client.vhosts.add("web-1", **sshd.vhost())
        port = free_port()
        second = engine.server("second", DTS_SERVER_PORT=str(port), **env)
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: f"ready at {url}" in second.said(), what="the second answers")
        asyncio.run(_walk(engine, url))
        engine.running.remove(second)
        asyncio.run(_killed(engine, second, url))
        second.end()


async def _walk(engine: Distributed, url: str) -> None:
    found = local_endpoint(engine.data)
    async with AdminClient(found.url, found.token) as admin:
        async with shell(engine, url) as talk:
            await talk.type("echo $((40+2))\n")
            await talk.until("42")
            await talk.type("exit 3\n")
            assert (await talk.exit()).status == 3
        await until_ended(admin, "exit 3")
        await admin.users.add("ben", role="operator", secret=SECRET)
        async with Client(found.url) as somebody:
            token = (await somebody.login("ben", SECRET)).token
        with pytest.raises(ApiError, match="may not open a shell"):
            async with shell(engine, url, token):
                pass
        await admin.vhosts.update("web-1", shell_users=["ben"])
        async with shell(engine, url, token) as talk:
            await talk.type("echo $((50+3))\n")
            await talk.until("53")
            await admin.vhosts.update("web-1", shell_users=[])
            with pytest.raises(ApiError, match="may not open a shell"):
                await talk.exit()
        await until_ended(admin, "exit 3", "the right to it was taken away")
        told = await records(admin)
        assert [who for kind, who, _ in told if kind == BEGIN][1:] == ["ben", "ben"]


async def _killed(engine: Distributed, second: Running, url: str) -> None:
    """The host hangs up on what ran there, as its connection was that server's."""
    async with shell(engine, url) as talk:
        await talk.type("echo p''id=$$=; exec sleep 1000\n")
        await talk.until("pid=")
        pid = int((await talk.until("="))[:-1])
        second.kill()
        with pytest.raises((ApiError, ServerUnreachable)):
            await talk.exit()
        await wait_until(lambda: not psutil.pid_exists(pid), what="it is gone there")
    async with shell(engine) as talk:
        await talk.type("exit\n")
        assert (await talk.exit()).status == 0
