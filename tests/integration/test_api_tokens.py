"""Access tokens over HTTP: made, listed, revoked; what they let through, and what never."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dts_core.services.seals import TOKENS
from dts_core.services.users import LOCAL
from dts_core.testing import ManualClock
from tests.support.server import ADD, NOOP, SECRET, Server, serve

DAY = 86_400.0
NEW = "another secret of mine"


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    async with serve(tmp_path, clock=clock) as made:
        yield made


async def by(server: Server, token: str, method: str, path: str, **options: Any) -> httpx.Response:
    """One request with this token."""
    headers = {"Authorization": f"Bearer {token}"}
    return await server.http.request(method, path, headers=headers, **options)


async def make(server: Server, user: str = "ann", status: int = 201, **fields: Any) -> Any:
    """An access token of the user, asked for with their login."""
    body = {"name": "ci", "scope": "read", "days": 30} | fields
    answer = await server.call("POST", "/session/tokens", user, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def codes(server: Server, token: str, *calls: tuple[str, str, Any]) -> list[int]:
    return [
        (await by(server, token, method, path, **({"json": body} if body else {}))).status_code
        for method, path, body in calls
    ]


async def test_a_token_is_shown_once_and_stored_by_its_hash(server: Server) -> None:
    """Neither list, store nor audit holds it; the list has a prefix of the id, name, scope and times."""
    made = await make(server, name="nightly \x1b[31mload", namespaces=None)
    token = made.pop("token")
    assert token.startswith("dts_pat_")
    listed = (await server.call("GET", "/session/tokens", "ann")).json()["items"]
    assert listed == [made]
    assert made["name"] == "nightly \\x1b[31mload"
    assert (len(made["id"]), made["scope"], made["last_used_at"]) == (16, "read", None)
    assert made["expires_at"].startswith("2026-01-31")
    rows = await server.store.find_documents(TOKENS.name)
    assert not any(token.encode() in stored for _, stored in rows)
    operations = await server.store.operations(collection="tokens", operator="ann", limit=100)
    assert token not in str(operations)
    [(_, created)] = operations
    assert (created.op_type, created.ops["scope"]) == ("create", [None, "read"])
    assert created.doc_id.startswith(made["id"])


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"scope": "operate"}, "scope"),
        ({"scope": "everything"}, "scope"),
        ({"days": 367}, "days"),
        ({"days": 0}, "days"),
        ({"days": "NaN"}, "days"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"namespaces": ["other"]}, "namespaces"),
        ({"namespaces": []}, "namespaces"),
    ],
)
async def test_what_no_token_may_be_is_refused_by_field(
    server: Server, fields: dict[str, Any], wrong: str
) -> None:
    """More than the role, longer than the setting, no name, a namespace that is not there for the user."""
    await server.namespace()
    await server.namespace("other", bob="admin")
    assert wrong in (await make(server, status=422, **fields))["fields"]


async def test_an_expiry_is_required(server: Server) -> None:
    """No token counts for ever."""
    answer = await server.call(
        "POST", "/session/tokens", "ann", json={"name": "ci", "scope": "read"}
    )
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["days"])


async def test_a_scope_lowers_the_role(server: Server) -> None:
    """Of an administrator's token each scope lets through what that role may, and no more."""
    await server.namespace(bob="submitter")
    await server.function()
    calls = [
        ("GET", "/admin/functions/sample/noop", None),
        ("POST", "/jobs", {"function": "sample/noop"}),
        ("POST", "/queues/default/pause", None),
        ("PATCH", "/admin/functions/sample/noop", {"source": ADD, "revision": 1}),
        ("GET", "/admin/users", None),
    ]
    passed = {}
    for scope in ("read", "submit", "operate", "admin"):
        token = (await make(server, "admin", scope=scope))["token"]
        passed[scope] = await codes(server, token, *calls)
    assert passed == {
        "read": [200, 403, 403, 403, 403],
        "submit": [200, 201, 403, 403, 403],
        "operate": [200, 201, 200, 403, 403],
        "admin": [200, 201, 200, 200, 200],
    }


async def test_a_token_never_allows_more_than_its_user(server: Server) -> None:
    """Whoever is made a viewer submits no more with the token they have."""
    await server.namespace()
    await server.function()
    token = (await make(server, scope="submit"))["token"]
    submit = ("POST", "/jobs", {"function": "sample/noop"})
    assert await codes(server, token, submit) == [201]
    await server.services.users.update(LOCAL, "ann", {"role": "viewer"})
    assert await codes(server, token, submit) == [403]


