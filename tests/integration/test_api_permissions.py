"""Who may call which route: the whole table, and the guard that no route escapes."""

import re
from pathlib import Path
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler, get

from dts_core.api.app import create_app, endpoints
from dts_core.api.endpoint import Permission
from dts_core.services.users import LOCAL
from dts_core.settings import ServerSettings
from dts_core.testing import ManualClock
from tests.support.server import ADD, ROLES, SECRET, Server, serve

# What each role meets: a number for all that may, else role -> status where it differs by rule of a service.
# Bodies are valid, so that nothing but the permission decides; `{job}` is a job that the role submitted itself
# where it can submit, and another's where it cannot.
Row = tuple[int, dict[str, Any]]
ALLOWED: dict[tuple[str, str], Row] = {
    ("POST", "/session"): (401, {"json": {"user": "nobody", "secret": "wrong wrong"}}),
    ("GET", "/session"): (200, {}),
    ("DELETE", "/session"): (204, {}),
    ("POST", "/session/password"): (204, {"json": {"secret": SECRET, "new_secret": SECRET}}),
    ("GET", "/session/tokens"): (200, {}),
    ("POST", "/session/tokens"): (201, {"json": {"name": "ci", "scope": "read", "days": 1}}),
    ("DELETE", "/session/tokens"): (200, {}),
    ("DELETE", "/session/tokens/{id}"): (404, {}),
    ("GET", "/admin/tokens"): (200, {}),
    ("POST", "/admin/tokens"): (
        201,
        {"json": {"user": "ann", "name": "ci", "scope": "read", "days": 1}},
    ),
    ("DELETE", "/admin/tokens"): (200, {"params": {"user": "bob"}}),
    ("DELETE", "/admin/tokens/{id}"): (404, {}),
    ("POST", "/jobs"): (201, {"json": {"function": "sample/noop"}}),
    ("GET", "/jobs"): (200, {}),
    ("GET", "/jobs/counts"): (200, {}),
    ("GET", "/jobs/{id}"): (200, {}),
    ("GET", "/jobs/{id}/attempts"): (200, {}),
    ("POST", "/jobs/cancel"): (200, {"json": {"ids": []}}),
    ("POST", "/jobs/{id}/cancel"): (200, {}),
    ("POST", "/jobs/{id}/again"): (201, {"json": {"version": "same"}}),
    ("GET", "/admin/functions"): (200, {}),
    ("POST", "/admin/functions"): (201, {"json": {"_id": "sample/made", "source": ADD}}),
    ("GET", "/admin/functions/{namespace}/{name}"): (200, {}),
    ("GET", "/admin/functions/{namespace}/{name}/source"): (200, {}),
    ("GET", "/admin/functions/{namespace}/{name}/outcomes"): (200, {}),
    ("POST", "/admin/functions/{namespace}/{name}/deploy"): (201, {"json": {}}),
    ("PATCH", "/admin/functions/{namespace}/{name}"): (200, {"json": {"note": "n", "revision": 1}}),
    ("PUT", "/admin/functions/{namespace}/{name}"): (200, {"json": {"source": ADD, "revision": 2}}),
    ("DELETE", "/admin/functions/{namespace}/{name}"): (200, {}),
    ("GET", "/admin/signing"): (200, {}),
    ("POST", "/admin/signing/resign"): (422, {}),
    ("POST", "/admin/mail/test"): (201, {"json": {"group": "night"}}),
    ("GET", "/admin/users"): (200, {}),
    ("POST", "/admin/users"): (201, {"json": {"_id": "made", "secret": "eight letters"}}),
    ("GET", "/admin/users/{id}"): (200, {}),
    ("PATCH", "/admin/users/{id}"): (200, {"json": {"role": "viewer"}}),
    ("PUT", "/admin/users/{id}"): (200, {"json": {"role": "viewer"}}),
    ("DELETE", "/admin/users/{id}"): (200, {}),
    ("GET", "/admin/namespaces"): (200, {}),
    ("POST", "/admin/namespaces"): (201, {"json": {"_id": "made"}}),
    ("GET", "/admin/namespaces/{id}"): (200, {}),
    ("PATCH", "/admin/namespaces/{id}"): (200, {"json": {"description": "d"}}),
    ("PUT", "/admin/namespaces/{id}"): (200, {"json": {"members": {"*": "submitter"}}}),
    ("DELETE", "/admin/namespaces/{id}"): (409, {}),
    ("GET", "/admin/schema"): (200, {}),
    ("GET", "/admin/vhosts"): (200, {}),
    ("POST", "/admin/vhosts"): (201, {"json": {"_id": "made", "address": "h1", "user": "root"}}),
    ("GET", "/admin/vhosts/{id}"): (200, {}),
    ("PATCH", "/admin/vhosts/{id}"): (200, {"json": {"port": 2222}}),
    ("PUT", "/admin/vhosts/{id}"): (200, {"json": {"address": "h2", "user": "root"}}),
    ("DELETE", "/admin/vhosts/{id}"): (200, {}),
    ("POST", "/admin/vhosts/scan"): (201, {"json": {"hosts": ["web-1"]}}),
    ("POST", "/admin/vhosts/{id}/trust"): (
        404,
        {"json": {"fingerprint": "SHA256:" + "A" * 43, "scan": "nothing"}},
    ),
    ("POST", "/admin/vhosts/{id}/forget-key"): (409, {"json": {"reason": "set up anew"}}),
    ("POST", "/ssh"): (201, {"json": {"hosts": ["web-1"], "argv": ["true"]}}),
    ("GET", "/ssh/{id}/hosts"): (404, {}),
    ("GET", "/ssh/shells/{id}"): (426, {}),
    ("GET", "/ssh/{id}/hosts/{name}/output"): (404, {}),
    ("GET", "/ssh/{id}/hosts/{name}/live"): (404, {}),
    ("GET", "/ssh/{id}/groups"): (404, {}),
    ("GET", "/ssh/{id}/questions"): (404, {}),
    ("POST", "/ssh/{id}/questions/{name}"): (404, {"json": {"declined": True}}),
    ("POST", "/ssh/{id}/again"): (404, {"json": {"which": "failed"}}),
    ("POST", "/admin/vhosts/{id}/init"): (201, {"json": {"dry_run": True}}),
    ("POST", "/admin/vhosts/{id}/remove"): (201, {"json": {}}),
    ("POST", "/admin/vhosts/{id}/rotate"): (201, {"json": {}}),
    ("GET", "/admin/vault"): (200, {}),
    ("POST", "/admin/vault/rotate"): (200, {"json": {}}),
    ("GET", "/admin/operations"): (200, {}),
    ("GET", "/admin/operations/{id}"): (404, {}),
    ("GET", "/admin/operations/difference"): (
        200,
        {"params": {"collection": "namespaces", "doc_id": "sample", "from": "0", "to": "1"}},
    ),
    ("GET", "/admin/operations/checkpoint"): (200, {}),
    ("POST", "/admin/operations/verify"): (200, {"json": {}}),
    ("GET", "/hosts"): (200, {}),
    ("GET", "/hosts/{name}"): (404, {}),
    ("GET", "/hosts/{name}/samples"): (200, {}),
    ("GET", "/alarms"): (200, {}),
    ("GET", "/logs"): (200, {}),
    ("GET", "/queues"): (200, {}),
    ("GET", "/queues/dead-letters"): (200, {}),
    ("GET", "/queues/dead-letters/{seq}"): (404, {}),
    ("POST", "/queues/dead-letters/send-again"): (200, {"json": {"seqs": [1]}}),
    ("POST", "/queues/dead-letters/discard"): (200, {"json": {"queue": "jobs.default"}}),
    ("POST", "/queues/{name}/pause"): (200, {}),
    ("POST", "/queues/{name}/resume"): (200, {}),
    ("POST", "/hosts/{name}/drain"): (404, {}),
    ("POST", "/hosts/{name}/undrain"): (404, {}),
    ("GET", "/status"): (200, {}),
    ("GET", "/stream"): (422, {"params": {"topics": "nothing"}}),
    ("GET", "/health/live"): (200, {}),
    ("GET", "/health/ready"): (200, {}),
    ("GET", "/metrics"): (200, {}),
    ("GET", "/schema"): (200, {}),
    **{
        (method, f"/admin/{one}{tail}"): (308, {})
        for one in ("namespace", "user", "vhost")
        for tail, methods in (("", ("GET", "POST")), ("/{id}", ("GET", "PATCH", "PUT", "DELETE")))
        for method in methods
    },
}
ONLY_ADMIN_BY_SERVICE = {
    ("GET", "/ssh/shells/{id}"),
    ("GET", "/metrics"),
    ("POST", "/admin/functions"),
    ("POST", "/admin/functions/{namespace}/{name}/deploy"),
    ("PATCH", "/admin/functions/{namespace}/{name}"),
    ("PUT", "/admin/functions/{namespace}/{name}"),
    ("DELETE", "/admin/functions/{namespace}/{name}"),
}
TABLE = [(each.method, each.path) for each in endpoints()]
LEVEL = {each.path + each.method: each.permission for each in endpoints()}


