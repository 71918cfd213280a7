"""Declared documents on every store: exported from one, applied to another, exported again as the same files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from dts_core.api.app import create_app
from dts_core.brokers.embedded import EmbeddedBroker
from dts_core.cli.admin_apply import planned
from dts_core.cli.admin_export import exported
from dts_core.cli.admin_trying import Hands
from dts_core.clients import SyncAdminClient
from dts_core.clock import SystemClock
from dts_core.declared import Plan
from dts_core.errors import ApiError
from dts_core.services.building import ServiceOptions, build_services
from dts_core.services.users import LOCAL, USERS
from dts_core.settings import ServerSettings, VaultSettings
from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake
from dts_core.wiring.vault import open_vault, ssh_keys
from tests.contract.store_backends import Engine, open_file
from tests.support.server import ADD, NOOP, SECRET, serve


class LoopTransport(httpx.BaseTransport):
    """Lets a blocking client in a thread of its own ask an application on the loop."""

    def __init__(self, app: Litestar, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = httpx.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._ask(request), self._loop).result()

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport) as http:
            answer = await http.request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def admin(app: Litestar, token: str) -> SyncAdminClient:
    transport = LoopTransport(app, asyncio.get_running_loop())
    return SyncAdminClient("http://test", token, http_transport=transport)


@asynccontextmanager
async def application(store: Store, intake: Intake, folder: Path) -> AsyncIterator[SyncAdminClient]:
    """The interface over a store, and a client of an administrator `root`."""
    folder.mkdir()
    clock, settings = SystemClock(), ServerSettings()
    database, beside = open_file(folder, clock)
    broker = EmbeddedBroker(database, clock=clock)
    services = build_services(
        store,
        intake,
        broker,
        clock,
        settings,
        ServiceOptions(
            plugins=folder, vault=open_vault(VaultSettings(), folder), ssh_keys=ssh_keys
        ),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(beside.close)
        await broker.start()
        stack.push_async_callback(broker.close)
        await services.start()
        stack.push_async_callback(services.stop)
        await services.users.create(LOCAL, {"_id": "root", "role": "admin", "secret": SECRET})
        root = await USERS.load(store, "root")
        token = (await services.sessions.issue(root, 1.0, LOCAL)).token
        yield admin(create_app(services, settings), token)


@pytest.fixture
async def client(engine: Engine, tmp_path: Path) -> AsyncIterator[SyncAdminClient]:
    """Of an application on the store under test."""
    async with application(engine.store, engine.intake, tmp_path / "beside") as made:
        yield made


def fill(client: SyncAdminClient) -> None:
    client.users.add("anna", role="operator", secret=SECRET, groups=["ops"], disabled=True)
    client.namespaces.add("etl", description="Nightly", members={"anna": "admin"})
    client.functions.add("etl/load", NOOP, note="first")
    client.functions.update("etl/load", revision=1, source=ADD, note="second")
    client.vhosts.add("b", address="192.0.2.1", user="u", labels={"rack": "7"})
    client.vhosts.add("a", address="192.0.2.2", user="u", jump="b")


def run(client: SyncAdminClient, folder: Path, *, prune: bool = False) -> Plan:
    """What `dts admin apply` does; returns the plan that it did."""
    plan, secrets = planned(client, folder, prune, None)
    hands = Hands(client, secrets)
    plan, wrong = hands.tried(plan)
    assert wrong == []
    for step in plan.steps:
        hands.do(step)
    return plan


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_what_is_exported_and_applied_is_exported_as_the_same_files(
    client: SyncAdminClient, tmp_path: Path
) -> None:
    """Over any store; a second run changes nothing, and an emptied folder takes everything away again."""
    first, again = tmp_path / "first", tmp_path / "again"
    (tmp_path / "other").mkdir()
    async with serve(tmp_path / "other") as server:
        other = admin(server.app, await server.token("root"))
        await asyncio.to_thread(fill, other)
        await asyncio.to_thread(exported, other, first)
    plan = await asyncio.to_thread(run, client, first, prune=True)
    assert [f"{step.verb} {step.key.id}" for step in plan.steps] == [
        "create anna", "create etl", "create etl/load", "create b", "create a",
    ]  # fmt: skip
    await asyncio.to_thread(exported, client, again)
    assert files(again) == files(first)
    assert len(files(again)) == 7
    assert (await asyncio.to_thread(run, client, again, prune=True)).is_done
    for name in files(again):
        if name != "users/root.toml":
            (again / name).unlink()
    plan = await asyncio.to_thread(run, client, again, prune=True)
    assert [f"{step.verb} {step.key.id}" for step in plan.steps] == [
        "delete a", "delete b", "delete etl/load", "delete etl", "delete anna",
    ]  # fmt: skip
    assert (await asyncio.to_thread(run, client, again, prune=True)).is_done


async def test_a_step_that_somebody_was_quicker_than_is_refused(
    client: SyncAdminClient, tmp_path: Path
) -> None:
    """Changed, created or deleted since the plan was made: on any store nothing is overwritten."""

    def compete() -> None:
        fill(client)
        folder = tmp_path / "folder"
        exported(client, folder)
        (folder / "namespaces/etl.toml").write_text('description = "new"\n')
        (folder / "namespaces/two.toml").write_text('description = "new"\n')
        (folder / "users/anna.toml").unlink()
        plan, secrets = planned(client, folder, True, None)
        assert [step.key.id for step in plan.steps] == ["etl", "two", "anna"]
        client.namespaces.update("etl", description="theirs")
        client.namespaces.add("two", description="theirs")
        client.users.update("anna", role="viewer")
        for step in plan.steps:
            with pytest.raises(ApiError) as refused:
                Hands(client, secrets).do(step)
            assert refused.value.answer_status == 409
        for name in ("etl", "two"):
            assert client.namespaces.get(name)["description"] == "theirs"
        assert client.users.get("anna")["role"] == "viewer"

    await asyncio.to_thread(compete)
