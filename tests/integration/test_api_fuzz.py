"""No request, however odd, makes the server fail: it answers, or refuses with a problem."""

import random
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from dts_core.api.app import endpoints
from dts_core.api.endpoint import NoQuery
from tests.support.server import NOOP, Server, serve

ODD = [
    "", "0", "-1", "1", "9" * 20, "9223372036854775808", "1e400", "nan", "0.5", "true", "x" * 5000,
    "\x00", "a\x00b", "%", "_", "*", "../..", "é", "\U0001f600", "\u202e", "' OR 1=1 --", '"', "\\",
    "2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "[]", "{}", "-", "1-1",
    "sample/noop", "queued", "01M81AHC34360P05V6ZX6VVGRE", "newest", "_id",
]  # fmt: skip
BODIES: list[Any] = [
    None, [], {}, "x", 1, 1e300, -1, True, {"a": [[[[[]]]]]},
    {"_id": 1}, {"_id": "a", "secret": "x" * 9}, {"_id": "\x00", "role": "admin"},
    {"_id": "sample/x", "source": NOOP}, {"source": "\x00", "revision": 1},
    {"revision": 1.5}, {"revision": True}, {"revision": 2**70}, {"note": "\x1b" * 600, "revision": 1},
    {"members": {"a": 1}}, {"members": {"*": "viewer"}}, {"description": "\x00"}, {"disabled": "x"},
    {"ids": ["\x00", "x" * 1000]}, {"ids": [1]}, {"version": "default"}, {"version": "\x00"},
    {"user": "\x00", "secret": "b" * 3000}, {"user": "x", "secret": "y", "hours": 1e308},
    {"function": "sample/noop", "start_at": "0001-01-01T00:00:00+14:00"},
    {"function": "sample/noop", "start_at": "9999-12-31T23:59:59-14:00"},
    {"function": "sample/noop", "delay_seconds": 366 * 86400, "expires_seconds": 366 * 86400},
    {"function": "sample/noop", "args": None}, {"function": "sample/noop", "host": "x"},
    {"function": "sample/noop", "priority": 2**63}, {"function": "sample/noop", "queue": "q" * 121},
    {"jobs": [{"function": "sample/noop"}] * 3}, {"jobs": 1},
]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_request_makes_the_server_fail(tmp_path: Path, seed: int) -> None:
    """Every route with odd paths, parameters and bodies: below 500, and every refusal is a problem."""
    chance = random.Random(seed)
    async with serve(tmp_path) as server:
        await server.namespace()
        await server.function()
        job = (await server.call("POST", "/jobs", json={"function": "sample/noop"})).json()["id"]
        wrong = []
        for each in endpoints():
            if (each.method, each.path) == ("DELETE", "/session"):
                continue  # ends the token that the others need
            for _ in range(12):
                answer = await ask(server, chance, each, job)
                problem = answer.headers.get("content-type") == "application/problem+json"
                if answer.status_code >= 500 or (answer.status_code >= 400 and not problem):
                    wrong.append((each.method, str(answer.request.url), answer.request.content))
        assert wrong == []


async def ask(server: Server, chance: random.Random, each: Any, job: str) -> Any:
    known = [job, "sample", "noop"]
    path = re.sub(
        r"\{\w+\}",
        lambda _: quote(chance.choice([*known, chance.choice(ODD) or "-"]), safe=""),
        each.path,
    )
    names = [] if each.query in (None, NoQuery) else each.query.__struct_fields__
    params = {name: chance.choice(ODD) for name in names if chance.random() < 0.4}
    if "wait" in params:
        params["wait"] = chance.choice(["0", "x", "0.01"])
    if each.path == "/stream":
        params["topics"] = "nothing"
    options: dict[str, Any] = {}
    if each.method in ("POST", "PATCH", "PUT"):
        options["content"] = msgspec.json.encode(chance.choice(BODIES))
        options["headers"] = {"Content-Type": "application/json"}
    return await server.call(each.method, path, params=params, **options)
