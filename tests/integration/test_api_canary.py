"""A version that is tried before it is the default one, over HTTP: who runs it, what is refused, how it ends."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import CONTROL, Message
from dts_core.codec import decode
from dts_core.model import Ahead, JobError, Reload
from dts_core.sealed import OpeningKey, Sealer
from dts_core.testing import wait_until
from tests.support.server import ADD, Server, serve

PATH = "/admin/functions/sample/add"
NEW = ADD.replace("a + b", "a - b")
NARROW = "async def main(a: int) -> int:\n    return a\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        await made.function("sample/add", ADD)
        yield made


async def change(server: Server, **fields: Any) -> dict[str, Any]:
    """A change of the newest revision; the function afterwards."""
    before = await shown(server)
    done = await server.call("PATCH", PATH, json=fields | {"revision": before["revision"]})
    assert done.status_code == 200, done.text
    return await shown(server)


async def refused(server: Server, **fields: Any) -> dict[str, Any]:
    """What is wrong with a change, by field; it changed nothing."""
    before = await shown(server)
    done = await server.call("PATCH", PATH, json=fields | {"revision": before["revision"]})
    assert done.status_code == 422, done.text
    assert await shown(server) == before
    wrong: dict[str, Any] = done.json()["fields"]
    return wrong


async def shown(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = (await server.call("GET", PATH)).json()
    return found


async def submit(server: Server, **options: Any) -> dict[str, Any]:
    body = {"function": "sample/add", "args": [1]} | options
    done = await server.call("POST", "/jobs", json=body)
    assert done.status_code == 201, done.text
    job: dict[str, Any] = done.json()
    return job


async def version_of(server: Server, job: dict[str, Any]) -> str:
    return str((await server.call("GET", f"/jobs/{job['id']}")).json()["version"])


async def test_a_canary_is_set_seen_promoted_and_each_write_recorded(server: Server) -> None:
    """Its source comes without becoming the default; promoted, the trial is over; each step is one operation."""
    first = (await shown(server))["default"]
    tried = await change(server, source=NEW, note="faster", canary="new", canary_share=0.25)
    version = tried["versions"][-1]["hash"]
    assert (tried["default"], tried["canary"]) == (first, version)
    assert (tried["canary_share"], tried["canary_hosts"]) == (0.25, [])
    listed = (await server.call("GET", "/admin/functions?fields=default,canary")).json()["items"]
    assert {"_id": "sample/add", "default": first, "canary": version} in listed
    promoted = await change(server, default=version)
    assert (promoted["default"], promoted["canary"]) == (version, "")
    assert (promoted["canary_share"], promoted["canary_hosts"]) == (0.0, [])
    items = (await server.call("GET", f"{'/admin/operations'}?collection=functions&limit=2")).json()
    ops = [each["ops"] for each in items["items"]]
    assert ops[0]["default"] == [first, version]
    assert ops[0]["canary"] == [version, ""]
    assert ops[1]["canary"] == ["", version]
    assert ops[1]["canary_share"] == [0.0, 0.25]
    assert "default" not in ops[1]


async def test_the_write_answers_with_the_version_that_is_tried(server: Server) -> None:
    """So whoever pushed it knows its name; a dry run says what would be and writes nothing."""
    body = {"source": NEW, "canary": "new", "canary_hosts": ["h1"], "revision": 1}
    dry = (await server.call("PATCH", f"{PATH}?dry_run=true", json=body)).json()
    assert dry["changes"]["canary_hosts"] == [[], ["h1"]]
    assert (await shown(server))["revision"] == 1
    written = (await server.call("PATCH", PATH, json=body)).json()
    assert written["version"] == (await shown(server))["canary"] != ""


async def test_withdrawn_it_leaves_nothing(server: Server) -> None:
    """An empty canary takes share and hosts with it; the version stays listed."""
    await change(server, source=NEW, canary="new", canary_share=1.0, canary_hosts=["h1"])
    after = await change(server, canary="")
    assert (after["canary"], after["canary_share"], after["canary_hosts"]) == ("", 0.0, [])
    assert len(after["versions"]) == 2
    assert (await submit(server))["version"] == after["default"]


async def test_what_cannot_be_tried_is_refused_by_name(server: Server) -> None:
    """No such version, the default one, a trial of nothing, for nobody, or with no host's name."""
    default = (await shown(server))["default"]
    share = {"canary_share": 0.5}
    assert await refused(server, canary="0" * 64, **share) == {"canary": "no such version"}
    assert await refused(server, canary=default, **share) == {"canary": "is the default version"}
    assert "source" in (await refused(server, canary="new", **share))["canary"]
    assert "canary" in await refused(server, **share)
    assert "canary" in await refused(server, canary_hosts=["h1"])
    assert "canary_share" in await refused(server, source=NEW, canary="new")
    wrong = await refused(
        server, source=NEW, canary="new", canary_share=1.5, canary_hosts=["no host!"]
    )
    assert set(wrong) == {"canary_share", "canary_hosts"}
    body = {"_id": "sample/other", "source": ADD, "canary": "0" * 64}
    made = await server.call("POST", "/admin/functions", json=body)
    assert (made.status_code, made.json()["fields"]) == (422, {"canary": "not at creation"})


