"""The store with many jobs in it: each offered filter and order, the dashboard's figures, the rate of transitions."""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dts_core.clock import SystemClock
from dts_core.model import Job, JobError, JobQuery, Transition
from dts_core.names import new_id
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.sqlite import Connection, Database, connect, prepare
from dts_core.states import JobEvent, JobState
from dts_core.stores.embedded import EmbeddedStore
from dts_core.stores.embedded.writer import JobWriter

CHUNK = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
SPACING = timedelta(seconds=2)
NAMESPACES = ["alpha", "beta", "gamma", "delta", "sample", "rare"]
STATES = {
    JobState.DONE: 93.9,
    JobState.FAILED: 4.0,
    JobState.CANCELLED: 0.8,
    JobState.EXPIRED: 0.3,
    JobState.DEAD: 0.05,
    JobState.QUEUED: 0.7,
    JobState.RUNNING: 0.05,
    JobState.SCHEDULED: 0.2,
}
FINISHED = {JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED, JobState.DEAD}


def jobs(rows: int, chance: random.Random) -> Iterator[Job]:
    """Jobs as a busy installation has them: some values common, some rare, some only long ago."""
    states = chance.choices(list(STATES), weights=list(STATES.values()), k=rows)
    for at, state in enumerate(states):
        created = START + at * SPACING
        namespace = "rare" if chance.random() < 0.0005 else NAMESPACES[at % 5]
        name = "seldom" if chance.random() < 0.001 else f"task{chance.randrange(40)}"
        host = (
            "" if state in (JobState.QUEUED, JobState.SCHEDULED) else f"node{chance.randrange(60)}"
        )
        if at < rows // 50:
            host = "retired"
        yield Job(
            id=new_id(),
            function=f"{namespace}/{name}",
            version="0" * 64,
            args=b'["some/path/of/an/input", 42, {"depth": 3}]',
            submitter="seldom" if chance.random() < 0.0002 else f"user{chance.randrange(25)}",
            created_at=created,
            state=state,
            epoch=1,
            attempt=1,
            host=host,
            worker=f"{host}:1",
            queued_at=created,
            started_at=created,
            finished_at=created if state in FINISHED else None,
            due_at=created + timedelta(days=900) if state is JobState.SCHEDULED else None,
            error=JobError(type="ValueError", message="no") if state is JobState.FAILED else None,
            reason=f"ValueError: no file {at}" if state is JobState.FAILED else "",
            result=b'{"count": 17}' if state is JobState.DONE else None,
        )


def fill(path: Path, rows: int) -> float:
    """Fill a new file through the writer's own statements; returns seconds."""
    prepare(path, SCHEMA, MIGRATIONS)
    connection = connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    writer, started = JobWriter(), time.perf_counter()
    chunk: list[Job] = []
    for job in jobs(rows, random.Random(7)):
        chunk.append(job)
        if len(chunk) == CHUNK:
            _insert(connection, writer, chunk)
            chunk = []
    _insert(connection, writer, chunk)
    connection.close()
    return time.perf_counter() - started


def _insert(connection: Connection, writer: JobWriter, chunk: list[Job]) -> None:
    with connection:
        writer.insert(connection, chunk)


def queries(rows: int) -> dict[str, JobQuery]:
    """Each filter and order that the API offers, common and rare values, and combinations."""
    middle = START + SPACING * (rows // 2)
    single: dict[str, dict[str, Any]] = {
        "all": {},
        "state=done": {"state": (JobState.DONE,)},
        "state=dead": {"state": (JobState.DEAD,)},
        "state=running": {"state": (JobState.RUNNING,)},
        "state=failed,dead": {"state": (JobState.FAILED, JobState.DEAD)},
        "function": {"function": "alpha/task7"},
        "function rare": {"function": "beta/seldom"},
        "namespace": {"namespace": "gamma"},
        "namespace rare": {"namespace": "rare"},
        "host": {"host": "node7"},
        "host long ago": {"host": "retired"},
        "submitter": {"submitter": "user3"},
        "submitter rare": {"submitter": "seldom"},
        "since": {"since": middle},
        "until": {"until": middle},
        "since+until": {"since": middle, "until": middle + timedelta(hours=1)},
        "text common": {"text": "no file"},
        "text none": {"text": "nowhere to be found"},
        "state+function": {"state": (JobState.FAILED,), "function": "alpha/task7"},
        "state+host+submitter": {"state": (JobState.DONE,), "host": "node7", "submitter": "user3"},
        "function+host long ago": {"function": "alpha/task7", "host": "retired"},
        "state+text": {"state": (JobState.FAILED,), "text": "no file 99"},
        "visible": {"visible_namespaces": ("alpha", "beta"), "visible_to": "user3"},
        "visible+state": {
            "visible_namespaces": ("rare",),
            "visible_to": "seldom",
            "state": (JobState.DONE,),
        },
    }
    return {
        f"{name} {order}": JobQuery(**fields, newest_first=order == "newest")
        for name, fields in single.items()
        for order in ("newest", "oldest")
    }


async def timed(call: Callable[[], Awaitable[Any]], times: int) -> dict[str, float]:
    """p50, p99 and worst of a call, in milliseconds, and the processor time of a mean one: that knows no neighbours."""
    taken = []
    busy = time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - started) * 1000)
    busy = time.process_time() - busy
    taken.sort()
    return {
        "cpu_ms": round(busy / times * 1000, 3),
        "p50_ms": round(statistics.median(taken), 3),
        "p99_ms": round(taken[min(int(len(taken) * 0.99), len(taken) - 1)], 3),
        "max_ms": round(taken[-1], 3),
    }


