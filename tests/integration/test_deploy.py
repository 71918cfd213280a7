"""`dts/deploy` the whole road on an owner of a data folder; the workers are played by heartbeats."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from dts_core import codec
from dts_core.brokers.base import CONTROL, HEARTBEATS, Message, Outgoing
from dts_core.daemons.base import running
from dts_core.model import Readied, Reload
from dts_core.services.users import LOCAL, USERS
from dts_core.settings import ServerFile
from dts_core.sqlite import OwnerLock
from dts_core.testing import wait_until
from dts_core.wiring.owner import open_owner
from dts_core.wiring.ports import Control
from tests.support.beats import make_beat
from tests.support.server import ADD, SECRET

PATH = "/admin/functions/sample/add/deploy"
Answer = Callable[[Reload], str | None]
"""Why a version is not ready, empty when it is; None: silence."""


class Desk:
    """An owner with a function, users, and workers that answer as they are told."""

    def __init__(self, opened: Control, client: httpx.AsyncClient) -> None:
        self.services = opened.services
        self.client = client
        self.orders: list[Reload] = []
        self.tokens: dict[str, str] = {}
        self._answers: dict[tuple[str, str], Answer] = {}
        self._beats = 0
        self._asked: list[Message] = []

    async def user(self, name: str, role: str = "submitter") -> None:
        users, sessions = self.services.users, self.services.sessions
        await users.create(LOCAL, {"_id": name, "role": role, "secret": SECRET})
        known = await USERS.load(self.services.store, name)
        self.tokens[name] = (await sessions.issue(known, 1.0, LOCAL)).token

    async def call(
        self, method: str, path: str, user: str = "root", **options: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        return await self.client.request(method, path, headers=headers, **options)

    async def worker(self, host: str, worker: str, answer: Answer = lambda order: "") -> None:
        """A worker that lives, and what it says to an order."""
        self._answers[host, worker] = answer
        await self._beat(host, worker, [])

        async def is_known() -> bool:
            hosts = {each.name: each for each in await self.services.store.hosts()}
            return host in hosts and worker in hosts[host].worker_names

        await wait_until(is_known, what=f"{worker} is known")

    async def listen(self) -> None:
        await self.services.broker.subscribe(CONTROL, self._asked.append)

    async def work(self) -> None:
        """Let the workers answer what was asked of them so far."""
        while self._asked:
            message = self._asked.pop(0)
            if message.type != "Reload":
                continue
            order = codec.decode(message.body, Reload)
            if order.ahead is None or not order.ahead.order:
                continue
            self.orders.append(order)
            for (host, worker), answer in self._answers.items():
                why = answer(order)
                if why is not None and (not order.ahead.hosts or host in order.ahead.hosts):
                    said = Readied(
                        order=order.ahead.order, worker="somebody else", function=order.function,
                        hash=order.hash, why=why, runs="" if why else order.hash,
                    )  # fmt: skip
                    await self._beat(host, worker, [said])

    async def _beat(self, host: str, worker: str, readied: list[Readied]) -> None:
        self._beats += 1
        now = self.services.clock.now()
        beat = make_beat(host, sequence=self._beats, at=now, worker=worker, readied=readied)
        body = codec.encode(beat)
        await self.services.broker.publish([Outgoing(HEARTBEATS, Message(body, type="Heartbeat"))])

    async def deploy(self, user: str = "root", **body: Any) -> dict[str, Any]:
        """Start one; the job as it was accepted."""
        answer = await self.call("POST", PATH, user, json=body)
        assert answer.status_code == 201, answer.text
        job: dict[str, Any] = answer.json()
        assert job["function"] == "dts/deploy"
        return job

    async def ended(self, job: dict[str, Any], user: str = "root") -> dict[str, Any]:
        """The job at its end; the workers answer meanwhile."""
        found: dict[str, Any] = {}

        async def is_over() -> bool:
            await self.work()
            found.update((await self.call("GET", f"/jobs/{job['id']}", user)).json())
            return found["state"] in ("done", "failed", "cancelled")

        await wait_until(is_over, what="the deploy is over")
        return found

    async def default(self) -> str:
        found = await self.services.functions.load(LOCAL, "sample/add")
        return found.default


@asynccontextmanager
async def _desk(folder: Path) -> AsyncIterator[Desk]:
    folder.mkdir(mode=0o700)
    lock = OwnerLock(folder)
    try:
        async with (
            open_owner(folder, ServerFile()) as opened,
            running(opened.parts),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(opened.app), base_url="http://dts"
            ) as client,
        ):
            desk = Desk(opened, client)
            await desk.user("root", "admin")
            await desk.services.namespaces.create(
                LOCAL, {"_id": "sample", "members": {"ann": "admin", "bob": "submitter"}}
            )
            await desk.services.functions.create(LOCAL, {"_id": "sample/add", "source": ADD})
            await desk.listen()
            yield desk
    finally:
        lock.release()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with _desk(tmp_path / "data") as found:
        yield found


async def test_every_live_worker_has_it_and_says_what_it_runs(desk: Desk) -> None:
    """Each worker of each host, by the name that it beats with; log and progress are a job's."""
    for host, worker in (("h1", "h1-1"), ("h1", "h1-2"), ("h2", "h2-1")):
        await desk.worker(host, worker)
    version = await desk.default()
    job = await desk.ended(await desk.deploy())
    assert job["state"] == "done", job
    ready = {"state": "ready", "why": "", "runs": version}
    assert job["result"] == {
        "function": "sample/add",
        "version": version,
        "hosts": {
            "h1": {"state": "ready", "why": "", "workers": {"h1-1": ready, "h1-2": ready}},
            "h2": {"state": "ready", "why": "", "workers": {"h2-1": ready}},
        },
        "ready": ["h1", "h2"],
        "failed": [],
        "silent": [],
    }
    assert {(each.hash, each.function) for each in desk.orders} == {(version, "sample/add")}

    async def told() -> bool:
        lines = (await desk.call("GET", "/logs", params={"job": job["id"]})).json()["items"]
        return any("goes to 2 hosts" in line["text"] for line in lines)

    await wait_until(told, what="the log of the job")