async def test_a_stale_canary_is_refused(server: Server) -> None:
    """As any other change: nobody's trial is ended silently."""
    body = {"source": NEW, "canary": "new", "canary_share": 0.5, "revision": 1}
    assert (await server.call("PATCH", PATH, json=body)).status_code == 200
    stale = await server.call("PATCH", PATH, json={"canary": "", "revision": 1})
    assert stale.status_code == 409
    assert (await shown(server))["canary_share"] == 0.5


async def test_a_share_of_the_jobs_runs_it(server: Server) -> None:
    """About so many, each for good: asked again, or tried again, a job keeps its version; a named one counts first."""
    tried = await change(server, source=NEW, canary="new", canary_share=0.3)
    both = {tried["default"], tried["canary"]}
    jobs = [await submit(server) for _ in range(60)]
    assert {job["version"] for job in jobs} == both
    for job in jobs:
        assert await version_of(server, job) == job["version"]
    named = await submit(server, version=tried["default"])
    assert named["version"] == tried["default"]
    await change(server, canary_share=1.0)
    assert {(await submit(server))["version"] for _ in range(5)} == {tried["canary"]}
    again = await server.call("POST", f"/jobs/{named['id']}/again", json={"version": "same"})
    assert again.json()["version"] == tried["default"]


async def test_hosts_run_it_by_their_name(server: Server) -> None:
    """What the host of a canary takes is of that version, and the record says so; elsewhere it is the default one."""
    tried = await change(server, source=NARROW, canary="new", canary_hosts=["h1"])
    job = await submit(server)
    assert (job["version"], job["is_async"]) == (tried["default"], False)
    await server.run(job["id"])
    assert await version_of(server, job) == tried["canary"]
    again = await server.call("POST", f"/jobs/{job['id']}/again", json={"version": "same"})
    assert (again.json()["version"], again.json()["is_async"]) == (tried["canary"], True)
    await change(server, canary_hosts=["h2"])
    other = await submit(server)
    await server.run(other["id"])
    assert await version_of(server, other) == tried["default"]


async def test_a_call_that_does_not_fit_the_canary_runs_the_default_version(server: Server) -> None:
    """Nobody's call fails for a trial they know nothing of."""
    tried = await change(server, source=NARROW, canary="new", canary_share=1.0, canary_hosts=["h1"])
    job = await submit(server, args=[1, 2])
    assert job["version"] == tried["default"]
    await server.run(job["id"])
    assert await version_of(server, job) == tried["default"]
    assert (await submit(server, args=[1]))["version"] == tried["canary"]


async def test_outcomes_are_counted_by_the_version_that_ran(server: Server) -> None:
    """Well, badly, and not over yet, for the default one and the canary."""
    tried = await change(server, source=NEW, canary="new", canary_hosts=["h1"])
    jobs = [await submit(server) for _ in range(4)]
    await server.run(jobs[0]["id"])
    await server.fail(jobs[1]["id"], JobError(type="ValueError"))
    await server.call("POST", f"/jobs/{jobs[2]['id']}/cancel")
    told = (await server.call("GET", f"{PATH}/outcomes")).json()
    assert (told["function"], told["looked_at"], told["is_all"]) == ("sample/add", 4, True)
    by = {each["version"]: each for each in told["versions"]}
    assert (by[tried["canary"]]["done"], by[tried["canary"]]["failed"]) == (1, 1)
    assert (by[tried["default"]]["ended"], by[tried["default"]]["open"]) == (1, 1)


