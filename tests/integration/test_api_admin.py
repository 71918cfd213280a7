"""Admin collections over HTTP: functions with versions, users, namespaces, and the audit of every write."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import CONTROL, Message
from dts_core.codec import decode
from dts_core.model import Reload
from dts_core.testing import wait_until
from tests.support.server import ADD, NOOP, SECRET, Server, serve

OWN = (
    "deploy",
    "notify.smtp",
    "sshrpc",
    "status",
    "vhost.init",
    "vhost.remove",
    "vhost.rotate",
    "vhost.scan",
)
"""Functions of the control side."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        yield made


async def last_operation(server: Server) -> dict[str, Any]:
    items = (await server.call("GET", "/admin/operations?limit=1")).json()["items"]
    found: dict[str, Any] = items[0]
    return found


async def test_a_function_lives_through_create_update_and_delete(server: Server) -> None:
    """Each write answers with its operation and the _id, the source comes back byte for byte."""
    body = {"_id": "sample/add", "source": ADD, "note": "first"}
    made = await server.call("POST", "/admin/functions", json=body)
    assert made.status_code == 201
    first = made.json()
    assert (first["operation"], first["_id"], first["revision"]) == ("create", "sample/add", 1)
    assert (await server.call("POST", "/admin/functions", json=body)).status_code == 409
    new = ADD.replace("a + b", "a - b")
    patched = await server.call(
        "PATCH",
        "/admin/functions/sample/add",
        json={"source": new, "note": "second", "revision": 1},
    )
    second = patched.json()
    assert (second["operation"], second["revision"]) == ("update", 2)
    shown = (await server.call("GET", "/admin/functions/sample/add")).json()
    assert [each["note"] for each in shown["versions"]] == ["first", "second"]
    assert shown["default"] == second["version"]
    assert [each["name"] for each in shown["versions"][0]["parameters"]] == ["a", "b"]
    path = "/admin/functions/sample/add/source"
    assert (await server.call("GET", path)).json() == {"hash": second["version"], "source": new}
    old = await server.call("GET", path, params={"version": first["version"]})
    assert old.json()["source"] == ADD
    gone = await server.call("DELETE", "/admin/functions/sample/add", params={"revision": "2"})
    assert gone.json()["operation"] == "delete"
    assert (await server.call("GET", "/admin/functions/sample/add")).status_code == 404


async def test_choosing_a_version_tells_workers(server: Server) -> None:
    """A new default goes out on `control`, so that workers fetch it ahead of the next job."""
    heard: list[Message] = []
    await server.broker.subscribe(CONTROL, heard.append)
    first = await server.function("sample/add", ADD)
    body: dict[str, Any] = {"source": NOOP, "revision": 1}
    await server.call("PATCH", "/admin/functions/sample/add", json=body)
    body = {"default": first, "revision": 2}
    written = await server.call("PATCH", "/admin/functions/sample/add", json=body)
    assert written.json()["version"] == first
    await wait_until(lambda: len(heard) == 3)
    assert decode(heard[2].body, Reload) == Reload("sample/add", first)
    body = {"default": "0" * 64, "revision": 3}
    refused = await server.call("PATCH", "/admin/functions/sample/add", json=body)
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def main(:\n", "line 1"),
        ("x = 1\n", "no main"),
        ("class main:\n    pass\n", "no main"),
        ("def main():\n    pass\n\x00", "null"),
        ("#" * ((1 << 20) + 1), "bytes"),
        ("-" * 200_000 + "1", "nested"),
        ("# /// script\n# dependencies = ['a b']\n# ///\n" + NOOP, "line 2: 'a b' is no"),
        ("# /// script\n# dependencies = ['a']\n" + NOOP, "line 1: the block has no closing"),
    ],
)
async def test_a_source_that_does_not_load_is_refused_and_the_old_one_stays(
    server: Server, source: str, word: str
) -> None:
    """422 with the reason; nothing of the refused version is stored."""
    version = await server.function("sample/add", ADD)
    body: dict[str, Any] = {"source": source, "revision": 1}
    answer = await server.call("PATCH", "/admin/functions/sample/add", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "function_refused")
    assert word in answer.json()["detail"]
    shown = (await server.call("GET", "/admin/functions/sample/add")).json()
    assert (shown["default"], shown["revision"], len(shown["versions"])) == (version, 1, 1)