async def test_a_token_is_limited_to_its_namespaces(server: Server) -> None:
    """Others, with their functions and one's own jobs there, do not exist; nothing that has no namespace is changed."""
    for name in ("etl", "lab"):
        await server.namespace(name, ann="admin")
        await server.function(f"{name}/noop", NOOP)
    elsewhere = (await server.call("POST", "/jobs", "ann", json={"function": "lab/noop"})).json()
    token = (await make(server, scope="admin", namespaces=["etl"]))["token"]
    assert await codes(
        server, token,
        ("POST", "/jobs", {"function": "etl/noop"}),
        ("POST", "/jobs", {"function": "lab/noop"}),
        ("GET", "/admin/functions/lab/noop", None),
        ("GET", f"/jobs/{elsewhere['id']}", None),
        ("POST", f"/jobs/{elsewhere['id']}/cancel", None),
        ("GET", "/admin/namespaces/lab", None),
        ("PATCH", "/admin/functions/etl/noop", {"source": ADD, "revision": 1}),
    ) == [201, 404, 404, 404, 404, 404, 200]  # fmt: skip
    jobs = (await by(server, token, "GET", "/jobs")).json()["items"]
    recent = (await by(server, token, "GET", "/session")).json()["recent"]
    assert [each["function"] for each in jobs] == ["etl/noop"]
    assert [each["function"] for each in recent] == ["etl/noop"]


async def test_an_administrators_limited_token_administers_nothing_else(server: Server) -> None:
    """Functions of its namespace, but neither users nor queues nor the audit."""
    await server.namespace("etl", bob="viewer")
    await server.namespace("lab", bob="viewer")
    token = (await make(server, "admin", scope="admin", namespaces=["etl"]))["token"]
    assert await codes(
        server, token,
        ("POST", "/admin/functions", {"_id": "etl/add", "source": ADD}),
        ("POST", "/admin/functions", {"_id": "lab/add", "source": ADD}),
        ("GET", "/admin/users", None),
        ("GET", "/admin/tokens", None),
        ("GET", "/admin/operations", None),
        ("POST", "/queues/default/pause", None),
        ("POST", "/admin/namespaces", {"_id": "new"}),
    ) == [201, 403, 403, 403, 403, 403, 403]  # fmt: skip


async def test_a_token_makes_none_that_goes_beyond_it(server: Server) -> None:
    """Neither a wider scope, nor more namespaces, nor a longer life; each try is on record."""
    for name in ("etl", "lab"):
        await server.namespace(name, ann="submitter")
    token = (await make(server, scope="submit", namespaces=["etl"], days=10))["token"]
    tries: list[tuple[dict[str, Any], int]] = [
        ({"scope": "submit", "namespaces": ["etl"], "days": 10}, 201),
        ({"scope": "read", "namespaces": ["etl"], "days": 1}, 201),
        ({"scope": "submit", "namespaces": ["etl"], "days": 11}, 403),
        ({"scope": "submit", "namespaces": ["etl", "lab"], "days": 1}, 403),
        ({"scope": "submit", "namespaces": ["lab"], "days": 1}, 403),
        ({"scope": "read", "days": 1}, 403),
        ({"scope": "read", "namespaces": None, "days": 1}, 403),
    ]
    told = [
        (await by(server, token, "POST", "/session/tokens", json={"name": "x"} | body)).status_code
        for body, _ in tries
    ]
    assert told == [status for _, status in tries]
    found = await server.store.operations(collection="tokens", operator="ann", limit=100)
    assert len([each for _, each in found if each.refused]) == 5


async def test_a_token_ends_with_the_one_it_was_made_with(
    server: Server, clock: ManualClock
) -> None:
    """Whoever took a token keeps nothing of it by making others from it."""
    first = await make(server)
    body = {"name": "x", "scope": "read", "days": 1}
    second = (await by(server, first["token"], "POST", "/session/tokens", json=body)).json()
    third = (await by(server, second["token"], "POST", "/session/tokens", json=body)).json()
    who = ("GET", "/session", None)
    assert await codes(server, third["token"], who) == [200]
    answer = await server.call("DELETE", f"/session/tokens/{first['id']}", "ann")
    assert (answer.status_code, answer.json()["name"]) == (200, "ci")
    clock.advance(1.0)
    for each in (first, second, third):
        assert await codes(server, each["token"], who) == [401]
    assert (await server.call("GET", "/session/tokens", "ann")).json()["items"] == []
    swept = [await server.services.sessions.sweep() for _ in range(3)]
    assert (sum(swept), swept[-1]) == (2, 0)


