"""MongoDB away, frozen, killed: calls end in time, and what was acknowledged is there afterwards."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dts_core.clock import SystemClock
from dts_core.errors import ConfigError, StoreUnavailable
from dts_core.model import JobQuery, LogQuery, LogRecord, Operation
from dts_core.settings import StoreSettings
from dts_core.states import JobEvent, JobState
from dts_core.stores.mongodb import MongoStore, open_store
from dts_core.stores.mongodb.positions import Taken
from dts_core.testing import START, wait_until
from tests.support.jobs import make_job, move
from tests.support.mongodb import MongoServer, private_mongodb

pytestmark = [pytest.mark.external("mongodb"), pytest.mark.serial]
DEADLINE = 1.0
PATIENT = 30.0
OPERATION = Operation(
    id="o", collection="users", doc_id="a", op_type="create", operator="x", timestamp=START
)
CALLS: dict[str, Callable[[MongoStore], Awaitable[object]]] = {
    "ping": lambda store: store.ping(),
    "insert": lambda store: store.insert_jobs([make_job()]),
    "accept": lambda store: store.accept_jobs([make_job()]),
    "apply": lambda store: store.apply([move("nobody", JobEvent.CLAIM)]),
    "get": lambda store: store.get_job("nobody"),
    "find": lambda store: store.find_jobs(JobQuery(state=(JobState.DONE,), host="h")),
    "changed": lambda store: store.changed_jobs(0),
    "count": lambda store: store.count_jobs(),
    "renew": lambda store: store.renew([("nobody", 1)], START),
    "document": lambda store: store.write_document("users", "a", b"1", OPERATION),
    "logs": lambda store: store.add_logs([LogRecord(START, "h", "s", 20, "a")]),
    "find logs": lambda store: store.find_logs(LogQuery(job="j")),
    "role": lambda store: store.hold_role("r", "a", 10),
    "parts": lambda store: store.parts(),
    "letters": lambda store: store.dead_letters(),
    "roll up": lambda store: store.roll_up(START, fine=START - START, coarse=START - START),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with private_mongodb(tmp_path_factory.mktemp("mongodb")) as server:
        yield server


@asynccontextmanager
async def opened(server: MongoServer, seconds: float) -> AsyncIterator[MongoStore]:
    settings = StoreSettings(url=server.url + "dts", deadline_seconds=seconds)
    store = await open_store(settings, SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def in_time(call: Awaitable[object]) -> None:
    """It ends with StoreUnavailable by its deadline; twenty times that is room for a slow machine."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await call
    assert time.monotonic() - began < 20 * DEADLINE


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["frozen", "killed"])
async def test_every_call_ends_in_time_while_the_server_is_away(
    server: MongoServer, outage: str
) -> None:
    """One after the other and many at once; when the server is back, so is the store, by itself."""
    async with opened(server, PATIENT) as store:
        await store.ping()
        store.deadline_seconds = DEADLINE
        if outage == "frozen":
            server.freeze()
        else:
            server.kill()
        try:
            for call in CALLS.values():
                await in_time(call(store))
            await asyncio.gather(*(in_time(store.ping()) for _ in range(40)))
        finally:
            if outage == "frozen":
                server.thaw()
            else:
                server.start()
        store.deadline_seconds = PATIENT

        async def back() -> bool:
            try:
                await store.ping()
            except StoreUnavailable:
                return False
            return True

        await wait_until(back, 60)
        assert store.metrics()["store_failures"] >= len(CALLS)


async def test_a_store_is_closed_while_its_server_stands_still(server: MongoServer) -> None:
    """A stop does not wait for a server that does not answer, and holds nobody else up; closed is closed."""
    async with opened(server, 5 * DEADLINE) as store:
        await store.ping()
        server.freeze()
        try:
            async with asyncio.timeout(PATIENT):
                await store.close()
                await store.close()
        finally:
            server.thaw()
        with pytest.raises(StoreUnavailable):
            await store.ping()


@pytest.mark.slow
async def test_what_was_acknowledged_survives_a_kill(server: MongoServer) -> None:
    """Killed in the midst of many writes: every job that was answered for is there, in its state, counted once."""
    accepted: list[str] = []
    claimed: list[str] = []

    async def submit(store: MongoStore) -> None:
        while True:
            job = make_job()
            await store.accept_jobs([job])
            accepted.append(job.id)
            [outcome] = await store.apply([move(job, JobEvent.CLAIM)])
            assert outcome.applied
            claimed.append(job.id)

    async with opened(server, PATIENT) as store:
        store.deadline_seconds = 5.0
        tasks = [asyncio.ensure_future(submit(store)) for _ in range(4)]
        await wait_until(lambda: len(claimed) >= 30, 60)
        await asyncio.to_thread(server.kill)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, StoreUnavailable) for end in ends), ends
    server.start()
    async with opened(server, PATIENT) as store:
        kept = {job.id: job.state for job in await store.get_jobs(accepted)}
        assert set(kept) == set(accepted)
        assert all(kept[job] is JobState.RUNNING for job in claimed)


async def test_counts_are_right_after_a_server_stood_still_amid_writes(
    server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen after the jobs were written and before they are counted, so that nobody hears how it ended."""
    async with opened(server, PATIENT) as store:
        jobs = [make_job(state=JobState.PENDING) for _ in range(5)]
        await store.accept_jobs(jobs)
        sequence = store._shared.jobs
        settle = sequence.settle

        async def standing_still(taken: Taken, increments: dict[str, int] | None = None) -> bool:
            server.freeze()
            return await settle(taken, increments)

        store.deadline_seconds = DEADLINE
        with monkeypatch.context() as patch:
            patch.setattr(sequence, "settle", standing_still)
            try:
                with pytest.raises(StoreUnavailable):
                    await store.apply([move(job, JobEvent.PUBLISH) for job in jobs])
            finally:
                server.thaw()
        store.deadline_seconds = PATIENT
        stand = await asyncio.to_thread(_let_lapse, server)
        assert stand["queued"] >= len(jobs)
        await store.mend_counts()
        counted = (await store.count_jobs()).states
        assert {state: count for state, count in counted.items() if count} == stand
        assert (await store.submitter_record(jobs[0].submitter)).counts == stand


def _let_lapse(server: MongoServer) -> dict[str, int]:
    """Let what nobody settled be passed over at once; how many jobs stand in each state."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(server.url) as client:
        database: Database[dict[str, Any]] = client["dts"]
        database["figures"].update_one({"_id": "jobs"}, {"$set": {"open.$[].until": 1}})
        return dict(Counter(doc["state"] for doc in database["jobs"].find()))


async def test_nobody_there_is_said_in_time(tmp_path: Path) -> None:
    """A start without a server ends with what to do, not with a hang."""
    settings = StoreSettings(url="mongodb://127.0.0.1:9/dts", deadline_seconds=DEADLINE)
    await in_time(open_store(settings, SystemClock()))


async def test_a_standalone_server_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    """It cannot keep every promise: the start says so and how to go on; whoever takes the risk may."""
    with private_mongodb(tmp_path, "--standalone") as server:
        url = server.url + "dts"
        with pytest.raises(ConfigError) as caught:
            await open_store(StoreSettings(url=url, deadline_seconds=PATIENT), SystemClock())
        assert "standalone" in str(caught.value)
        assert "allow_standalone" in caught.value.advice
        settings = StoreSettings(url=url, deadline_seconds=PATIENT, allow_standalone=True)
        store = await open_store(settings, SystemClock())
        try:
            await store.insert_jobs([make_job()])
            assert (await store.count_jobs()).states["queued"] == 1
        finally:
            await store.close()
