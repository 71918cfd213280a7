"""Log in, be recognised, log out; and what ends a token."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from dts_core.model import Change
from dts_core.services.aside import Aside
from dts_core.services.seals import TOKENS
from dts_core.services.users import LOCAL
from dts_core.testing import ManualClock
from tests.support.server import SECRET, Server, serve


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    async with serve(tmp_path, clock=clock) as made:
        await made.services.users.bootstrap(SECRET)
        yield made


async def login(server: Server, user: str = "admin", secret: str = SECRET) -> httpx.Response:
    return await server.http.post("/session", json={"user": user, "secret": secret})


async def shows(server: Server, token: str) -> int:
    answer = await server.http.get("/session", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


async def test_a_new_store_has_no_account_until_it_is_made(tmp_path: Path) -> None:
    """No default account: the first administrator is made once, with a given secret."""
    async with serve(tmp_path) as server:
        assert (await login(server, "admin", "admin")).status_code == 401
        assert await server.services.users.bootstrap(SECRET) is True
        assert await server.services.users.bootstrap("another secret") is False
        assert (await login(server)).status_code == 201
        assert (await login(server, secret="another secret")).status_code == 401


async def test_a_login_gives_a_token_that_is_stored_by_its_hash(server: Server) -> None:
    """The token appears in this one answer; the store and the audit never hold it."""
    answer = (await login(server)).json()
    assert (answer["user"], answer["role"]) == ("admin", "admin")
    assert await shows(server, answer["token"]) == 200
    rows = await server.store.find_documents(TOKENS.name)
    assert len(rows) == 1
    assert answer["token"].encode() not in rows[0][1]
    told = str(await server.store.operations(limit=100))
    assert answer["token"] not in told
    assert SECRET not in told
    assert "argon2" not in told


async def test_wrong_user_and_wrong_secret_are_told_alike(server: Server) -> None:
    """Nobody learns which users exist; both tries are on record."""
    one = (await login(server, secret="not the secret")).json()
    two = (await login(server, user="nobody")).json()
    same = ("status", "title", "detail", "code", "advice", "fields")
    assert [one[name] for name in same] == [two[name] for name in same]
    assert one["status"] == 401
    refused = [each for _, each in await server.store.operations(collection="tokens")]
    assert [(each.operator, bool(each.refused)) for each in refused] == [
        ("nobody", True),
        ("admin", True),
    ]


async def test_an_unknown_user_costs_a_hash_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the answer does not tell whether the user exists: the same work is done."""
    passwords = server.services.sessions._passwords
    verified: list[str] = []
    really = passwords._verify

    def counted(aside: Aside | None, stored: str, secret: str) -> bool:
        verified.append(stored)
        return really(aside, stored, secret)

    monkeypatch.setattr(passwords, "_verify", counted)
    await login(server, user="nobody")
    await login(server, secret="not the secret")
    assert len(verified) == 2
    assert all(stored.startswith("$argon2id$") for stored in verified)


