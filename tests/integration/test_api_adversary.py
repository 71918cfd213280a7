"""What somebody who means harm may try on the admin collections, and what they meet instead."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from dts_core.errors import Conflict
from dts_core.services.access import Caller, Role
from dts_core.services.resources import listing
from dts_core.services.resources.listing import Wanted
from dts_core.services.users import LOCAL, Users
from dts_core.services.vhosts import VHOSTS, Vhosts
from dts_core.services.vhostways import check_way
from tests.support.server import SECRET, serve

CANARY = "Canary7 Secret-of-a-User!"
"""No name, no address, no number: wherever it is given but as a secret, it is refused."""


@pytest.mark.parametrize("value", [5, "", "viewer", -1])
@pytest.mark.parametrize("sort", ["role", "-created_at", "disabled", "updated_at", "_id"])
async def test_a_forged_cursor_is_refused_or_a_place(
    tmp_path: Path, sort: str, value: object
) -> None:
    """A place of another order, or of none: never a failure of the server."""
    cursor = base64.urlsafe_b64encode(json.dumps([value, "ann"]).encode()).decode().rstrip("=")
    async with serve(tmp_path) as server:
        await server.token("ann")
        params = {"sort": sort, "cursor": cursor}
        answer = await server.call("GET", "/admin/users", params=params)
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["fields"] == {"cursor": "as the last page gave it"}


@pytest.mark.parametrize("wanted", [{}, {"text": "o"}, {"sort": "created_at"}, {"limit": 1}])
async def test_a_cursor_never_names_what_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    """However many hidden documents a page passes over: it goes on behind one that the user sees."""
    monkeypatch.setattr(listing, "LOOK", 3)
    async with serve(tmp_path) as server:
        await server.namespace("own")
        for number in range(8):
            await server.namespace(f"hidden_{number}", bob="submitter")
        await server.namespace("zoo")
        caller = Caller(
            user="ann", role=Role.VIEWER, memberships={"own": "viewer", "zoo": "viewer"}
        )
        found, cursor = [], ""
        for _ in range(20):
            page = await server.services.namespaces.find(caller, Wanted(**wanted, cursor=cursor))
            found += [each["_id"] for each in page.items]
            if wanted.get("sort") is None:
                assert "hidden" not in page.next
            if not (cursor := page.next):
                break
        assert sorted(found) == ["own", "zoo"]
        assert not cursor


@pytest.mark.parametrize("how", ["demoted", "disabled", "removed", "replaced"])
async def test_two_administrators_who_put_each_other_out_leave_one(
    tmp_path: Path, how: str
) -> None:
    """At the same moment, each may, and yet somebody stays."""

    async def put_out(victim: str) -> None:
        users = server.services.users
        if how == "removed":
            await users.delete(LOCAL, victim)
        elif how == "replaced":
            await users.replace(LOCAL, victim, {"role": "viewer"})
        else:
            body = {"role": "viewer"} if how == "demoted" else {"disabled": True}
            await users.update(LOCAL, victim, body)

    async with serve(tmp_path) as server:
        for name in ("ada", "eve"):
            await server.services.users.create(
                LOCAL, {"_id": name, "role": "admin", "secret": SECRET}
            )
        outcomes = await asyncio.gather(put_out("ada"), put_out("eve"), return_exceptions=True)
        page = await server.services.users.find(LOCAL, Wanted())
        left = [e["_id"] for e in page.items if e["role"] == "admin" and not e["disabled"]]
        assert len(left) == 1
        assert [str(each).partition(".")[0] for each in outcomes if each is not None] == [
            f"user {left[0]} is the last administrator"
        ] or [type(each).__name__ for each in outcomes].count("Conflict") == 1


async def test_what_was_meant_for_a_secret_field_is_not_repeated(tmp_path: Path) -> None:
    """Typed into its neighbour it is refused, and stands in no answer and no record."""
    user = {"_id": "made", "secret": SECRET}
    bodies: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/admin/users", user | {"address": CANARY}),
        ("POST", "/admin/users", user | {"groups": [CANARY]}),
        ("POST", "/admin/users", user | {"groups": CANARY}),
        ("POST", "/admin/users", user | {"role": CANARY}),
        ("POST", "/admin/users", user | {"disabled": CANARY}),
        ("POST", "/admin/users", user | {"_id": CANARY}),
        ("PATCH", "/admin/users/ann", {"address": CANARY}),
        ("PATCH", "/admin/users/ann", {"revision": CANARY}),
        ("PUT", "/admin/users/ann", {"role": CANARY}),
        ("PATCH", "/admin/namespaces/sample", {"members": {"ann": CANARY}}),
        ("POST", "/admin/functions", {"_id": "sample/made", "source": f"'{CANARY}' +"}),
        ("POST", "/admin/vault/rotate", {"limit": CANARY}),
        ("POST", "/session", {"user": CANARY, "secret": "wrong one"}),
        ("POST", "/session", {"user": "ann", "secret": CANARY}),
        ("POST", "/session", {"user": "ann", "secret": SECRET, "hours": CANARY}),
    ]
    fields = ("address", "user", "port", "auth", "certificate", "known_host_key", "jump", "labels")
    for field in (*fields, "references", "python", "mode", "disabled", "_id"):
        values: list[Any] = [CANARY]
        values += [{"password": CANARY}, {CANARY: "a"}] if field in ("labels", "references") else []
        for value in values:
            body = {"_id": "made", "address": "h", "user": "u", field: value}
            bodies.append(("POST", "/admin/vhosts", body))
    async with serve(tmp_path) as server:
        await server.namespace()
        await server.function()
        await server.token("ann")
        told = []
        for method, path, body in bodies:
            answer = await server.call(method, path, json=body)
            assert 400 <= answer.status_code < 500, (path, body, answer.text)
            if "Canary7" in answer.text:
                told.append((method, path, body, answer.text))
        assert told == [], "\n".join(map(str, told))
        for method, path, query in (
            ("GET", "/admin/users", {"role": CANARY}),
            ("GET", "/admin/vhosts", {"auth": CANARY}),
        ):
            answer = await server.call(method, path, params=query)
            assert answer.status_code == 422
            assert "Canary7" not in answer.text
        records = (await server.call("GET", "/admin/operations", params={"limit": 500})).text
        assert "Canary7" not in records


@pytest.mark.parametrize("name", ["dts", "local"])
async def test_nobody_is_called_as_the_control_side_calls_itself(tmp_path: Path, name: str) -> None:
    """Its jobs and its records would be theirs."""
    async with serve(tmp_path) as server:
        body = {"_id": name, "secret": SECRET}
        answer = await server.call("POST", "/admin/users", json=body)
        assert (answer.status_code, answer.json()["fields"]) == (422, {"_id": "reserved"})


@pytest.mark.parametrize(
    "name", ["pаyroll", "PAYROLL", "payroll ", "payroll\u200b", "ｐayroll", "dts"]
)
async def test_a_name_that_looks_like_another_is_none(tmp_path: Path, name: str) -> None:
    """Letters of other scripts, widths, cases, and ones that nobody sees are refused in every id."""
    async with serve(tmp_path) as server:
        await server.namespace("payroll")
        for path, body in (
            ("/admin/namespaces", {"_id": name}),
            ("/admin/users", {"_id": name, "secret": SECRET}),
            ("/admin/functions", {"_id": f"{name}/f", "source": "def main(): pass"}),
            ("/admin/functions", {"_id": f"payroll/{name}", "source": "def main(): pass"}),
        ):
            if name == "dts" and body["_id"] == "payroll/dts":
                continue
            answer = await server.call("POST", path, json=body)
            assert answer.status_code in (403, 422), (path, answer.text)


async def test_two_servers_make_no_circle_of_ways(tmp_path: Path) -> None:
    """Each turns one host's way to the other at the same moment: at most one of the two stays."""
    async with serve(tmp_path) as server:
        one = server.services.vhosts
        two = Vhosts(
            server.store, server.clock, server.services.writer, one._vault, one._files, one._keys
        )
        for name in ("a", "b"):
            await one.create(LOCAL, {"_id": name, "address": "192.0.2.1", "user": "root"})
        outcomes = await asyncio.gather(
            one.update(LOCAL, "a", {"jump": "b"}),
            two.update(LOCAL, "b", {"jump": "a"}),
            return_exceptions=True,
        )
        assert any(isinstance(each, Exception) for each in outcomes)
        for name in ("a", "b"):
            await check_way(server.store, VHOSTS, await VHOSTS.load(server.store, name))


