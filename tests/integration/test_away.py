"""RabbitMQ or MongoDB away: every request is answered in the promised time, with a clear word, and no job is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest

from dts_core.api import context
from dts_core.api.app import create_app
from dts_core.brokers.base import Broker, DeadLetter, Message
from dts_core.brokers.embedded import EmbeddedBroker
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.clock import SystemClock
from dts_core.model import Host, JobQuery
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.services.building import build_services
from dts_core.services.container import Services
from dts_core.services.users import LOCAL, USERS
from dts_core.settings import BrokerSettings, RabbitSettings, ServerSettings, StoreSettings
from dts_core.sqlite import Database, prepare
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.stores.embedded import EmbeddedStore
from dts_core.stores.mongodb import open_store
from dts_core.stores.outbox import OutboxIntake
from dts_core.testing import wait_until
from dts_core.wiring.ports import declare_queues
from tests.support.asking import PROMISED_SECONDS, Answer, answers, asks
from tests.support.beats import make_beat
from tests.support.mongodb import MongoServer, private_mongodb
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode, vhost_of
from tests.support.server import NOOP, SECRET

SHORT_SECONDS: Final = 1.0
"""The time that a request has here, in place of the real one: adapters keep theirs, of which each alone is longer."""
BACK_SECONDS: Final = 60.0


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "ANSWER_SECONDS", SHORT_SECONDS)


class Side:
    """A control side's API on any store and broker."""

    def __init__(self, services: Services, http: httpx.AsyncClient, token: str) -> None:
        self.services, self.http, self.token = services, http, token

    async def ask_all(self) -> dict[str, list[Answer]]:
        """Everything at once, answered as promised; by the request."""
        found: dict[str, list[Answer]] = {}
        for each in await answers(self.http, asks("sample/noop", "h1", secret=SECRET), self.token):
            assert each.seconds < PROMISED_SECONDS, each
            found.setdefault(each.ask.name, []).append(each)
        return found

    async def states(self) -> list[JobState]:
        return [job.state for job in (await self.services.store.find_jobs(JobQuery())).items]


@asynccontextmanager
async def side(store: Store, broker: Broker) -> AsyncIterator[Side]:
    clock = SystemClock()
    settings = ServerSettings()
    services = build_services(store, OutboxIntake(store, broker, clock), broker, clock, settings)
    await declare_queues(broker, BrokerSettings())
    await services.start()
    await services.users.create(LOCAL, {"_id": "root", "role": "admin", "secret": SECRET})
    await services.namespaces.create(LOCAL, {"_id": "sample", "members": {"*": "submitter"}})
    await services.functions.create(LOCAL, {"_id": "sample/noop", "source": NOOP})
    now = datetime.now(UTC)
    beat = make_beat("h1", sequence=1, at=now)
    host = Host(name="h1", state="up", first_seen=now, last_beat=now, beat=beat)
    await store.save_hosts([host], [])
    known = await USERS.load(store, "root")
    token = (await services.sessions.issue(known, 1.0, LOCAL)).token
    app = cast("Any", create_app(services, settings))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        try:
            yield Side(services, http, token)
        finally:
            await services.stop()


@asynccontextmanager
async def embedded_store(folder: Path) -> AsyncIterator[tuple[Database, EmbeddedStore]]:
    path = folder / "dts.db"
    prepare(path, SCHEMA, MIGRATIONS)
    database = Database(path, asyncio.get_running_loop())
    store = EmbeddedStore(database, SystemClock())
    try:
        yield database, store
    finally:
        await store.close()


# --- RabbitMQ


@pytest.fixture
async def line(rabbit: RabbitNode) -> AsyncIterator[Proxy]:
    async with Proxy(rabbit.host, rabbit.port) as proxy:
        yield proxy


@pytest.fixture
async def on_rabbitmq(tmp_path: Path, rabbit: RabbitNode, line: Proxy) -> AsyncIterator[Side]:
    """RabbitMQ through the line, an embedded store with one dead letter."""
    url = rabbit.vhost()
    through = url.replace(f":{rabbit.port}/", f":{line.port}/")
    async with embedded_store(tmp_path) as (_, store):
        died = datetime.now(UTC)
        letter = DeadLetter(0, "jobs.default", died, "too often", Message(b"x", message_id="m"))
        await store.add_dead([("one", letter)])
        broker = await RabbitmqBroker.connect(
            through, graves=store, settings=RabbitSettings(settle_seconds=0)
        )
        try:
            async with side(store, broker) as made:
                yield made
        finally:
            line.resume()
            line.accept()
            await broker.close()
    rabbit.drop(rabbit.url(vhost_of(url)))


def told(found: list[Answer]) -> list[int]:
    return [each.status for each in found]


def check_without_broker(found: dict[str, list[Answer]]) -> None:
    """What is durable in the store is done, what needs the broker is refused with a word about it."""
    assert told(found["POST /jobs"]) == [201] * 4
    assert told(found["POST /jobs?wait=0.5"]) == [201]
    for refused in (
        "GET /queues",
        "POST /queues/jobs.default/pause",
        "POST /queues/dead-letters/send-again",
    ):
        [each] = found[refused]
        assert each.status == 503, each
        assert "RabbitMQ" in each.detail or "broker" in each.detail, each
        assert "tried again" in each.detail, each
    assert told(found["GET /health/ready"]) == [503]
    rest = [each for group in found.values() for each in group if each.status >= 500]
    assert len(rest) == 5, rest  # and resume


