"""Loss of power: what was accepted is there afterwards, record and message together."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_core.model import Job
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.sqlite import Connection, Database, all_rows, connect, prepare
from dts_core.states import JobEvent
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.testing import ManualClock
from tests.contract.store_backends import TableBroker
from tests.support.jobs import invitation, make_job, move
from tests.support.powerloss_vfs import PowerLossVFS

SEEDS = range(12)
_numbers = itertools.count()


@pytest.fixture
def disk() -> Iterator[PowerLossVFS]:
    vfs = PowerLossVFS(f"powerloss-{next(_numbers)}")
    yield vfs
    vfs.unregister()


def opened(path: Path, disk: PowerLossVFS) -> tuple[Database, EmbeddedStore, EmbeddedIntake]:
    prepare(path, SCHEMA, MIGRATIONS)
    disk.load(path)
    database = Database(path, asyncio.get_running_loop(), vfs=disk.label)
    store = EmbeddedStore(database, ManualClock())
    return database, store, EmbeddedIntake(database, store, TableBroker())


def found(folder: Path) -> tuple[set[str], set[str]]:
    """Ids of jobs and of messages after the power is back; the file is sound and its figures are right."""
    connection = connect(folder / "dts.db")
    try:
        assert all_rows(connection, "PRAGMA integrity_check") == [("ok",)]
        counted = all_rows(connection, "SELECT submitter, state, count(*) FROM jobs GROUP BY 1, 2")
        kept = all_rows(connection, "SELECT submitter, state, jobs FROM counters WHERE jobs != 0")
        assert sorted(counted) == sorted(kept)
        jobs = {job for (job,) in all_rows(connection, "SELECT id FROM jobs")}
        messages = {
            bytes(body).decode() for (body,) in all_rows(connection, "SELECT message FROM messages")
        }
        return jobs, messages
    finally:
        connection.close()


async def load(store: EmbeddedStore, intake: EmbeddedIntake, accepted: list[str]) -> None:
    """Submit without end, several at once, with the hot writes that nobody syncs in between."""

    async def one() -> None:
        while True:
            jobs: list[Job] = [make_job() for _ in range(3)]
            ids = await intake.accept(jobs, [invitation(job) for job in jobs])
            accepted.extend(ids)
            await store.apply([move(job, JobEvent.CLAIM) for job in jobs])
            await store.apply([move(job, JobEvent.FINISH, epoch=1, result=b"1") for job in jobs])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(one())


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_accepted_job_survives_loss_of_power(
    tmp_path: Path, disk: PowerLossVFS, seed: int
) -> None:
    """Whatever unsynced writes are dropped, torn or reordered: accepted is kept, and no half of a pair."""
    database, store, intake = opened(tmp_path / "dts.db", disk)
    # Half of the runs have checkpoints all the time; they sync too, so the other half has none.
    pages = 16 if seed % 2 else 1_000_000
    await database.write(lambda connection: connection.pragma("wal_autocheckpoint", pages))
    accepted: list[str] = []
    writing = asyncio.create_task(load(store, intake, accepted))
    while len(accepted) < 40 + seed * 7:
        await asyncio.sleep(0)
    answered = set(accepted)
    after = tmp_path / "after"
    after.mkdir()
    disk.cut(after, seed)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await database.close()
    jobs, messages = found(after)
    assert answered <= jobs
    assert jobs == messages


async def test_the_disk_does_lose_what_is_not_synced(tmp_path: Path, disk: PowerLossVFS) -> None:
    """The proof above is worth something: writes that nobody asked to sync are lost on some cuts."""
    database, store, _ = opened(tmp_path / "dts.db", disk)
    jobs = [make_job() for _ in range(20)]
    await database.write(lambda connection: store.writer.insert(connection, jobs))
    lost = 0
    for seed in range(20):
        after = tmp_path / f"after{seed}"
        after.mkdir()
        disk.cut(after, seed)
        there, _ = found(after)
        assert there in (set(), {job.id for job in jobs})
        lost += not there
    await database.close()
    assert lost > 0


async def test_the_log_is_synced_before_a_submission_is_answered(
    tmp_path: Path, disk: PowerLossVFS
) -> None:
    """Between the last write to the log and the answer stands a sync, for every single submission."""
    database, store, intake = opened(tmp_path / "dts.db", disk)
    for at in range(20):
        job = make_job()
        await store.apply([move("nobody", JobEvent.CANCEL)])
        await intake.accept([job], [invitation(job)])
        with disk.lock:
            disk.trace.append(("answer", str(at)))
    await database.close()
    answers = [at for at, (what, _) in enumerate(disk.trace) if what == "answer"]
    assert len(answers) == 20
    for start, end in zip([0, *answers], answers, strict=False):
        steps = [what for what, name in disk.trace[start:end] if name == "dts.db-wal"]
        assert "write" in steps
        assert steps[-1] == "sync"


async def test_a_durable_write_takes_earlier_lazy_ones_along(
    tmp_path: Path, disk: PowerLossVFS
) -> None:
    """The log is a sequence: what a later durable write survives, every earlier write survives."""
    database, store, intake = opened(tmp_path / "dts.db", disk)
    lazy, durable = make_job(), make_job()

    def insert(connection: Connection) -> None:
        store.writer.insert(connection, [lazy])

    await database.write(insert)
    await intake.accept([durable], [invitation(durable)])
    for seed in range(10):
        after = tmp_path / f"after{seed}"
        after.mkdir()
        disk.cut(after, seed)
        assert found(after)[0] == {lazy.id, durable.id}
    await database.close()