async def test_no_token_changes_the_secret_of_its_user(server: Server) -> None:
    """Not by the route for oneself, nor by an administrator's; both are on record."""
    token = (await make(server, "admin", scope="admin"))["token"]
    change = {"secret": SECRET, "new_secret": NEW}
    assert await codes(
        server, token,
        ("POST", "/session/password", change),
        ("PATCH", "/admin/users/admin", {"secret": NEW}),
        ("PUT", "/admin/users/admin", {"role": "admin", "secret": NEW}),
        ("PATCH", "/admin/users/admin", {"groups": ["ops"]}),
    ) == [403, 403, 403, 200]  # fmt: skip
    found = await server.store.operations(collection="users", doc_id="admin", limit=100)
    assert len([each for _, each in found if each.refused]) == 3
    login = {"user": "admin", "secret": SECRET}
    assert (await server.http.post("/session", json=login)).status_code == 201


async def test_tokens_are_revoked_one_by_one(server: Server) -> None:
    """The very next request with it is a 401, others live on; by a prefix of the id; another's does not exist."""
    one, two = await make(server, name="one"), await make(server, name="two")
    await make(server, "bob")
    path = f"/session/tokens/{one['id'][:8]}"
    assert (await server.call("DELETE", path, "bob")).status_code == 404
    assert (await server.call("DELETE", path, "ann")).status_code == 200
    assert (await server.call("DELETE", path, "ann")).status_code == 404
    assert (
        await server.call("DELETE", f"/session/tokens/{one['id'][:7]}", "ann")
    ).status_code == 404
    who = ("GET", "/session", None)
    assert await codes(server, one["token"], who) == [401]
    assert await codes(server, two["token"], who) == [200]
    [(_, ended)] = await server.store.operations(collection="tokens", operator="ann", limit=1)
    assert (ended.op_type, ended.ops["name"]) == ("delete", ["one", None])


async def test_all_tokens_of_oneself_are_revoked_but_the_one_that_asks(server: Server) -> None:
    """Access tokens, and other logins where that is asked for."""
    tokens = [(await make(server, name=name))["token"] for name in "ab"]
    login = await server.issue("ann")
    who = ("GET", "/session", None)
    answer = await server.call("DELETE", "/session/tokens", "ann")
    assert answer.json() == {"revoked": 2}
    assert [await codes(server, each, who) for each in [*tokens, login]] == [[401], [401], [200]]
    answer = await server.call("DELETE", "/session/tokens", "ann", params={"logins": "true"})
    assert answer.json() == {"revoked": 1}
    assert await codes(server, login, who) == [401]
    assert (await server.call("GET", "/session", "ann")).status_code == 200


async def test_a_token_revokes_itself_but_none_that_is_wider(server: Server) -> None:
    """Whoever took a narrow token cannot end the others."""
    narrow = await make(server, name="narrow")
    wide = await make(server, name="wide", scope="submit")
    assert await codes(
        server, narrow["token"],
        ("DELETE", f"/session/tokens/{wide['id']}", None),
        ("DELETE", "/session/tokens", None),
        ("DELETE", f"/session/tokens/{narrow['id']}", None),
        ("GET", "/session", None),
    ) == [403, 403, 200, 401]  # fmt: skip
    assert await codes(server, wide["token"], ("GET", "/session", None)) == [200]