@pytest.mark.external("rabbitmq")
async def test_a_broker_that_refuses_is_told_and_jobs_wait_for_it(
    on_rabbitmq: Side, line: Proxy
) -> None:
    """Known to be away: said at once and in words, once for long; when it is back the jobs' messages can go out."""
    line.refuse()
    line.reset()
    supervisor = cast("Any", on_rabbitmq.services.broker)._supervisor
    await wait_until(lambda: not supervisor.ready.is_set(), BACK_SECONDS)
    check_without_broker(await on_rabbitmq.ask_all())
    assert set(await on_rabbitmq.states()) == {JobState.PENDING}
    away_long = asyncio.get_running_loop().time() - 2 * supervisor.deadline_seconds
    supervisor.away_since = min(supervisor.away_since, away_long)
    found = await on_rabbitmq.ask_all()
    check_without_broker(found)
    [pausing] = found["POST /queues/jobs.default/pause"]
    assert "is away for " in pausing.detail
    line.accept()
    await wait_until(supervisor.ready.is_set, BACK_SECONDS)
    answer = await on_rabbitmq.http.post(
        "/jobs",
        json={"function": "sample/noop"},
        headers={"Authorization": f"Bearer {on_rabbitmq.token}"},
    )
    assert answer.status_code == 201
    assert JobState.QUEUED in await on_rabbitmq.states()


@pytest.mark.external("rabbitmq")
async def test_a_broker_that_falls_silent_holds_nobody_up(on_rabbitmq: Side, line: Proxy) -> None:
    """Nobody has noticed yet: all waits of a request together take no longer than it has, and jobs are kept."""
    line.silence()
    check_without_broker(await on_rabbitmq.ask_all())
    assert set(await on_rabbitmq.states()) == {JobState.PENDING}


@pytest.mark.external("rabbitmq")
async def test_a_broker_that_takes_nothing_any_more_is_noticed_by_a_request(
    on_rabbitmq: Side, line: Proxy
) -> None:
    """A request waits for less than the connection has: it is doubted all the same, once that has passed."""
    supervisor = cast("Any", on_rabbitmq.services.broker)._supervisor
    line.silence()
    headers = {"Authorization": f"Bearer {on_rabbitmq.token}"}
    await on_rabbitmq.http.post("/jobs", json={"function": "sample/noop"}, headers=headers)
    assert supervisor.ready.is_set()
    await wait_until(lambda: not supervisor.ready.is_set(), BACK_SECONDS)


# --- MongoDB


@pytest.fixture(scope="module")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with private_mongodb(tmp_path_factory.mktemp("mongodb")) as server:
        yield server


def _silent(mongo: MongoServer, line: Proxy) -> Callable[[], None]:
    line.silence()
    return line.resume


def _frozen(mongo: MongoServer, line: Proxy) -> Callable[[], None]:
    mongo.freeze()
    return mongo.thaw


def _refused(mongo: MongoServer, line: Proxy) -> Callable[[], None]:
    line.refuse()
    line.reset()
    return line.accept


@pytest.mark.external("mongodb")
@pytest.mark.serial
@pytest.mark.parametrize("leave", [_silent, _frozen, _refused])
async def test_without_its_database_a_server_answers_and_accepts_nothing(
    tmp_path: Path, mongo: MongoServer, leave: Callable[[MongoServer, Proxy], Callable[[], None]]
) -> None:
    """Everything is refused in time with what is away; once it is back, everything is as it was, and works."""
    async with Proxy("127.0.0.1", mongo.port) as line, embedded_store(tmp_path) as (database, _):
        url = f"mongodb://127.0.0.1:{line.port}/{tmp_path.name[:40]}?directConnection=true"
        settings = StoreSettings(url=url, allow_standalone=True)
        store = await open_store(settings, SystemClock())
        broker = EmbeddedBroker(database)
        await broker.start()
        try:
            async with side(store, broker) as made:
                come_back = leave(mongo, line)
                try:
                    for _ in range(2):
                        check_without_store(await made.ask_all())
                finally:
                    come_back()
                await wait_until(lambda: _is_back(made), BACK_SECONDS)
                assert set(await made.states()) <= {JobState.QUEUED}
        finally:
            await broker.close()
            await store.close()


def check_without_store(found: dict[str, list[Answer]]) -> None:
    for name, group in found.items():
        if name == "GET /health/live":
            assert told(group) == [200]
            continue
        for each in group:
            assert each.status == 503, each
            assert name == "GET /health/ready" or "MongoDB" in each.detail, each


async def _is_back(made: Side) -> bool:
    headers = {"Authorization": f"Bearer {made.token}"}
    answer = await made.http.post("/jobs", json={"function": "sample/noop"}, headers=headers)
    return answer.status_code == 201