async def test_beside_a_canary_a_push_and_a_way_back_and_a_removal_do_what_they_say(
    server: Server,
) -> None:
    """Another default leaves the trial; going back to the version on trial ends it; with the function it is gone."""
    tried = await change(server, source=NEW, canary="new", canary_share=0.5)
    pushed = await change(server, source=NARROW)
    assert (pushed["default"] != tried["default"], pushed["canary"]) == (True, tried["canary"])
    back = await change(server, default=tried["default"])
    assert (back["default"], back["canary"]) == (tried["default"], tried["canary"])
    same = await change(server, source=NEW)
    assert (same["default"], same["canary"]) == (tried["canary"], "")
    await change(server, canary=tried["default"], canary_share=0.5)
    replaced = await server.call(
        "PUT", PATH, json={"source": NEW, "revision": same["revision"] + 1}
    )
    assert replaced.status_code == 200
    assert (await shown(server))["canary"] == ""
    assert (await server.call("DELETE", PATH)).status_code == 200
    assert (await server.call("GET", f"{PATH}/outcomes")).status_code == 404


async def test_the_default_and_the_canary_never_leave_the_list(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many versions come after them."""
    monkeypatch.setattr("dts_core.services.versions.VERSIONS_MAX", 3)
    tried = await change(server, source=NEW, canary="new", canary_share=0.5)
    for number in range(4):
        source = f"def main() -> int:\n    return {number}\n"
        await change(server, source=source, default=tried["default"])
    after = await shown(server)
    hashes = [each["hash"] for each in after["versions"]]
    assert len(hashes) == 3
    assert {tried["default"], tried["canary"]} < set(hashes)
    assert (after["default"], after["canary"]) == (tried["default"], tried["canary"])


async def test_workers_hear_of_a_canary(server: Server) -> None:
    """Its hosts as of what they run now, all of them when it has a share; and of its end."""
    heard: list[Message] = []
    await server.broker.subscribe(CONTROL, heard.append)
    tried = await change(
        server, source=NEW, canary="new", canary_share=0.5, canary_hosts=["h2", "h1", "h2"]
    )
    default, canary = tried["default"], tried["canary"]
    assert tried["canary_hosts"] == ["h1", "h2"]
    await change(server, note="nothing that they care for")
    await change(server, canary_share=0.6)
    await change(server, canary_hosts=["h1"])
    await change(server, canary="")
    wanted = [
        Reload("sample/add", canary, Ahead(hosts=["h1", "h2"], is_default=True)),
        Reload("sample/add", canary, Ahead()),
        Reload("sample/add", default, Ahead(hosts=["h2"], is_default=True)),
        Reload("sample/add", canary, Ahead(hosts=["h1"], is_default=True)),
        Reload("sample/add", canary, Ahead()),
        Reload("sample/add", default, Ahead(hosts=["h1"], is_default=True)),
    ]
    await wait_until(lambda: len(heard) == len(wanted))
    assert [decode(each.body, Reload) for each in heard] == wanted


async def test_what_is_secret_to_the_canary_alone_is_sealed_too(tmp_path: Path) -> None:
    """Whichever of the two runs, the record shows stars where one of them takes a secret."""
    secret = (
        "from dts_core import Secret\n\n\ndef main(a: Secret, b: int = 1) -> int:\n    return b\n"
    )
    plain = "def main(a: str, b: int = 1) -> int:\n    return b\n"
    async with serve(tmp_path, sealer=Sealer([OpeningKey.new().public])) as server:
        await server.namespace()
        await server.function("sample/add", plain)
        tried = await change(server, source=secret, canary="new", canary_share=0.5)
        jobs = [await submit(server, args=["the word", 2]) for _ in range(20)]
        assert {job["version"] for job in jobs} == {tried["default"], tried["canary"]}
        for job in jobs:
            kept = (await server.call("GET", f"/jobs/{job['id']}")).json()
            assert (job["args"], kept["args"]) == (["***", 2], ["***", 2])
