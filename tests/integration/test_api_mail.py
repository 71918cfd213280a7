"""The HTTP interface of mail: who gets it, and asking for a test."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import SECRET, Server, serve


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as opened:
        yield opened


async def test_users_have_an_address_and_groups(server: Server) -> None:
    """Both are given at creation, changed, shown, and empty unless given."""
    ada = {"_id": "ada", "secret": SECRET, "address": "ada@example.org", "groups": ["night", "day"]}
    assert (await server.call("POST", "/admin/users", json=ada)).status_code == 201
    shown = (await server.call("GET", "/admin/users/ada")).json()
    assert (shown["address"], shown["groups"]) == ("ada@example.org", ["day", "night"])
    patch = {"address": "", "groups": []}
    assert (await server.call("PATCH", "/admin/users/ada", json=patch)).status_code == 200
    shown = (await server.call("GET", "/admin/users/ada")).json()
    assert (shown["address"], shown["groups"]) == ("", [])
    shown = (await server.call("GET", "/admin/users/root")).json()
    assert (shown["address"], shown["groups"]) == ("", [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "ada"),
        ("address", "ada@example.org\r\nBcc: eve@example.org"),
        ("address", None),
        ("address", ["ada@example.org"]),
        ("groups", "night"),
        ("groups", ["Night shift"]),
        ("groups", ["administrators"]),
    ],
)
async def test_wrong_ones_are_named(server: Server, field: str, value: object) -> None:
    """422 with the field, at creation and at a change."""
    for method, path, more in (
        ("POST", "/admin/users", {"_id": "ada", "secret": SECRET}),
        ("PATCH", "/admin/users/root", {}),
    ):
        answer = await server.call(method, path, json={**more, field: value})
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == [field]


async def test_asking_for_a_test(server: Server) -> None:
    """One job in the caller's name, which is not tried again; the same request again is the same job."""
    asked: dict[str, Any] = {"json": {"group": "night"}, "headers": {"Idempotency-Key": "k"}}
    answer = await server.call("POST", "/admin/mail/test", **asked)
    assert answer.status_code == 201
    job = (await server.call("GET", f"/jobs/{answer.json()['job']}")).json()
    assert (job["function"], job["submitter"], job["retries"]) == ("dts/notify.smtp", "root", 0)
    assert job["kwargs"]["groups"] == ["night"]
    assert job["kwargs"]["subject"] == "[dts] test"
    assert (await server.call("POST", "/admin/mail/test", **asked)).json() == answer.json()


async def test_test_goes_to_administrators_unless_told(server: Server) -> None:
    """Without a group it is theirs."""
    answer = await server.call("POST", "/admin/mail/test", json={})
    assert answer.json()["group"] == "administrators"


@pytest.mark.parametrize("group", ["Night shift", "", "a\r\nBcc: b"])
async def test_test_to_no_group(server: Server, group: str) -> None:
    """Refused with the field, and nothing runs."""
    answer = await server.call("POST", "/admin/mail/test", json={"group": group})
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["group"]
    assert (await server.call("GET", "/jobs")).json()["items"] == []


async def test_status_says_whether_mail_is_on(server: Server) -> None:
    """Nothing fails without a server; the dashboard says that alarms stay where they are."""
    assert (await server.call("GET", "/status")).json()["mail"] == "off"