def concrete(path: str, job: str) -> str:
    if path.startswith("/jobs/"):
        return path.replace("{id}", job)
    known = {"namespace": "sample", "name": "noop" if "functions" in path else "h1"}
    known |= {"seq": "1", "name": "default"} if path.startswith("/queues/") else {}
    known["id"] = "sample" if "namespace" in path else "ann"
    if "vhost" in path or "/shells/" in path:
        known["id"] = "web-1"
    return re.sub(r"\{(\w+)\}", lambda match: known[match[1]], path)


def expected(method: str, path: str, role: str) -> int:
    level = LEVEL[path + method]
    allowed = ALLOWED[method, path][0]
    if (method, path) in ONLY_ADMIN_BY_SERVICE:
        return allowed if role == "admin" else 403
    if level is Permission.PUBLIC:
        return allowed
    return allowed if ROLES.index(role) + 1 >= level else 403


async def prepared(server: Server) -> dict[str, str]:
    """role -> a job that it may see; its own where it can submit."""
    await server.namespace()
    await server.function()
    await server.token("ann")
    vhost = {"_id": "web-1", "address": "192.0.2.1", "user": "root"}
    await server.services.vhosts.create(LOCAL, vhost)
    jobs: dict[str, str] = {}
    for role in reversed(ROLES):
        answer = await server.call("POST", "/jobs", role, json={"function": "sample/noop"})
        jobs[role] = answer.json()["id"] if answer.status_code == 201 else jobs["admin"]
    return jobs