async def test_who_fails_and_who_is_silent_is_told_apart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, once the time is over; the job is done all the same: its result is the report."""
    await desk.worker("h1", "h1-1")
    await desk.worker("h2", "h2-1", lambda order: "no module named pump")
    await desk.worker("h3", "h3-1", lambda order: None)
    asked = await desk.deploy(wait_seconds=600)

    async def has_told() -> bool:
        await desk.work()
        job = (await desk.call("GET", f"/jobs/{asked['id']}")).json()
        return bool(job["progress_text"] == "2 of 3 hosts")

    await wait_until(has_told)
    monkeypatch.setattr("dts_core.builtin.deploy.monotonic", lambda: monotonic() + 600)
    job = await desk.ended(asked)
    result = job["result"]
    assert job["state"] == "done"
    named = {state: result[state] for state in ("ready", "failed", "silent")}
    assert named == {"ready": ["h1"], "failed": ["h2"], "silent": ["h3"]}
    failed, silent = (result["hosts"][host]["workers"][f"{host}-1"] for host in ("h2", "h3"))
    assert failed == {"state": "failed", "why": "no module named pump", "runs": ""}
    assert "has not answered" in silent["why"]


async def test_named_hosts_and_a_version_that_is_not_the_default(desk: Desk) -> None:
    """Only they are told; what is not what they run by default is only fetched."""
    for host in ("h1", "h2"):
        await desk.worker(host, f"{host}-1")
    old = await desk.default()
    await desk.services.functions.update(
        LOCAL, "sample/add", {"source": ADD.replace("+", "-"), "revision": 1}
    )
    job = await desk.ended(await desk.deploy(version=old, hosts=["h2"]))
    assert (job["result"]["version"], list(job["result"]["hosts"])) == (old, ["h2"])
    [order] = {(each.hash, tuple(each.ahead.hosts), each.ahead.is_default)
               for each in desk.orders if each.ahead}  # fmt: skip
    assert order == (old, ("h2",), False)


async def test_an_order_that_is_lost_is_told_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fanout may lose, and so may heartbeats."""
    monkeypatch.setattr("dts_core.builtin.deploy.AGAIN_SECONDS", 0.1)
    await desk.worker("h1", "h1-1", lambda order: None if len(desk.orders) < 3 else "")
    job = await desk.ended(await desk.deploy())
    assert job["result"]["ready"] == ["h1"]
    assert len(desk.orders) >= 3