async def paged(store: EmbeddedStore, query: JobQuery) -> Callable[[], Awaitable[Any]]:
    """Pages one after the other, from the start again at the end: deep pages count as well as first ones."""
    from msgspec.structs import replace

    cursor = ""

    async def call() -> None:
        nonlocal cursor
        cursor = (await store.find_jobs(replace(query, cursor=cursor))).next

    return call


async def transitions(store: EmbeddedStore, count: int, batch: int) -> dict[str, float]:
    """Microseconds a job for insert, claim and finish, in batches, with everything else in the file."""
    clock = SystemClock()
    fresh = [
        Job(
            id=new_id(),
            function="sample/noop",
            version="0" * 64,
            submitter="bench",
            created_at=clock.now(),
            state=JobState.QUEUED,
        )
        for _ in range(count)
    ]
    taken = {}

    async def run(name: str, step: Callable[[list[Job]], Awaitable[Any]]) -> None:
        started = time.perf_counter()
        for at in range(0, count, batch):
            await step(fresh[at : at + batch])
        taken[f"{name}_us"] = round((time.perf_counter() - started) / count * 1e6, 2)

    def moves(event: JobEvent, **fields: Any) -> Callable[[list[Job]], Awaitable[Any]]:
        at = clock.now()
        return lambda part: store.apply(
            [Transition(id=job.id, event=event, at=at, **fields) for job in part]
        )

    await run("insert", store.insert_jobs)
    lease = clock.now() + timedelta(seconds=10)
    await run("claim", moves(JobEvent.CLAIM, host="node1", worker="w", lease_until=lease))
    await run("finish", moves(JobEvent.FINISH, epoch=1, result=b"null"))
    return taken


async def measure(path: Path, rows: int, times: int) -> dict[str, Any]:
    """Every figure, over a filled file."""
    database = Database(path, asyncio.get_running_loop())
    store = EmbeddedStore(database, SystemClock())
    pages = {}
    for name, query in queries(rows).items():
        pages[name] = await timed(await paged(store, query), times)
    some = [job.id for job in (await store.find_jobs(JobQuery(limit=50))).items]
    figures = {
        "count_jobs": await timed(store.count_jobs, times),
        "submitter_record": await timed(lambda: store.submitter_record("user3"), times),
        "get_job": await timed(lambda: store.get_job(some[7]), times),
        "get_jobs 50": await timed(lambda: store.get_jobs(some), times),
        "next_due": await timed(store.next_due, times),
    }
    rates = await transitions(store, 20_000, 100)
    await store.close()
    return {"pages": pages, "figures": figures, "transitions": rates}


def run(rows: int = 1_000_000, *, quick: bool = False) -> dict[str, Any]:
    """Build a file of that many jobs (50,000 when `quick`) in a temporary folder and measure it."""
    rows, times = (50_000, 50) if quick else (rows, 200)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dts.db"
        seconds = fill(path, rows)
        measured = asyncio.run(measure(path, rows, times))
        return {
            "rows": rows,
            "bytes": path.stat().st_size,
            "fill_us": round(seconds / max(rows, 1) * 1e6, 2),
            "worst_page_p99_ms": max(page["p99_ms"] for page in measured["pages"].values()),
            **measured,
        }
