"""The admin collections over HTTP: what all of them do alike, on each of them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.services.users import LOCAL
from tests.support.server import ADD, NOOP, SECRET, Server, serve

USER: dict[str, Any] = {"_id": "ann", "secret": SECRET, "role": "viewer"}
SPACE: dict[str, Any] = {"_id": "team", "description": "d", "members": {"ann": "admin"}}
FUNCTION: dict[str, Any] = {"_id": "sample/f", "source": NOOP, "note": "first"}
# collection, a document, a change of it, the field that the change names
KINDS = [
    pytest.param("users", USER, {"role": "operator"}, "role", id="users"),
    pytest.param("namespaces", SPACE, {"description": "e"}, "description", id="namespaces"),
    pytest.param("functions", FUNCTION, {"source": ADD}, "source", id="functions"),
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        await made.token("root")
        yield made


async def read(server: Server, path: str, **params: str) -> dict[str, Any]:
    answer = await server.call("GET", path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ids(server: Server, collection: str, **params: str) -> list[str]:
    page = await read(server, f"/admin/{collection}", **params)
    return [each["_id"] for each in page["items"]]


@pytest.mark.parametrize(("collection", "document", "change", "field"), KINDS)
async def test_every_write_answers_with_operation_id_and_revision(
    server: Server, collection: str, document: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    """201 with the `_id`, then operation, `_id` and revision; what is gone is a 404 for each."""
    one = f"/admin/{collection}/{document['_id']}"
    made = await server.call("POST", f"/admin/{collection}", json=document)
    assert (made.status_code, made.json()["_id"]) == (201, document["_id"])
    answers = [
        await server.call("PATCH", one, json=change | {"revision": 1}),
        await server.call("PUT", one, json=change | {"revision": 2}),
        await server.call("DELETE", one, params={"revision": "3"}),
    ]
    told = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [each["operation"] for each in told] == ["update", "replace", "delete"]
    assert {each["_id"] for each in told} == {document["_id"]}
    assert [each["revision"] for each in told] == [2, 3, 3]
    gone = [
        await server.call("GET", one),
        await server.call("PATCH", one, json=change | {"revision": 1}),
        await server.call("PUT", one, json=change | {"revision": 1}),
        await server.call("DELETE", one),
    ]
    assert [answer.status_code for answer in gone] == [404] * 4
    recorded = await server.store.operations(collection=collection, doc_id=document["_id"])
    done = [each.op_type for _, each in recorded if not each.refused]
    assert done == ["delete", "replace", "update", "create"]


async def test_an_answer_of_a_write_holds_nothing_else(server: Server) -> None:
    """Exactly what programs were promised."""
    await server.call("POST", "/admin/users", json=USER)
    answer = await server.call("PUT", "/admin/users/ann", json={})
    assert answer.json() == {"operation": "replace", "_id": "ann", "revision": 2}


@pytest.mark.parametrize(("collection", "document", "change", "field"), KINDS)
async def test_a_dry_run_checks_everything_and_writes_nothing(
    server: Server, collection: str, document: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    """It says what would be done; neither document, nor operation, nor announcement is made."""
    path, one = f"/admin/{collection}", f"/admin/{collection}/{document['_id']}"
    dry = {"dry_run": "true"}

    async def recorded() -> int:
        return len(await server.store.operations(limit=1000))

    before = await recorded()
    told = await server.call("POST", path, json=document, params=dry)
    assert (told.status_code, told.json()["operation"]) == (201, "create")
    assert told.json()["dry_run"] is True
    assert SECRET not in told.text
    assert (await server.call("GET", one)).status_code == 404
    assert (await server.call("POST", path, json={"_id": "X"}, params=dry)).status_code == 422
    await server.call("POST", path, json=document)
    assert await recorded() == before + 1
    stands = await read(server, one)
    assert (await server.call("POST", path, json=document, params=dry)).status_code == 409
    for method in ("PATCH", "PUT"):
        changed = await server.call(method, one, json=change | {"revision": 1}, params=dry)
        assert changed.status_code == 200, changed.text
        assert changed.json()["revision"] == 2
        assert changed.json()["changes"]
        stale = await server.call(method, one, json=change | {"revision": 7}, params=dry)
        assert stale.status_code == 409
    assert (await server.call("DELETE", one, params=dry)).json()["operation"] == "delete"
    assert await read(server, one) == stands
    assert await recorded() == before + 1


async def test_a_replacement_gives_defaults_to_what_is_left_out(server: Server) -> None:
    """All updatable fields; the secret, which nobody can read back, stays."""
    body = USER | {"address": "ann@example.org", "groups": ["ops"], "disabled": True}
    await server.call("POST", "/admin/users", json=body)
    before = await server.services.users.load(LOCAL, "ann")
    answer = await server.call("PUT", "/admin/users/ann", json={"role": "operator"})
    assert answer.status_code == 200
    shown = await read(server, "/admin/users/ann")
    assert (shown["role"], shown["disabled"]) == ("operator", False)
    assert (shown["address"], shown["groups"]) == ("", [])
    after = await server.services.users.load(LOCAL, "ann")
    assert after.secret_hash == before.secret_hash
    await server.call("POST", "/admin/namespaces", json=SPACE)
    await server.call("PUT", "/admin/namespaces/team", json={"members": {}})
    assert (await read(server, "/admin/namespaces/team"))["description"] == ""
    await server.function("sample/f")
    missing = await server.call("PUT", "/admin/functions/sample/f", json={"revision": 1})
    assert (missing.status_code, missing.json()["fields"]) == (422, {"source": "required"})


@pytest.mark.parametrize(("collection", "document", "change", "field"), KINDS)
async def test_a_stale_write_shows_both_versions(
    server: Server, collection: str, document: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    """409 with the document as it is now, what was sent, and where they differ."""
    one = f"/admin/{collection}/{document['_id']}"
    await server.call("POST", f"/admin/{collection}", json=document)
    await server.call("PATCH", one, json=change | {"revision": 1})
    secret = {"secret": "another long secret"} if collection == "users" else {}
    for method in ("PATCH", "PUT"):
        body = {field: document[field], "revision": 1} | secret
        stale = await server.call(method, one, json=body)
        told = stale.json()
        assert (stale.status_code, told["code"]) == (409, "conflict")
        assert told["current"] == await read(server, one)
        assert told["sent"] == {field: document[field]}
        assert told["differ"] == sorted([field, *secret])
        assert "another long secret" not in stale.text
    stale = await server.call("DELETE", one, params={"revision": "1"})
    assert (stale.status_code, stale.json()["sent"]) == (409, {})
    assert stale.json()["current"]["revision"] == 2


@pytest.mark.parametrize(
    ("collection", "body", "wrong"),
    [
        ("users", {"_id": "Ann", "role": "king", "disabled": 3, "colour": "red"},
         {"_id", "role", "disabled", "colour", "secret"}),
        ("users", {"_id": "ann", "secret": "short", "address": "@", "groups": ["A"]},
         {"secret", "address", "groups"}),
        ("namespaces", {"_id": "dts", "description": 1, "members": {"ann": "king"}, "revision": 1},
         {"_id", "description", "members", "revision"}),
        ("functions", {"_id": "Sample/F", "source": "def main(:\n", "note": 1},
         {"_id", "source", "note"}),
        ("functions", {"_id": "nowhere/f", "source": "x = 1\n", "note": "x" * 501, "owner": "me"},
         {"_id", "source", "note", "owner"}),
        ("functions", {"_id": "sample/f", "default": "x", "note": []},
         {"source", "default", "note"}),
    ],
)  # fmt: skip
async def test_a_wrong_creation_names_every_mistake_at_once(
    server: Server, collection: str, body: dict[str, Any], wrong: set[str]
) -> None:
    """Nobody mends a form field by field; nothing is stored."""
    before = await ids(server, collection)
    answer = await server.call("POST", f"/admin/{collection}", json=body)
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["fields"]) == wrong
    assert answer.json()["advice"]
    assert await ids(server, collection) == before


async def test_a_wrong_change_names_every_mistake_at_once(server: Server) -> None:
    """Read-only, unknown and unfit fields, and the revision, all in one answer."""
    await server.call("POST", "/admin/users", json=USER)
    body = {"_id": "bob", "role": "king", "address": "@", "colour": 1, "revision": -1}
    for method in ("PATCH", "PUT"):
        answer = await server.call(method, "/admin/users/ann", json=body)
        assert (answer.status_code, set(answer.json()["fields"])) == (422, set(body))
        assert answer.json()["fields"]["role"] == "one of viewer, submitter, operator, admin"


async def test_a_list_shows_the_fields_that_are_named(server: Server) -> None:
    """Always with `_id`; `fields=_id` answers ids only; a field that there is not is named."""
    await server.call("POST", "/admin/users", json=USER)
    page = await read(server, "/admin/users", fields="role,revision", prefix="ann")
    assert page["items"] == [{"_id": "ann", "role": "viewer", "revision": 1}]
    page = await read(server, "/admin/users", fields="_id", prefix="a")
    assert page["items"] == [{"_id": "ann"}]
    await server.function("sample/f")
    page = await read(server, "/admin/functions", fields="owner", prefix="sample/")
    assert page["items"] == [{"_id": "sample/f", "owner": "local"}]
    for field in ("secret", "secret_hash", "colour"):
        answer = await server.call("GET", "/admin/users", params={"fields": field})
        assert (answer.status_code, set(answer.json()["fields"])) == (422, {"fields"})


async def test_a_list_is_filtered_by_fields_prefix_and_text(server: Server) -> None:
    """Equality, membership in a list or map, beginning of the id, text anywhere."""
    for at, role in enumerate(("viewer", "admin", "viewer")):
        body = {"_id": f"u{at}", "secret": SECRET, "role": role, "address": f"u{at}@Example.org"}
        await server.call("POST", "/admin/users", json=body | {"groups": ["ops"] * (at % 2)})
    await server.call("PATCH", "/admin/users/u2", json={"disabled": True})
    assert await ids(server, "users", role="viewer") == ["u0", "u2"]
    assert await ids(server, "users", role="viewer", disabled="true") == ["u2"]
    assert await ids(server, "users", groups="ops") == ["u1"]
    assert await ids(server, "users", prefix="u", disabled="false") == ["u0", "u1"]
    assert await ids(server, "users", text="1@EXAMPLE") == ["u1"]
    await server.namespace("team", u0="viewer")
    assert await ids(server, "namespaces", members="u0") == ["team"]
    await server.function("sample/f")
    assert await ids(server, "functions", owner="local") == ["sample/f"]
    assert await ids(server, "functions", namespace="sample", prefix="g") == []
    answer = await server.call("GET", "/admin/users", params={"role": "king"})
    assert (answer.status_code, set(answer.json()["fields"])) == (422, {"role"})


async def test_a_list_is_sorted_by_declared_fields(server: Server) -> None:
    """Up and down, page by page; another field is refused with those that there are."""
    for name, role in (("u0", "viewer"), ("u1", "admin"), ("u2", "operator"), ("u3", "admin")):
        await server.call(
            "POST", "/admin/users", json={"_id": name, "secret": SECRET, "role": role}
        )
    assert await ids(server, "users", prefix="u", sort="role") == ["u1", "u3", "u2", "u0"]
    assert await ids(server, "users", prefix="u", sort="-role") == ["u0", "u2", "u3", "u1"]
    assert await ids(server, "users", prefix="u", sort="-created_at") == ["u3", "u2", "u1", "u0"]
    assert await ids(server, "users", prefix="u", sort="-_id") == ["u3", "u2", "u1", "u0"]
    assert await ids(server, "users", prefix="u", sort="_id") == ["u0", "u1", "u2", "u3"]
    found: list[str] = []
    cursor = ""
    while True:
        asked = {"prefix": "u", "sort": "-role", "limit": "1", "cursor": cursor}
        page = await read(server, "/admin/users", **asked)
        found += [each["_id"] for each in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert found == ["u0", "u2", "u3", "u1"]
    for asked in (
        {"sort": "secret_hash"},
        {"sort": "role", "cursor": "%%"},
        {"sort": "role", "cursor": "e30"},
    ):
        answer = await server.call("GET", "/admin/users", params=asked)
        assert answer.status_code == 422, asked


async def test_a_removal_says_what_depends_on_it(server: Server) -> None:
    """A namespace with functions stays and names them; functions and users go, with what they leave."""
    for at in range(12):
        await server.function(f"sample/f{at:02}")
    refused = await server.call("DELETE", "/admin/namespaces/sample")
    assert refused.status_code == 409
    shown = [f"sample/f{at:02}" for at in range(10)]
    assert refused.json()["dependents"] == [
        {"collection": "functions", "total": 12, "at_least": False, "ids": shown}
    ]
    assert "12 functions (sample/f00, " in refused.json()["detail"]
    await server.namespace("team", bob="admin")
    owned = {"_id": "team/own", "source": NOOP}
    assert (await server.call("POST", "/admin/functions", "bob", json=owned)).status_code == 201
    made = await server.call("POST", "/jobs", "bob", json={"function": "sample/f00"})
    job = made.json()["id"]
    dry = await server.call("DELETE", "/admin/users/bob", params={"dry_run": "true"})
    expected = [
        {"collection": "functions", "total": 1, "ids": ["team/own"]},
        {"collection": "namespaces", "total": 1, "ids": ["team"]},
        {"collection": "jobs", "total": 1, "ids": [job]},
    ]
    told = [
        {key: each[key] for key in ("collection", "total", "ids")}
        for each in dry.json()["dependents"]
    ]
    assert told == expected
    gone = await server.call("DELETE", "/admin/functions/sample/f00")
    assert (gone.status_code, gone.json()["dependents"][0]["ids"]) == (200, [job])
    assert (await server.call("DELETE", "/admin/users/bob")).status_code == 200


async def test_the_schema_says_what_forms_and_lists_need(server: Server) -> None:
    """Each field with type, help, choices, whether it is secret or required; filters and orders."""
    items = (await read(server, "/admin/schema"))["items"]
    found = {each["name"]: each for each in items}
    assert {"users", "namespaces", "functions"} <= set(found)
    users = {each["name"]: each for each in found["users"]["fields"]}
    assert users["_id"]["required"] is True
    assert users["role"]["choices"] == ["viewer", "submitter", "operator", "admin"]
    assert (users["role"]["type"], users["role"]["default"]) == ("choice", "submitter")
    assert (users["secret"]["type"], users["secret"]["required"]) == ("secret", True)
    assert (users["groups"]["type"], users["disabled"]["type"]) == ("list", "switch")
    assert all(each["help"] for each in users.values())
    assert found["users"]["filters"] == ["role", "disabled", "groups"]
    assert "_id" in found["users"]["sorts"]


async def test_bodies_are_described_by_name_and_field(server: Server) -> None:
    """The description of the interface shows what each write of each collection takes."""
    schemas = (await read(server, "/schema"))["components"]["schemas"]
    for one in ("User", "Namespace", "Function"):
        for verb in ("Create", "Update", "Replace"):
            described = schemas[f"{one}{verb}"]
            assert described["additionalProperties"] is False
            fields = [each for name, each in described["properties"].items() if name != "revision"]
            assert all(each["description"] for each in fields)
    assert schemas["UserCreate"]["required"] == ["_id", "secret"]
    assert schemas["UserReplace"]["required"] == []
    assert "secret" not in schemas["UserDocument"]["properties"]


async def test_the_former_paths_lead_to_the_plural_for_put_too(server: Server) -> None:
    """308 keeps method and body."""
    await server.call("POST", "/admin/users", json=USER)
    answer = await server.call(
        "PUT", "/admin/user/ann", json={"role": "operator"}, follow_redirects=True
    )
    assert answer.json()["operation"] == "replace"
    assert (await read(server, "/admin/users/ann"))["role"] == "operator"