def test_every_route_is_in_the_matrix() -> None:
    """A route that nobody thought about is a route that nobody tested."""
    assert set(TABLE) == set(ALLOWED)
    assert len(TABLE) == len(set(TABLE))


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_what_the_table_says_and_no_more(tmp_path: Path, role: str) -> None:
    """Every route answers every role as its permission says."""
    async with serve(tmp_path) as server:
        jobs = await prepared(server)
        wrong = []
        # Reads first, so that no write takes away what a read looks for; removals and the logout last.
        order = {"GET": 0, "POST": 1, "PATCH": 2, "PUT": 3, "DELETE": 4}
        table = sorted(TABLE, key=lambda row: (order[row[0]], row[1] == "/session", row[1]))
        for method, path in table:
            options = dict(ALLOWED[method, path][1])
            answer = await server.call(method, concrete(path, jobs[role]), role, **options)
            if answer.status_code != expected(method, path, role):
                wrong.append((method, path, answer.status_code, answer.text[:200]))
        assert wrong == []


@pytest.mark.parametrize("shown", ["none", "bad", "expired", "basic"])
async def test_without_a_token_that_counts_nothing_is_answered(tmp_path: Path, shown: str) -> None:
    """Every route but health and login is a 401 with advice, and no service is reached."""
    clock = ManualClock()
    async with serve(tmp_path, clock=clock) as server:
        jobs = await prepared(server)
        token = await server.issue("admin", hours=1)
        clock.advance(3601)
        headers = {
            "none": {},
            "bad": {"Authorization": "Bearer dts_" + "x" * 43},
            "expired": {"Authorization": f"Bearer {token}"},
            "basic": {"Authorization": "Basic YWRtaW46YWRtaW4="},
        }[shown]
        before = await server.store.operations(limit=500)
        for method, path in TABLE:
            if LEVEL[path + method] is Permission.PUBLIC:
                continue
            options = ALLOWED[method, path][1]
            answer = await server.http.request(
                method, concrete(path, jobs["admin"]), headers=headers, **options
            )
            assert answer.status_code == 401, (method, path, answer.text)
            problem = answer.json()
            assert problem["code"] == "unauthenticated"
            assert problem["advice"]
            assert answer.headers["www-authenticate"] == "Bearer"
        assert await server.store.operations(limit=500) == before


