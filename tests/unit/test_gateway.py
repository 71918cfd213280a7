"""The gateway: whom it launches, when it lets go, and what it says; without a network."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dts_core import codec
from dts_core.brokers.base import Message
from dts_core.brokers.link_policy import Pass
from dts_core.daemons.agents import Served
from dts_core.daemons.gateway import Gateway
from dts_core.errors import BrokerUnavailable, DtsError, HostUnreachable
from dts_core.model import Drain, VirtualHost
from dts_core.settings import GatewaySettings
from dts_core.testing import wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = GatewaySettings(look_seconds=0.01, drain_seconds=60, backoff_max_seconds=0.01)


def vhost(name: str, **fields: Any) -> VirtualHost:
    given: dict[str, Any] = {"address": "10.0.0.1", "user": "u", "mode": "agent"} | fields
    return VirtualHost(id=name, created_at=NOW, updated_at=NOW, **given)


class Worker:
    """A launched worker, and what serves it."""

    def __init__(self, own: Pass) -> None:
        self.own = own
        self.held = 0
        self.told: list[Any] = []
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.patience = 0.0
        self.last_words = ""
        self.is_gone = False

    @property
    def reader(self) -> Any:
        return self

    @property
    def writer(self) -> Any:
        return self

    def tell(self, message: Message) -> None:
        self.told.append(codec.decode(message.body, Drain))

    def dismiss(self, reason: str) -> None:
        self.end(reason)

    def end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class Hosts:
    """Where the gateway launches, and what is stored."""

    def __init__(self) -> None:
        self.stored: dict[str, VirtualHost] = {}
        self.workers: list[Worker] = []
        self.trouble: Exception | None = None
        self.away: DtsError | None = None
        self.slow: asyncio.Event | None = None
        self.begun = 0
        self.gateway = Gateway(self.read, self.launch, self.serve, SETTINGS)

    def put(self, *vhosts: VirtualHost) -> None:
        self.stored |= {each.id: each for each in vhosts}

    async def read(self) -> list[VirtualHost]:
        if self.away is not None:
            raise self.away
        return list(self.stored.values())

    @asynccontextmanager
    async def launch(self, vhost: VirtualHost, own: Pass) -> AsyncIterator[Worker]:
        assert own.host == vhost.id
        self.begun += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.trouble is not None:
            raise self.trouble
        worker = Worker(own)
        self.workers.append(worker)
        try:
            yield worker
        finally:
            worker.is_gone = True

    async def serve(
        self, reader: Any, writer: Any, own: Pass, *,
        on_session: Callable[[Served], None], on_forbidden: Callable[[DtsError], None],
    ) -> str:  # fmt: skip
        del writer, on_forbidden
        on_session(reader)
        return str(await asyncio.shield(reader.ended))

    def living(self) -> list[str]:
        return sorted(each.own.host for each in self.workers if not each.is_gone)

    async def until(self, *hosts: str) -> None:
        await wait_until(lambda: self.living() == sorted(hosts), what=f"workers on {hosts}")


@pytest.fixture
async def hosts() -> AsyncIterator[Hosts]:
    found = Hosts()
    running = asyncio.ensure_future(found.gateway.run())
    yield found
    assert not running.done()
    running.cancel()
    await asyncio.wait((running,), timeout=60)
    assert found.living() == []


async def test_it_follows_the_virtual_hosts(hosts: Hosts) -> None:
    """Only those in mode agent that are not disabled have a worker, each one of its own name."""
    hosts.put(vhost("a"), vhost("b"), vhost("c", mode="service"), vhost("d", disabled=True))
    await hosts.until("a", "b")
    assert hosts.gateway.words == {"a": "up", "b": "up"}
    assert len({each.own.worker for each in hosts.workers}) == 2
    hosts.put(vhost("b", disabled=True), vhost("c"), vhost("d"))
    await hosts.until("a", "c", "d")
    del hosts.stored["a"]
    await hosts.until("c", "d")
    await wait_until(lambda: set(hosts.gateway.words) == {"c", "d"}, what="nothing is said of a")


async def test_a_host_that_is_let_go_finishes_first(hosts: Hosts) -> None:
    """It is told to take nothing new; once it holds nothing its link is ended, and not before."""
    hosts.put(vhost("a"))
    await hosts.until("a")
    worker = hosts.workers[0]
    worker.held = 1
    hosts.put(vhost("a", disabled=True))
    await wait_until(lambda: worker.told == [Drain("a")], what="it is told")
    assert not worker.ended.done()
    worker.held = 0
    await hosts.until()


async def test_another_way_means_another_worker(hosts: Hosts) -> None:
    """What its worker depends on launches it anew, one after the other; words for people do not."""
    hosts.put(vhost("a"))
    await hosts.until("a")
    hosts.put(vhost("a", description="words", labels={"rack": "1"}, revision=2))
    hosts.put(vhost("b"))
    await hosts.until("a", "b")
    assert [each.own.host for each in hosts.workers] == ["a", "b"]
    hosts.put(msgspec.structs.replace(hosts.stored["a"], port=2222, revision=3))
    await wait_until(lambda: len(hosts.workers) == 3, what="another one")
    assert hosts.workers[0].is_gone
    await hosts.until("a", "b")


async def test_nothing_is_launched_on_a_host_that_goes_meanwhile(hosts: Hosts) -> None:
    """Removed while it is being logged in to: that ends at once, and no worker is started, however late it answers."""
    hosts.slow = asyncio.Event()
    hosts.put(vhost("a"))
    await wait_until(lambda: hosts.begun == 1, what="it is being logged in to")
    del hosts.stored["a"]
    await wait_until(lambda: not hosts.gateway.words, what="it is let go")
    hosts.slow.set()
    hosts.put(vhost("b"))
    await hosts.until("b")
    assert [each.own.host for each in hosts.workers] == ["b"]


async def test_what_was_taken_away_is_not_launched(hosts: Hosts) -> None:
    """A set-up that was removed leaves the virtual host; its worker finishes, and comes back with the next set-up."""
    hosts.put(vhost("a", set_up_by="one"))
    await hosts.until("a")
    hosts.workers[0].held = 1
    hosts.put(vhost("a", set_up_by="one", taken_away_by="two"))
    await wait_until(lambda: hosts.workers[0].told == [Drain("a")], what="it is told")
    hosts.workers[0].held = 0
    await hosts.until()
    await wait_until(lambda: not hosts.gateway.words, what="nothing is said of it")
    hosts.put(vhost("a", set_up_by="three"))
    await hosts.until("a")
    assert hosts.workers[-1].own.worker.startswith("a-three-")


async def test_a_lost_worker_is_launched_again_and_why_is_told(hosts: Hosts) -> None:
    """Its end, a host that cannot be reached and a mistake of ours: each is told and tried again, the others go on."""
    hosts.put(vhost("a"), vhost("b"))
    await hosts.until("a", "b")
    first = next(each for each in hosts.workers if each.own.host == "a")
    hosts.trouble = HostUnreachable("nobody answers", host="a")
    first.last_words = "exit status 7"
    first.end("the peer closed the stream.")
    await wait_until(lambda: "nobody answers" in hosts.gateway.words["a"], what="it is told")
    hosts.trouble = RuntimeError("a mistake")
    await wait_until(lambda: "RuntimeError" in hosts.gateway.words["a"], what="that too")
    assert hosts.gateway.words["b"] == "up"
    hosts.trouble = None
    await hosts.until("a", "b")
    assert hosts.workers[-1].own.worker != first.own.worker


async def test_a_store_that_is_away_changes_nothing(hosts: Hosts) -> None:
    """What runs goes on; when it is back it is followed again."""
    hosts.put(vhost("a"))
    await hosts.until("a")
    hosts.away = BrokerUnavailable("it is away.")
    hosts.put(vhost("b"))
    hosts.gateway.look_soon()
    assert hosts.living() == ["a"]
    hosts.away = None
    await hosts.until("a", "b")
