"""The administrator's client against the application: everything that is kept, through it alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from dts_core.clients import AdminClient, Client, SyncClient
from dts_core.errors import ApiError
from tests.support.server import ADD, NOOP, SECRET, Server, serve


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        yield made


@pytest.fixture
async def admin(server: Server) -> AsyncIterator[AdminClient]:
    transport = httpx.ASGITransport(app=cast("Any", server.app), raise_app_exceptions=False)
    token = await server.token("root")
    async with AdminClient("http://test", token, http_transport=transport) as client:
        yield client


async def test_a_store_is_administered_through_the_client_alone(admin: AdminClient) -> None:
    """Users, namespaces and functions, from the first to the last."""
    await admin.namespaces.add("etl", description="Nightly", members={"anna": "admin"})
    await admin.users.add("anna", role="submitter", secret=SECRET, groups=["ops"])
    await admin.users.add("bob", role="viewer", secret=SECRET)
    await admin.functions.add("etl/load", NOOP, note="first")
    users = await admin.users.list(groups="ops", fields=["role"])
    assert users.items == [{"_id": "anna", "role": "submitter"}]
    changed = await admin.users.update("bob", role="operator", revision=1)
    assert (changed.operation, changed.revision) == ("update", 2)
    replaced = await admin.users.replace("bob", address="bob@example.org", revision=2)
    assert (replaced.operation, replaced.revision) == ("replace", 3)
    bob = await admin.users.get("bob")
    assert (bob["role"], bob["address"]) == ("submitter", "bob@example.org")
    await admin.functions.replace("etl/load", source=ADD, revision=1)
    shown = await admin.functions.get("etl/load")
    assert [each.note for each in shown.versions] == ["first", ""]
    found = await admin.namespaces.list(members="anna", sort="-updated_at")
    assert [each["_id"] for each in found.items] == ["etl"]
    with pytest.raises(ApiError) as refused:
        await admin.namespaces.delete("etl")
    assert refused.value.told["dependents"][0]["ids"] == ["etl/load"]
    await admin.functions.delete("etl/load", revision=2)
    await admin.namespaces.delete("etl")
    gone = await admin.users.delete("anna", revision=1)
    assert (gone.operation, gone.dependents) == ("delete", [])


async def test_a_stale_write_comes_with_both_versions(admin: AdminClient) -> None:
    """A program can offer the choice that the console offers."""
    await admin.namespaces.add("etl")
    await admin.namespaces.update("etl", description="theirs", revision=1)
    with pytest.raises(ApiError) as stale:
        await admin.namespaces.update("etl", description="mine", revision=1)
    assert stale.value.answer_status == 409
    assert stale.value.told["current"]["description"] == "theirs"
    assert stale.value.told["sent"] == {"description": "mine"}
    assert stale.value.told["differ"] == ["description"]


async def test_a_dry_run_and_the_schema_are_offered_too(admin: AdminClient) -> None:
    """What a form needs before it writes."""
    planned = await admin.users.add("anna", secret=SECRET, dry_run=True)
    assert planned.dry_run
    assert planned.changes["secret_hash"] == [None, "***"]
    assert (await admin.users.list(prefix="anna")).items == []
    kinds = {each.name: each for each in (await admin.schema()).items}
    assert kinds["namespaces"].fields[0].name == "_id"
    documents = admin.collection("namespaces")
    await documents.add("etl", description="d")
    assert (await documents.get("etl"))["description"] == "d"
    assert [each["_id"] for each in (await documents.list(fields=["_id"])).items] == ["etl"]


def test_a_users_client_has_none_of_it() -> None:
    """It submits and asks; functions can be read, nothing can be written."""
    for client in (Client, SyncClient):
        for name in ("users", "namespaces", "vhosts", "operations", "collection", "schema"):
            assert not hasattr(client, name)
    with SyncClient("http://s") as reads:
        for name in ("add", "update", "replace", "delete"):
            assert not hasattr(reads.functions, name)


async def test_virtual_hosts_are_typed_documents_like_the_others(admin: AdminClient) -> None:
    """Filters by name, times as times, revisions checked; of a secret only that it is there."""
    await admin.vhosts.add("web-1", address="192.0.2.1", user="root", labels={"rack": "7"})
    await admin.vhosts.add("web-2", address="192.0.2.2", user="root", password="a password")
    found = await admin.vhosts.list(labels="rack")
    assert [each["_id"] for each in found.items] == ["web-1"]
    web = await admin.vhosts.get("web-2")
    assert (web["has_password"], web["created_at"].tzinfo is not None) == (True, True)
    assert "password" not in web
    changed = await admin.vhosts.update("web-2", revision=1, password=None, auth="ask")
    assert changed.revision == 2
    with pytest.raises(ApiError, match="was changed meanwhile"):
        await admin.vhosts.replace("web-2", revision=1, address="192.0.2.3", user="root")
    assert (await admin.vhosts.get("web-2"))["has_password"] is False
    assert (await admin.vhosts.delete("web-2", revision=2)).operation == "delete"
