"""The owner of a data folder as `wiring` puts it together, without a socket to the outside."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from dts_core.daemons.base import PartDied, running
from dts_core.hosting.credentials import Administrator
from dts_core.hosting.samples import NAMESPACE, add_samples
from dts_core.model import JobCounts
from dts_core.services.stream import StreamHub
from dts_core.services.users import LOCAL
from dts_core.settings import BrokerSettings, QueueNames, ServerFile
from dts_core.sqlite import OwnerLock
from dts_core.wiring.owner import open_owner
from dts_core.wiring.ports import Control


@asynccontextmanager
async def owner(folder: Path, settings: ServerFile | None = None) -> AsyncIterator[Control]:
    """An open owner with its parts running."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "plugins").mkdir(exist_ok=True)
    lock = OwnerLock(folder)
    try:
        async with open_owner(folder, settings or ServerFile()) as opened, running(opened.parts):
            yield opened
    finally:
        lock.release()


@asynccontextmanager
async def http(opened: Control, token: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(opened.app)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://dts", headers=headers
    ) as client:
        yield client


async def administrator(folder: Path, opened: Control) -> str:
    """See that there is one; returns the token."""
    await Administrator(folder, opened.services.users, opened.services.sessions).ensure()
    token: str = json.loads((folder / "admin.json").read_bytes())["token"]
    return token


async def test_internal_worker_answers_by_the_queue(tmp_path: Path) -> None:
    """`dts/status` goes the whole road of a job inside the owner, and its value is the answer."""
    async with owner(tmp_path / "d") as opened:
        token = await administrator(tmp_path / "d", opened)
        async with http(opened, token) as client:
            answer = await client.post(
                "/jobs", params={"wait": 20}, json={"function": "dts/status"}
            )
            assert answer.status_code == 201
            job = answer.json()
            assert (job["state"], job["host"], job["worker"]) == ("done", "control", "internal")
            assert (job["epoch"], job["attempt"], job["losses"]) == (1, 1, 0)
            assert job["result"]["components"]["porter"] == "up"


async def test_queues_bear_the_names_of_the_settings(tmp_path: Path) -> None:
    """[broker.mq] renames the queues, and a job still goes its road."""
    names = QueueNames(jobs="work", results="ends", heartbeats="beats", logs="words")
    settings = ServerFile(broker=BrokerSettings(mq=names))
    async with owner(tmp_path / "d", settings) as opened:
        stats = {queue.name for queue in await opened.services.broker.stats()}
        assert {"work.default", "work.dts", "ends", "beats", "words", "requests"} <= stats
        token = await administrator(tmp_path / "d", opened)
        async with http(opened, token) as client:
            answer = await client.post(
                "/jobs", params={"wait": 20}, json={"function": "dts/status"}
            )
            assert answer.json()["state"] == "done"


async def test_jobs_of_the_internal_worker_survive_a_restart(tmp_path: Path) -> None:
    """What was accepted and not run runs after the next start."""
    folder = tmp_path / "d"
    folder.mkdir(mode=0o700)
    lock = OwnerLock(folder)
    async with open_owner(folder, ServerFile()) as opened:  # no part runs: nobody takes it
        token = await administrator(folder, opened)
        async with http(opened, token) as client:
            job_id = (await client.post("/jobs", json={"function": "dts/status"})).json()["id"]
    lock.release()
    async with owner(folder) as opened, http(opened, token) as client:
        job = (await client.get(f"/jobs/{job_id}", params={"wait": 20})).json()
        assert job["state"] == "done"


async def test_folder_is_found_again(tmp_path: Path) -> None:
    """Users, token and audit key outlive the owner; nothing is made twice."""
    folder = tmp_path / "d"
    async with owner(folder) as opened:
        token = await administrator(folder, opened)
        await add_samples(opened.services)
        key = (folder / "audit.key").read_bytes()
    async with owner(folder) as opened:
        assert await administrator(folder, opened) == token
        await add_samples(opened.services)
        page = await opened.services.functions.page(LOCAL, namespace=NAMESPACE, limit=500)
        assert len(page.items) == len({item.id for item in page.items}) >= 7
        assert all(len(item.versions) == 1 for item in page.items)
        assert (folder / "audit.key").read_bytes() == key
        assert stat.S_IMODE((folder / "audit.key").stat().st_mode) == 0o600