async def test_a_version_shows_the_packages_that_it_declares(server: Server) -> None:
    """Normalised, with the Python that it asks for; a wrong block is told together with other mistakes."""
    block = "# /// script\n# requires-python = '>= 3.11'\n# dependencies = [{}]\n# ///\n"
    await server.function("sample/packed", block.format("'Rich', 'attrs >=23'") + NOOP)
    shown = (await server.call("GET", "/admin/functions/sample/packed")).json()
    version = shown["versions"][0]
    assert version["dependencies"] == ["attrs>=23", "rich"]
    assert version["requires_python"] == ">=3.11"
    body = {"_id": "nowhere/packed", "source": block.format("'a b'") + NOOP}
    answer = await server.call("POST", "/admin/functions", json=body)
    assert answer.status_code == 422
    errors = answer.json()["fields"]
    assert set(errors) == {"_id", "source"}
    assert "line 3: 'a b' is no requirement" in errors["source"]


async def test_a_huge_source_holds_up_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a dense source of a mebibyte is parsed, in a process of its own, requests are answered."""
    monkeypatch.setattr("dts_core.services.reading.READ_SECONDS", 600.0)
    source = "f(a)\n" * 200_000 + ADD
    body = {"_id": "sample/huge", "source": source}
    await server.token("root")
    writing = asyncio.create_task(server.call("POST", "/admin/functions", json=body))
    answered = 0
    while not writing.done():
        assert (await server.call("GET", "/jobs/counts")).status_code == 200
        answered += 1
        await asyncio.sleep(0.01)
    assert (await writing).status_code == 201
    assert answered >= 5
    shown = (await server.call("GET", "/admin/functions/sample/huge")).json()
    assert [each["name"] for each in shown["versions"][0]["parameters"]] == ["a", "b"]


async def test_a_source_too_complex_to_read_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that runs out of its time or memory ends as a refusal, and leaves no process behind."""
    monkeypatch.setattr("dts_core.services.reading.READ_SECONDS", 0.01)
    source = "f(a)\n" * 200_000 + ADD
    answer = await server.call(
        "POST", "/admin/functions", json={"_id": "sample/huge", "source": source}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "function_refused")


async def test_source_is_parsed_and_never_run(server: Server, tmp_path: Path) -> None:
    """Code at the top level of a source has no effect on the control side."""
    trap = tmp_path / "ran"
    source = f"open({str(trap)!r}, 'w').close()\ndef main(x=print('ran')): pass\n"
    await server.function("sample/trap", source)
    assert not trap.exists()


async def test_a_stale_revision_is_a_conflict(server: Server) -> None:
    """Two consoles never overwrite each other silently: the second one is told, and the attempt recorded."""
    await server.function("sample/add", ADD)
    body: dict[str, Any] = {"note": "one", "revision": 1}
    assert (await server.call("PATCH", "/admin/functions/sample/add", json=body)).status_code == 200
    stale = await server.call("PATCH", "/admin/functions/sample/add", json=body)
    assert stale.status_code == 409
    assert stale.json()["advice"]
    missing = await server.call("PATCH", "/admin/functions/sample/add", json={"note": "x"})
    assert (missing.status_code, "revision" in missing.json()["fields"]) == (422, True)
    gone = await server.call("DELETE", "/admin/functions/sample/add", params={"revision": "1"})
    assert gone.status_code == 409
    recorded = await server.store.operations(collection="functions", doc_id="sample/add")
    assert [(each.op_type, bool(each.refused)) for _, each in recorded] == [
        ("delete", True),
        ("update", True),
        ("update", False),
        ("create", False),
    ]
    await server.token("ann")
    for path in ("/admin/users/ann", "/admin/namespaces/sample"):
        shown = (await server.call("GET", path)).json()["revision"]
        field = {"disabled": False} if "users" in path else {"description": "d"}
        ok = await server.call("PATCH", path, json={**field, "revision": shown})
        assert ok.status_code == 200
        stale = await server.call("PATCH", path, json={**field, "revision": shown})
        assert stale.status_code == 409


