"""The audit over HTTP: filtered, paged both ways, shown by field, compared between revisions, verified."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dts_core.services.users import LOCAL
from dts_core.views import Checkpoint
from tests.support.audit import SqliteTamper
from tests.support.server import SECRET, Server, serve

PATH = "/admin/operations"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        yield made


async def listed(server: Server, **params: Any) -> dict[str, Any]:
    answer = await server.call("GET", PATH, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def change(server: Server, **fields: Any) -> None:
    answer = await server.call("PATCH", "/admin/namespaces/sample", json=fields)
    assert answer.status_code == 200, answer.text


async def test_the_audit_is_filtered_and_paged_both_ways(server: Server) -> None:
    """By collection, document, user, type, time and refusal; `next` leads on."""
    await server.token("root")
    for text in ("a", "b", "c"):
        await change(server, description=text)
    refused = await server.call("DELETE", "/admin/users/root", "viewer")
    assert refused.status_code == 403
    mine = await listed(server, operator="root", op_type="update")
    assert [each["ops"]["description"][1] for each in mine["items"]] == ["c", "b", "a"]
    first = await listed(server, operator="root", op_type="update", limit=2)
    rest = await listed(server, operator="root", op_type="update", before=first["next"])
    assert first["items"] + rest["items"] == mine["items"]
    newer = await listed(server, op_type="update", after=rest["items"][0]["position"], limit=1)
    assert newer["items"] == mine["items"][1:2]
    [tried] = (await listed(server, refused="true"))["items"]
    assert (tried["operator"], tried["collection"], tried["doc_id"]) == ("viewer", "users", "root")
    assert tried["source"]
    assert tried["request_id"] == refused.headers["x-request-id"]
    at = mine["items"][1]["timestamp"]
    since = await listed(server, since=at, operator="root", op_type="update")
    assert since["items"] == mine["items"][:2]
    until = await listed(server, until=at, operator="root", op_type="update")
    assert until["items"] == mine["items"][2:]


@pytest.mark.parametrize(
    "params", [{"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"limit": 501}, {"no": 1}]
)
async def test_a_filter_that_is_wrong_is_named(server: Server, params: dict[str, Any]) -> None:
    """A time needs its zone."""
    answer = await server.call("GET", PATH, params=params)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == list(params)


async def test_one_operation_is_shown_by_position_and_by_id(server: Server) -> None:
    """With its changes field by field, and its place in its chain."""
    await change(server, description="new")
    newest = (await listed(server))["items"][0]
    for key in (newest["id"], newest["position"]):
        shown = (await server.call("GET", f"{PATH}/{key}")).json()
        assert shown == newest
    assert newest["ops"] == {"description": ["", "new"]}
    assert (newest["revision"], newest["number"] > 1, len(newest["digest"])) == (2, True, 64)
    for key in ("nothing", "0", "99999", "9" * 18, "9" * 19, "9" * 30):
        assert (await server.call("GET", f"{PATH}/{key}")).status_code == 404


async def test_two_revisions_of_a_document_are_compared(server: Server) -> None:
    """Either way round, over several changes; what came back to what it was does not differ."""
    await change(server, description="one")
    await change(server, description="two", members={"ann": "viewer"})
    await change(server, members={"*": "submitter"})
    await server.services.writer.record(LOCAL, "namespaces", "sample", "look", {"seen": 3})
    query = {"collection": "namespaces", "doc_id": "sample"}

    async def difference(of: int, to: int) -> Any:
        answer = await server.call(
            "GET", f"{PATH}/difference", params={**query, "from": of, "to": to}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["changes"]

    assert await difference(2, 3) == {
        "description": ["one", "two"],
        "members": [{"*": "submitter"}, {"ann": "viewer"}],
    }
    assert await difference(1, 4) == {"description": ["", "two"]}
    assert await difference(4, 2) == {"description": ["two", "one"]}
    assert await difference(3, 3) == {}
    assert (await difference(0, 1))["members"] == [None, {"*": "submitter"}]
    for missing, status in ({"to": 5}, 422), ({"doc_id": "other"}, 404), ({"to": -1}, 422):
        params = query | {"from": 1, "to": 2} | missing
        answer = await server.call("GET", f"{PATH}/difference", params=params)
        assert answer.status_code == status, answer.text


async def test_of_a_document_made_anew_the_last_one_is_compared(server: Server) -> None:
    """Its removal is a revision, too."""
    path = "/admin/namespaces/etl"
    for description in ("first", "second"):
        body = {"_id": "etl", "description": description}
        assert (await server.call("POST", "/admin/namespaces", json=body)).status_code == 201
        assert (await server.call("DELETE", path)).status_code == 200
    params = {"collection": "namespaces", "doc_id": "etl", "from": 1, "to": 2}
    found = (await server.call("GET", f"{PATH}/difference", params=params)).json()
    assert found["changes"]["description"] == ["second", None]


async def test_revisions_of_records_that_do_not_tell_them_are_counted_back(
    server: Server, tmp_path: Path
) -> None:
    """An older version wrote them: the document's own revision says where they end."""
    for text in ("a", "b"):
        await change(server, description=text)
    untold = []
    for _, each in reversed(await server.store.operations(collection="namespaces", limit=10)):
        old = {"revision": 0, "position": 0, "chain": "", "number": 0, "digest": "", "heads": []}
        untold.append(msgspec.structs.replace(each, id=f"old {each.id}", **old))
    for row in await server.store.recorded():
        SqliteTamper(tmp_path).remove(row.position)
    for each in untold:
        await server.store.add_operation(each)
    params = {"collection": "namespaces", "doc_id": "sample", "from": 2, "to": 3}
    found = (await server.call("GET", f"{PATH}/difference", params=params)).json()
    assert found["changes"] == {"description": ["a", "b"]}