async def test_lost_or_changed_credentials_are_told_not_reset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without admin.json, or with another secret since, the start goes on and says what to do."""
    folder = tmp_path / "d"
    async with owner(folder) as opened:
        token = await administrator(folder, opened)
        users, sessions = opened.services.users, opened.services.sessions
        await users.update(LOCAL, "admin", {"secret": "another secret than that"})
        await Administrator(folder, users, sessions).ensure()
        assert "is out of date" in caplog.text
        (folder / "admin.json").unlink()
        await Administrator(folder, users, sessions).ensure()
        assert "is missing" in caplog.text
        assert not (folder / "admin.json").exists()
        assert token not in caplog.text


async def test_half_made_folder_is_completed(tmp_path: Path) -> None:
    """Killed after the samples and before the administrator: the next start makes the rest."""
    folder = tmp_path / "d"
    async with owner(folder) as opened:
        await add_samples(opened.services)
    async with owner(folder) as opened:
        made = Administrator(folder, opened.services.users, opened.services.sessions)
        assert await made.is_new()
        await add_samples(opened.services)
        await made.ensure()
        assert not await made.is_new()
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600


async def test_plugin_folder_of_the_settings(tmp_path: Path) -> None:
    """[server] plugins names another folder than the data folder's own."""
    plugins = tmp_path / "mine"
    plugins.mkdir()
    (plugins / "hello.py").write_text("async def main(name: str):\n    return f'hello {name}'\n")
    settings = ServerFile(server=type(ServerFile().server)(plugins=str(plugins)))
    async with owner(tmp_path / "d", settings) as opened:
        token = await administrator(tmp_path / "d", opened)
        async with http(opened, token) as client:
            body = {"function": "dts/plugin.hello", "args": ["you"]}
            job = (await client.post("/jobs", params={"wait": 30}, json=body)).json()
            assert (job["state"], job["result"]) == ("done", "hello you")


async def test_background_work_that_dies_takes_the_owner_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams that nobody feeds any more are no server: the process ends with the reason."""

    async def broken(self: StreamHub) -> None:
        raise RuntimeError("the test broke it")

    monkeypatch.setattr(StreamHub, "run", broken)

    async def serve() -> None:
        async with owner(tmp_path / "d"):
            await asyncio.Event().wait()

    with pytest.raises(PartDied, match="services died: RuntimeError: the test broke it"):
        await asyncio.wait_for(serve(), 60)


async def test_cancel_before_the_start(tmp_path: Path) -> None:
    """A job of dts/ that is cancelled while it waits for the internal worker never runs."""
    folder = tmp_path / "d"
    folder.mkdir(mode=0o700)
    (folder / "plugins").mkdir()
    mark = tmp_path / "mark"
    source = f"from pathlib import Path\ndef main():\n    Path({str(mark)!r}).touch()\n"
    (folder / "plugins" / "touch.py").write_text(source)
    lock = OwnerLock(folder)
    async with open_owner(folder, ServerFile()) as opened:
        token = await administrator(folder, opened)
        async with http(opened, token) as client:
            body = {"function": "dts/plugin.touch"}
            job_id = (await client.post("/jobs", json=body)).json()["id"]
            await client.post(f"/jobs/{job_id}/cancel")
    lock.release()
    async with owner(folder) as opened:
        await asyncio.sleep(0)
        async with http(opened, token) as client:
            await client.post("/jobs", params={"wait": 20}, json={"function": "dts/status"})
            assert (await client.get(f"/jobs/{job_id}")).json()["state"] == "cancelled"
            counts: JobCounts = await opened.services.store.count_jobs()
            assert counts.states["cancelled"] == 1
    assert not mark.exists()


async def test_two_servers_at_once_make_one_administrator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On one empty store the faster one's file holds the secret; the other keeps none, and says so."""
    folders = [tmp_path / name for name in ("a", "b")]
    for each in folders:
        each.mkdir()
    async with owner(tmp_path / "d") as opened:
        made = [
            Administrator(each, opened.services.users, opened.services.sessions) for each in folders
        ]
        await asyncio.gather(*(each.ensure() for each in made))
        kept = [each.path for each in made if each.path.exists()]
        assert len(kept) == 1
        assert "admin.json is missing" in caplog.text
        async with http(opened, json.loads(kept[0].read_bytes())["token"]) as client:
            assert (await client.get("/session")).status_code == 200