async def test_two_writes_at_the_same_moment_do_not_both_win(server: Server) -> None:
    """Both were made on the newest revision; the store lets one through, the other is a recorded conflict."""
    await server.token("root")
    await server.function("sample/add", ADD)
    answers = await asyncio.gather(
        *(
            server.call(
                "PATCH", "/admin/functions/sample/add", json={"note": f"{number}", "revision": 1}
            )
            for number in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    recorded = await server.store.operations(collection="functions", doc_id="sample/add")
    assert len([each for _, each in recorded if each.refused]) == 4


async def test_the_list_of_functions_shows_ids_or_all_of_what_the_caller_sees(
    server: Server,
) -> None:
    """`fields=_id` answers ids; members of a namespace see its functions, others do not."""
    await server.namespace("closed", ann="viewer")
    for name in ("sample/a", "sample/b", "closed/a"):
        await server.function(name)
    path = "/admin/functions"
    ids = (await server.call("GET", path, params={"fields": "_id"})).json()["items"]
    ours = [
        {"_id": name}
        for name in ("closed/a", *(f"dts/{own}" for own in OWN), "sample/a", "sample/b")
    ]
    assert ids == ours
    bobs = (await server.call("GET", path, "bob")).json()["items"]
    assert [each["_id"] for each in bobs] == ["sample/a", "sample/b"]
    anns = (await server.call("GET", path, "ann", params={"namespace": "closed"})).json()["items"]
    assert [each["_id"] for each in anns] == ["closed/a"]
    assert (await server.call("GET", f"{path}/closed/a", "bob")).status_code == 404
    page = (await server.call("GET", path, params={"limit": "2", "fields": "_id"})).json()
    rest = await server.call("GET", path, params={"cursor": page["next"], "fields": "_id"})
    assert [each["_id"] for each in rest.json()["items"]] == ["sample/b"]


async def test_an_admin_of_a_namespace_writes_its_functions(server: Server) -> None:
    """The role in the namespace is enough there, and nowhere else."""
    await server.namespace("team", ann="admin", bob="submitter")
    body = {"_id": "team/f", "source": NOOP}
    assert (await server.call("POST", "/admin/functions", "bob", json=body)).status_code == 403
    assert (await server.call("POST", "/admin/functions", "ann", json=body)).status_code == 201
    body["_id"] = "sample/f"
    assert (await server.call("POST", "/admin/functions", "ann", json=body)).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"_id": "dts/mine", "source": NOOP}, 403),
        ({"_id": "nowhere/f", "source": NOOP}, 422),
        ({"_id": "Sample/F", "source": NOOP}, 422),
        ({"_id": "sample", "source": NOOP}, 422),
        ({"_id": "sample/f"}, 422),
        ({"source": NOOP}, 422),
        ({"_id": "sample/f", "source": NOOP, "owner": "me"}, 422),
        ({"_id": "sample/f", "source": 5}, 422),
        ({"_id": "sample/f", "source": NOOP, "default": "x"}, 422),
    ],
)
async def test_a_wrong_creation_writes_nothing(
    server: Server, body: dict[str, Any], status: int
) -> None:
    """A reserved namespace, a bad name, an unknown or read-only field: each refused, nothing stored."""
    answer = await server.call("POST", "/admin/functions", json=body)
    assert answer.status_code == status, answer.text
    assert await server.store.find_documents("functions") == []


async def test_fields_are_accepted_as_declared_once(server: Server) -> None:
    """What may be given at creation may be changed, save _id; anything else is named in the answer."""
    body = {"_id": "ann", "secret": SECRET, "role": "viewer", "disabled": False}
    assert (await server.call("POST", "/admin/users", json=body)).status_code == 201
    for field, why in (
        ("_id", "cannot be changed"),
        ("secret_hash", "cannot be changed"),
        ("created_at", "cannot be changed"),
        ("colour", "unknown field"),
    ):
        answer = await server.call("PATCH", "/admin/users/ann", json={field: "x"})
        assert (answer.status_code, answer.json()["fields"]) == (422, {field: why})
    answer = await server.call("PATCH", "/admin/users/ann", json={"role": "king"})
    assert (answer.status_code, "role" in answer.json()["fields"]) == (422, True)