async def test_an_administrator_makes_lists_and_revokes_those_of_users(server: Server) -> None:
    """For a user that stands for a program; bounded by that user's role, and on record under the administrator."""
    await server.token("ann")
    body = {"user": "ann", "name": "etl", "scope": "submit", "days": 90}
    answer = await server.call("POST", "/admin/tokens", json=body)
    made = answer.json()
    assert (answer.status_code, made["user"], made["current"]) == (201, "ann", False)
    assert (
        await server.call("POST", "/admin/tokens", json=body | {"scope": "admin"})
    ).status_code == 422
    assert (
        await server.call("POST", "/admin/tokens", json=body | {"user": "nobody"})
    ).status_code == 404
    who = (await by(server, made["token"], "GET", "/session")).json()
    assert (who["user"], who["role"]) == ("ann", "submitter")
    await make(server, "bob")
    listed = (await server.call("GET", "/admin/tokens")).json()["items"]
    assert sorted((each["user"], each["name"]) for each in listed) == [
        ("ann", "etl"),
        ("bob", "ci"),
    ]
    assert not any("token" in each for each in listed)
    logins = {"user": "ann", "logins": "true"}
    both = (await server.call("GET", "/admin/tokens", params=logins)).json()["items"]
    assert sorted(each["scope"] for each in both) == ["", "submit"]
    found = await server.store.operations(collection="tokens", operator="root", limit=100)
    assert [each.op_type for _, each in found] == ["create"]
    bobs = next(each["id"] for each in listed if each["user"] == "bob")
    assert (await server.call("DELETE", f"/admin/tokens/{bobs}")).status_code == 200
    answer = await server.call("DELETE", "/admin/tokens", params=logins)
    assert answer.json() == {"revoked": 2}
    assert (await server.call("GET", "/session", "ann")).status_code == 401
    assert await codes(server, made["token"], ("GET", "/session", None)) == [401]


async def test_a_token_expires(server: Server, clock: ManualClock) -> None:
    """At its end it is a 401 that says so, and it is listed no more."""
    token = (await make(server, "admin", days=0.01))["token"]
    assert await codes(server, token, ("GET", "/session", None)) == [200]
    clock.advance(0.01 * DAY)
    answer = await by(server, token, "GET", "/session")
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)
    assert (await server.call("GET", "/session/tokens", "admin")).json()["items"] == []


async def test_its_last_use_is_known_to_the_minute(server: Server, clock: ManualClock) -> None:
    """Written once a minute at most, without an operation; a login has none."""
    made = await make(server)
    written: list[str] = []
    really = server.store.mark

    async def counted(collection: str, doc_id: str, at: Any) -> None:
        written.append(at.isoformat())
        await really(collection, doc_id, at)

    server.store.mark = counted  # type: ignore[method-assign]
    before = len(await server.store.operations(limit=100))
    for _ in range(12):
        await by(server, made["token"], "GET", "/session")
        clock.advance(10.0)
    assert len(written) == 2
    listed = (await server.call("GET", "/session/tokens", "ann", params={"logins": "true"})).json()[
        "items"
    ]
    used = {each["name"]: each["last_used_at"] for each in listed}
    assert used == {"ci": written[-1].replace("+00:00", "Z"), "": None}
    assert len(await server.store.operations(limit=100)) == before


async def test_a_use_that_cannot_be_kept_refuses_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the last use is worth less than the request."""
    from dts_core.errors import StoreUnavailable

    token = (await make(server))["token"]

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(server.store, "mark", away)
    assert await codes(server, token, ("GET", "/session", None)) == [200]


async def test_nobody_has_more_than_a_hundred(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens do not pile up: the next one is a 409 that says what to do."""
    monkeypatch.setattr("dts_core.services.tokens.TOKENS_MAX", 2)
    await make(server)
    await make(server)
    assert "Revoke" in (await make(server, status=409))["advice"]


async def test_a_login_that_ended_meanwhile_leaves_no_token_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token made with a login that is being ended in another process does not outlive it."""
    made: list[str] = []
    really = server.services.writer.write

    async def overtaken(caller: Any, collection: Any, before: Any, after: Any, **rest: Any) -> Any:
        answer = await really(caller, collection, before, after, **rest)
        if collection is TOKENS and before is None and not made:
            made.append(after.id)
            await server.services.sessions.end(LOCAL, caller.token)
        return answer

    await server.token("ann")
    monkeypatch.setattr(server.services.writer, "write", overtaken)
    await make(server, status=401)
    assert await server.store.get_document(TOKENS.name, made[0]) is None


async def test_an_older_version_takes_no_access_token_for_a_login(server: Server) -> None:
    """One that does not know of scopes compares the seal, which is another one than that of a login."""
    made = await make(server)
    rows = await server.store.find_documents(TOKENS.name)
    tokens = {each.name: each for each in (TOKENS.decode(stored) for _, stored in rows)}
    assert tokens["ci"].id.startswith(made["id"])
    assert tokens["ci"].seal != tokens[""].seal