async def test_a_framework_route_takes_a_token_too(tmp_path: Path) -> None:
    """OPTIONS, which nobody declared, is no way around the guard."""
    async with serve(tmp_path) as server:
        assert (await server.http.request("OPTIONS", "/jobs")).status_code == 401
        answer = await server.call("OPTIONS", "/jobs", "viewer")
        assert answer.status_code == 204
        assert answer.headers["allow"] == "GET, OPTIONS, POST"


async def test_a_route_without_a_permission_stops_the_server(tmp_path: Path) -> None:
    """The application is not made at all, and the error names the route."""

    @get("/open")
    async def unguarded() -> str:
        return "everything"

    handler: HTTPRouteHandler = unguarded
    async with serve(tmp_path) as server:
        with pytest.raises(ValueError, match="/open"):
            create_app(server.services, ServerSettings(), more=[handler])


async def test_a_refused_write_is_on_record(tmp_path: Path) -> None:
    """The audit shows who tried what, with the reason, also when a rule of a service refused."""
    async with serve(tmp_path) as server:
        await prepared(server)
        await server.call("DELETE", "/admin/users/ann", "submitter")
        await server.call(
            "PATCH", "/admin/functions/sample/noop", "submitter", json={"revision": 1}
        )
        await server.call("POST", "/jobs", "submitter", json={"function": "dts/status"})
        items = (await server.call("GET", "/admin/operations")).json()["items"]
        refused = [
            (each["operator"], each["op_type"], each["collection"], each["doc_id"])
            for each in items
            if each["refused"]
        ]
        assert refused == [
            ("submitter", "call", "jobs", "dts/status"),
            ("submitter", "update", "functions", "sample/noop"),
            ("submitter", "delete", "users", "ann"),
        ]
        told = next(each["refused"] for each in items if each["op_type"] == "call")
        assert "submitter" in told
        assert "admin" in told


async def test_refusals_of_one_user_cannot_fill_the_disk(tmp_path: Path) -> None:
    """Beyond a bound in each minute refused attempts are counted, not stored."""
    async with serve(tmp_path, clock=ManualClock()) as server:
        await prepared(server)
        for _ in range(70):
            await server.call("DELETE", "/admin/users/ann", "viewer")
        items = await server.store.operations(collection="users", doc_id="ann", limit=500)
        assert len([each for _, each in items if each.refused]) == 60
        assert server.services.counters.value("dts_refused_total", op="delete") == 70