async def test_what_a_rule_refuses_is_recorded(server: Server) -> None:
    """The last administrator stays, a namespace with functions too: with who tried, and why not."""
    await server.token("root")
    await server.function()
    demoted = await server.call("PATCH", "/admin/users/root", json={"role": "viewer"})
    removed = await server.call("DELETE", "/admin/namespaces/sample")
    tried = await server.call("DELETE", "/admin/namespaces/sample", params={"dry_run": "true"})
    assert [each.status_code for each in (demoted, removed, tried)] == [409] * 3
    found = (await listed(server, refused="true"))["items"]
    assert [(each["op_type"], each["doc_id"], each["ops"]) for each in found] == [
        ("delete", "sample", {}),
        ("update", "root", {}),
    ]
    assert "last administrator" in found[1]["refused"]
    assert found[0]["request_id"] == removed.headers["x-request-id"]


async def test_secrets_are_told_only_as_a_keyed_hash(server: Server) -> None:
    """Neither in the list nor in a difference, nor what they are stored as."""
    body = {"_id": "eve", "secret": "canary canary"}
    await server.services.users.create(LOCAL, body)
    stored = await server.store.get_document("users", "eve")
    params = {"collection": "users", "doc_id": "eve", "from": 0, "to": 1}
    found = await server.call("GET", f"{PATH}/difference", params=params)
    assert found.json()["changes"]["secret_hash"][1].startswith("hmac:")
    told = found.text + (await server.call("GET", PATH)).text
    assert "canary" not in told
    assert stored is not None
    assert "argon2" not in told


async def test_the_whole_audit_is_verified(server: Server, tmp_path: Path) -> None:
    """Clean as it is written; an edit is named with its record; a checkpoint shows a cut end."""
    for text in ("a", "b", "c"):
        await change(server, description=text)
    clean = (await server.call("POST", f"{PATH}/verify", json={})).json()
    assert (clean["findings"], clean["total"], clean["chains"]) == ([], 0, 1)
    taken = (await server.call("GET", f"{PATH}/checkpoint")).json()
    assert taken["records"] == clean["records"]
    body = {"checkpoint": taken}
    assert (await server.call("POST", f"{PATH}/verify", json=body)).json()["findings"] == []
    newest = (await listed(server))["items"]
    tamper = SqliteTamper(tmp_path)
    tamper.do("UPDATE operations SET operator='eve' WHERE seq=?", newest[2]["position"])
    tamper.remove(newest[0]["position"])
    found = (await server.call("POST", f"{PATH}/verify", json=body)).json()
    assert [(each["kind"], each["position"]) for each in found["findings"]] == [
        ("cut", 0),
        ("edited", newest[2]["position"]),
    ]
    refused = await server.call("GET", f"{PATH}/checkpoint")
    assert refused.status_code == 409
    assert "verify" in refused.json()["advice"]


async def test_a_restarted_server_goes_on_in_a_new_chain(tmp_path: Path) -> None:
    """Which names the end of the old one; an older checkpoint still holds."""
    async with serve(tmp_path) as server:
        await server.services.users.create(LOCAL, {"_id": "ann", "secret": SECRET})
        taken = await server.services.operations.checkpoint()
    async with serve(tmp_path) as server:
        await server.services.users.create(LOCAL, {"_id": "bob", "secret": SECRET})
        newest = (await server.store.operations(limit=1))[0][1]
        assert newest.heads == taken.heads
        found = await server.services.operations.verify(taken)
        assert (found.findings, found.chains) == ([], 2)


@pytest.mark.parametrize("checkpoint", [{}, {"heads": "no"}, {"taken_at": 1}])
async def test_a_checkpoint_that_is_none_is_refused(server: Server, checkpoint: Any) -> None:
    """The answer names what is wrong with it."""
    answer = await server.call("POST", f"{PATH}/verify", json={"checkpoint": checkpoint})
    assert answer.status_code == 422
    assert "checkpoint" in next(iter(answer.json()["fields"]))


def test_a_checkpoint_is_read_by_other_versions() -> None:
    """Unknown fields of a newer one are left alone."""
    text = b'{"taken_at":"2026-01-01T00:00:00Z","records":1,"heads":[],"of":"a newer version"}'
    assert msgspec.json.decode(text, type=Checkpoint).unchained.count == 0