async def test_secrets_never_leave(server: Server) -> None:
    """No answer shows a hash, and an operation shows a secret only as a keyed hash."""
    body = {"_id": "ann", "secret": SECRET}
    texts = [(await server.call("POST", "/admin/users", json=body)).text]
    patch = {"secret": "another long secret"}
    texts.append((await server.call("PATCH", "/admin/users/ann", json=patch)).text)
    shown = ("/admin/users", "/admin/users/ann", "/admin/operations")
    texts += [(await server.call("GET", path)).text for path in shown]
    told = " ".join(texts)
    assert "argon2" not in told
    assert SECRET not in told
    assert "another long secret" not in told
    before, after = (await last_operation_of(server, "users", "ann"))["ops"]["secret_hash"]
    assert before.startswith("hmac:")
    assert after.startswith("hmac:")
    assert before != after


async def last_operation_of(server: Server, collection: str, doc_id: str) -> dict[str, Any]:
    params = {"collection": collection, "doc_id": doc_id}
    items = (await server.call("GET", "/admin/operations", params=params)).json()["items"]
    found: dict[str, Any] = items[0]
    return found


async def test_every_write_is_stored_with_its_operation(server: Server) -> None:
    """doc_id, op_type, operator, timestamp, ops, the request's id: field by field what changed."""
    headers = {"X-Request-Id": "audit-1"}
    await server.call("POST", "/admin/namespaces", json={"_id": "team"})
    await server.call(
        "PATCH", "/admin/namespaces/team", json={"members": {"ann": "admin"}}, headers=headers
    )
    operation = await last_operation(server)
    assert (operation["doc_id"], operation["op_type"], operation["operator"]) == (
        "team",
        "update",
        "root",
    )
    assert operation["ops"] == {"members": [{}, {"ann": "admin"}]}
    assert operation["request_id"] == "audit-1"
    assert operation["timestamp"]
    assert operation["position"] > 0
    await server.call("DELETE", "/admin/namespaces/team")
    assert (await last_operation(server))["op_type"] == "delete"


async def test_the_last_administrator_stays(server: Server) -> None:
    """Nobody locks everybody out: not by removal, not by disabling, not by another role."""
    await server.token("root")
    refused = [
        await server.call("DELETE", "/admin/users/root"),
        await server.call("PATCH", "/admin/users/root", json={"disabled": True}),
        await server.call("PATCH", "/admin/users/root", json={"role": "operator"}),
    ]
    assert [answer.status_code for answer in refused] == [409] * 3
    await server.token("admin")
    assert (await server.call("DELETE", "/admin/users/root", "admin")).status_code == 200


async def test_a_namespace_with_functions_stays(server: Server) -> None:
    """Removing it would leave functions without an owner."""
    await server.function()
    assert (await server.call("DELETE", "/admin/namespaces/sample")).status_code == 409
    await server.call("DELETE", "/admin/functions/sample/noop")
    assert (await server.call("DELETE", "/admin/namespaces/sample")).status_code == 200
    reserved = await server.call("POST", "/admin/namespaces", json={"_id": "dts"})
    assert reserved.status_code == 422


async def test_the_former_paths_lead_to_the_plural(server: Server) -> None:
    """308 keeps method and body: what was written for the original's paths goes on working."""
    body = {"_id": "ann", "secret": SECRET}
    made = await server.call("POST", "/admin/user", json=body, follow_redirects=True)
    assert made.status_code == 201
    shown = await server.call("GET", "/admin/user/ann", follow_redirects=True)
    assert shown.json()["_id"] == "ann"
    answer = await server.call("GET", "/admin/namespace", params={"limit": "1"})
    assert (answer.status_code, answer.headers["location"]) == (308, "/admin/namespaces?limit=1")
    assert (await server.call("POST", "/admin/user/ann")).status_code == 405  # nor is there such


async def test_membership_counts_from_the_next_request(server: Server) -> None:
    """A namespace's members are kept in memory, and a change to them is heard at once."""
    await server.namespace("team", bob="submitter")
    await server.function("team/f")
    job = {"function": "team/f"}
    assert (await server.call("POST", "/jobs", "ann", json=job)).status_code == 404
    members = {"members": {"ann": "submitter"}}
    await server.call("PATCH", "/admin/namespaces/team", json=members)
    assert (await server.call("POST", "/jobs", "ann", json=job)).status_code == 201
    assert (await server.call("POST", "/jobs", "bob", json=job)).status_code == 404