async def test_a_deploy_is_cancelled_like_any_job(desk: Desk) -> None:
    """It waits for a host that says nothing, and stops at once."""
    await desk.worker("h1", "h1-1", lambda order: None)
    job = await desk.deploy()

    async def runs() -> bool:
        return bool((await desk.call("GET", f"/jobs/{job['id']}")).json()["state"] == "running")

    await wait_until(runs)
    assert (await desk.call("POST", f"/jobs/{job['id']}/cancel")).status_code == 200
    assert (await desk.ended(job))["state"] == "cancelled"


async def test_without_a_host_there_is_nothing_to_wait_for(desk: Desk) -> None:
    """The report is empty, and says so at once."""
    job = await desk.ended(await desk.deploy())
    assert (job["state"], job["result"]["hosts"]) == ("done", {})


async def test_what_cannot_be_deployed_is_refused(desk: Desk) -> None:
    """By name, before there is a job; a job that was asked for by hand fails for good with the same words."""
    for body, field in (
        ({"version": "0" * 64}, "version"),
        ({"hosts": ["nowhere"]}, "hosts"),
        ({"hosts": []}, "hosts"),
        ({"wait_seconds": 601}, "wait_seconds"),
    ):
        answer = await desk.call("POST", PATH, json=body)
        assert answer.status_code in (400, 422), answer.text
        assert field in answer.text
    path = PATH.replace("add", "none")
    assert (await desk.call("POST", path, json={})).status_code == 404
    for kwargs, words in (
        ({"function": "sample/none"}, "no function"),
        ({"function": "sample/add", "version": "0" * 64}, "no version"),
        ({"function": "sample/add", "hosts": ["nowhere"]}, "no host nowhere"),
    ):
        asked = {"function": "dts/deploy", "kwargs": kwargs, "retries": 3}
        job = await desk.ended((await desk.call("POST", "/jobs", json=asked)).json())
        assert (job["state"], job["attempt"], job["error"]["type"]) == (
            "failed",
            1,
            "DeployRefused",
        )
        assert words in job["error"]["message"]


async def test_who_may_change_the_function_may_deploy_it(desk: Desk) -> None:
    """An administrator of the namespace, and nobody below; both attempts are recorded; the job is the caller's own."""
    await desk.user("ann")
    await desk.user("bob")
    await desk.worker("h1", "h1-1")
    refused = await desk.call("POST", PATH, "bob", json={})
    assert refused.status_code == 403
    job = await desk.ended(await desk.deploy("ann", hosts=["h1"]), "ann")
    assert (job["state"], job["submitter"]) == ("done", "ann")
    direct = {"function": "dts/deploy", "kwargs": {"function": "sample/add"}}
    assert (await desk.call("POST", "/jobs", "ann", json=direct)).status_code == 403
    found = (await desk.call("GET", "/admin/operations?collection=functions&limit=2")).json()
    done, tried = found["items"]
    assert (done["operator"], done["op_type"], done["doc_id"]) == ("ann", "deploy", "sample/add")
    assert done["ops"] == {"version": [None, await desk.default()], "hosts": [None, ["h1"]]}
    assert (tried["operator"], tried["op_type"], bool(tried["refused"])) == ("bob", "deploy", True)


async def test_the_same_key_is_the_same_deploy(desk: Desk) -> None:
    """A request whose answer was lost is sent again without a second job; for another one the key is taken."""
    headers = {"Authorization": f"Bearer {desk.tokens['root']}", "Idempotency-Key": "k"}
    first, again = [
        (await desk.client.post(PATH, json={}, headers=headers)).json()["id"] for _ in range(2)
    ]
    assert first == again
    other = await desk.client.post(PATH, json={"wait_seconds": 5}, headers=headers)
    assert other.status_code == 409