async def test_logins_of_an_account_are_throttled_before_hashing(
    server: Server, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten tries a minute: the eleventh is a 429 with Retry-After, and nothing is compared."""
    for _ in range(10):
        assert (await login(server, secret="not the secret")).status_code == 401

    async def never(*_: object) -> bool:
        raise AssertionError("a secret was compared")

    monkeypatch.setattr(server.services.sessions._passwords, "verify", never)
    answer = await login(server)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    monkeypatch.undo()
    clock.advance(60.1)
    assert (await login(server)).status_code == 201


async def test_logins_from_an_address_are_throttled(server: Server) -> None:
    """Thirty tries a minute over all accounts: guessing one secret for many users is slow too."""
    codes = [(await login(server, user=f"u{number}")).status_code for number in range(31)]
    assert codes == [401] * 30 + [429]


async def test_a_token_expires(server: Server, clock: ManualClock) -> None:
    """At its end a token is a 401 that says so, also when it is known in memory."""
    body = {"user": "admin", "secret": SECRET, "hours": 1}
    token = (await server.http.post("/session", json=body)).json()["token"]
    assert await shows(server, token) == 200
    clock.advance(3600)
    answer = await server.http.get("/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


async def test_no_token_lives_longer_than_the_setting(server: Server, clock: ManualClock) -> None:
    """A login may ask for less time, never for more."""
    body = {"user": "admin", "secret": SECRET, "hours": 8000}
    answer = (await server.http.post("/session", json=body)).json()
    assert answer["expires_at"].startswith("2026-01-31")  # 30 days from the clock's start
    body["hours"] = -1
    assert (await server.http.post("/session", json=body)).status_code == 422


async def test_logout_ends_the_token_at_once(server: Server) -> None:
    """The very next request with it is a 401; other tokens of the user live on."""
    one, two = await server.issue("admin"), await server.issue("admin")
    assert await shows(server, one) == 200
    answer = await server.http.delete("/session", headers={"Authorization": f"Bearer {one}"})
    assert answer.status_code == 204
    assert (await shows(server, one), await shows(server, two)) == (401, 200)


@pytest.mark.parametrize("change", [{"disabled": True}, {"secret": "a new long secret"}, None])
async def test_disabling_a_new_secret_and_removal_end_all_tokens(
    server: Server, change: dict[str, object] | None
) -> None:
    """The next request of any of the user's tokens is a 401."""
    token = await server.token("ann")
    assert await shows(server, token) == 200
    if change is None:
        await server.services.users.delete(LOCAL, "ann")
    else:
        await server.services.users.update(LOCAL, "ann", change)
    assert await shows(server, token) == 401


async def test_a_new_role_counts_from_the_next_request(server: Server) -> None:
    """A user who was made a viewer submits no more with the token they have."""
    await server.namespace()
    await server.function()
    body = {"function": "sample/noop"}
    assert (await server.call("POST", "/jobs", "ann", json=body)).status_code == 201
    await server.services.users.update(LOCAL, "ann", {"role": "viewer"})
    assert (await server.call("POST", "/jobs", "ann", json=body)).status_code == 403


async def test_a_revocation_nobody_announced_counts_after_a_second(
    server: Server, clock: ManualClock
) -> None:
    """Another server's write whose announcement was lost is found by looking again each second."""
    token = await server.token("ann")
    assert await shows(server, token) == 200
    server.services.bus._listeners.clear()
    await server.services.users.update(LOCAL, "ann", {"disabled": True})
    assert await shows(server, token) == 200
    clock.advance(1.0)
    assert await shows(server, token) == 401


async def test_a_known_token_costs_no_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second the store is not asked again for token, user or namespaces."""
    token = await server.token("ann")
    await shows(server, token)
    reads: list[str] = []
    really = server.store.get_document

    async def counted(collection: str, doc_id: str) -> bytes | None:
        reads.append(collection)
        return await really(collection, doc_id)

    monkeypatch.setattr(server.store, "get_document", counted)
    assert [await shows(server, token) for _ in range(5)] == [200] * 5
    assert reads == []


async def test_a_revocation_during_the_look_up_is_not_forgotten(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is heard while the store is being read makes the result count for one request only."""
    token = await server.token("ann")
    really = server.store.get_document

    async def overtaken(collection: str, doc_id: str) -> bytes | None:
        found = await really(collection, doc_id)
        if collection == "users":
            await server.services.bus.publish([Change("users", "ann", "update")])
        return found

    monkeypatch.setattr(server.store, "get_document", overtaken)
    assert await shows(server, token) == 200
    monkeypatch.undo()
    [(_, some)] = await server.store.operations(limit=1)
    operation = msgspec.structs.replace(some, position=0)
    await server.store.write_document(
        "users", "ann", None, operation, expected_revision=1
    )  # removed without a word
    assert await shows(server, token) == 401


async def test_expired_tokens_are_swept(server: Server, clock: ManualClock) -> None:
    """They do not pile up in the store; live ones stay."""
    await server.issue("admin", hours=1)
    live = await server.issue("admin", hours=3)
    clock.advance(2 * 3600)
    assert await server.services.sessions.sweep() == 1
    assert await shows(server, live) == 200
    assert len(await server.store.find_documents(TOKENS.name)) == 1


async def test_one_secret_is_hashed_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many logins at the same moment take memory and a processor of one."""
    passwords = server.services.sessions._passwords
    await passwords.verify("", "warm up the decoy")
    import threading

    running, most, lock = 0, 0, threading.Lock()
    really = passwords._verify

    def counted(aside: Aside | None, stored: str, secret: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return really(aside, stored, secret)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(passwords, "_verify", counted)
    await asyncio.gather(*(login(server, user=f"u{number}") for number in range(8)))
    assert most == 1


async def test_a_flood_of_logins_waits_for_no_more_than_a_second_of_hashing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes when so many wait is told to come again, a known user as an unknown one; then all is as before."""
    monkeypatch.setattr("dts_core.services.passwords.WAITING_MAX", 3)
    passwords = server.services.sessions._passwords
    await passwords.verify("", "warm up the decoy")
    names = ["admin", *(f"u{number}" for number in range(9))]
    answers = await asyncio.gather(*(login(server, user=name) for name in names))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(429), codes.count(201) + codes.count(401)) == (6, 4)
    assert (await login(server)).status_code == 201


async def test_a_secret_is_changed_by_the_old_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong tries are told, on record and throttled before hashing, together with logins; no secret is shown."""
    token = await server.issue("admin")
    headers = {"Authorization": f"Bearer {token}"}

    async def change(secret: str, new: str) -> httpx.Response:
        body = {"secret": secret, "new_secret": new}
        return await server.http.post("/session/password", json=body, headers=headers)

    assert list((await change(SECRET, "short")).json()["fields"]) == ["new_secret"]
    assert list((await change("not the secret", "a new long secret")).json()["fields"]) == [
        "secret"
    ]
    assert (await change(SECRET, "a new long secret")).status_code == 204
    assert await shows(server, token) == 200
    assert (await login(server)).status_code == 401
    assert (await login(server, secret="a new long secret")).status_code == 201
    codes = [(await change("not the secret", SECRET)).status_code for _ in range(10)]
    assert codes == [422] * 10

    async def never(*_: object) -> bool:
        raise AssertionError("a secret was compared")

    monkeypatch.setattr(server.services.sessions._passwords, "verify", never)
    assert (await change("a new long secret", SECRET)).status_code == 429
    found = await server.store.operations(collection="users", doc_id="admin", limit=100)
    assert [bool(each.refused) for _, each in found].count(True) == 12
    assert "long secret" not in str(found)