@pytest.mark.parametrize("role", ["viewer", "submitter", "operator"])
async def test_a_function_of_others_is_not_there_to_be_written(tmp_path: Path, role: str) -> None:
    """Its path answers like that of one that nobody ever made, word for word."""
    async with serve(tmp_path) as server:
        await server.namespace("other", bob="admin")
        await server.function("other/plan")
        answers = []
        for name in ("other/plan", "other/none", "nowhere/plan"):
            for method, body in (
                ("PATCH", {"note": "x", "revision": 1}),
                ("PUT", {"source": "def main(): pass", "revision": 1}),
                ("DELETE", None),
            ):
                path = f"/admin/functions/{name}"
                answer = await server.call(method, path, role, json=body)
                assert answer.status_code == (403 if role == "viewer" else 404), answer.text
                told = answer.json() | {"request_id": ""}
                answers.append((method, json.dumps(told).replace(name, "")))
        assert len(set(answers)) == 3


async def test_a_conflict_shows_nothing_that_would_be_refused(tmp_path: Path) -> None:
    """A stale change with a secret in the wrong field is wrong first, and stale only then."""
    async with serve(tmp_path) as server:
        await server.token("ann")
        for method, more in (("PATCH", {}), ("PUT", {"role": "viewer"})):
            body = {"address": CANARY, "revision": 99, **more}
            for dry in ({}, {"dry_run": "true"}):
                answer = await server.call(method, "/admin/users/ann", json=body, params=dry)
                assert answer.status_code == 422
                assert "Canary7" not in answer.text


@pytest.mark.parametrize("how", ["demoted", "removed"])
async def test_two_servers_leave_an_administrator(tmp_path: Path, how: str) -> None:
    """Each puts another one out at the same moment: what would leave nobody is taken back, and recorded."""
    async with serve(tmp_path) as server:
        one = server.services.users
        two = Users(server.store, server.clock, server.services.writer, one._passwords)
        for name in ("ada", "eve"):
            await one.create(LOCAL, {"_id": name, "role": "admin", "secret": SECRET})

        def put_out(users: Users, victim: str) -> Any:
            if how == "removed":
                return users.delete(LOCAL, victim)
            return users.update(LOCAL, victim, {"role": "viewer"})

        outcomes = await asyncio.gather(
            put_out(one, "ada"), put_out(two, "eve"), return_exceptions=True
        )
        refused = [each for each in outcomes if isinstance(each, Exception)]
        assert refused
        assert all(isinstance(each, Conflict) for each in refused)
        page = await one.find(LOCAL, Wanted())
        left = [each["_id"] for each in page.items if each["role"] == "admin"]
        assert len(left) == len(refused)
        verified = await server.services.operations.verify()
        assert verified.findings == []
