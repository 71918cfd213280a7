"""What only the MongoDB store has: other processes, other versions, and what a crash leaves between two writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from dts_core.clock import Clock
from dts_core.errors import ConfigError, StoreError, StoreUnavailable
from dts_core.model import JobError, LogQuery, LogRecord, Operation
from dts_core.settings import StoreSettings
from dts_core.states import JobEvent, JobState
from dts_core.stores.jobstore import IdempotencyKey
from dts_core.stores.mongodb import MongoStore, open_store
from dts_core.stores.mongodb.indexes import INDEXES
from dts_core.stores.mongodb.moves import ATTEMPTS_MAX, TRACEBACK_MAX
from dts_core.stores.mongodb.ordering import _stretches
from dts_core.stores.sorting import FIELDS
from dts_core.testing import START, ManualClock
from tests.support.jobs import job_in, make_job, move

KEY = IdempotencyKey("ann", "k", b"digest")
CHANGE = Operation(
    id="o2", collection="users", doc_id="a", op_type="update", operator="admin", timestamp=START
)


@pytest.fixture
def url(empty_database: Callable[[], str]) -> str:
    return empty_database()


@asynccontextmanager
async def opened(url: str, clock: Clock) -> AsyncIterator[MongoStore]:
    store = await open_store(StoreSettings(url=url, deadline_seconds=30), clock)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(url: str, clock: ManualClock) -> AsyncIterator[MongoStore]:
    async with opened(url, clock) as store:
        yield store


@pytest.fixture
async def other(url: str, clock: ManualClock) -> AsyncIterator[MongoStore]:
    """Another process's store on the same database."""
    async with opened(url, clock) as store:
        yield store


@pytest.fixture
def raw(url: str) -> "Iterator[Database[dict[str, object]]]":
    """The database itself, past the store."""
    client: MongoClient[dict[str, object]] = MongoClient(url)
    yield client.get_default_database()
    client.close()


async def test_every_collection_has_its_indexes(
    store: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """What is declared is there after the start, and a second start changes nothing."""
    for collection, wanted in INDEXES.items():
        names = {index.document["name"] for index in wanted}
        assert names <= set(raw[collection].index_information())


async def test_documents_of_a_newer_version_are_read_and_keep_what_is_theirs(
    store: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """One version newer may add fields: they disturb nobody, and a write of ours leaves them alone."""
    job = make_job()
    await store.insert_jobs([job])
    newer = {"$set": {"v": 2, "mood": {"of": "the job"}, "attempts": []}}
    raw["jobs"].update_one({"_id": job.id}, newer)
    kept = await store.get_job(job.id)
    assert kept is not None
    assert kept.state is JobState.QUEUED
    [outcome] = await store.apply([move(job, JobEvent.CLAIM)])
    assert outcome.applied
    found = raw["jobs"].find_one({"_id": job.id})
    assert found is not None
    assert (found["v"], found["mood"]) == (2, {"of": "the job"})


async def test_what_a_former_version_wrote_is_put_in_order_by_the_next_start(
    store: MongoStore, url: str, raw: "Database[dict[str, object]]", clock: ManualClock
) -> None:
    """Made or changed past the orders: it takes its place, what stands right stays, and what is gone stays gone."""
    roles = {"a": "viewer", "b": "admin", "c": "operator"}
    for doc_id, role in roles.items():
        made = msgspec.structs.replace(CHANGE, id=f"o-{doc_id}", doc_id=doc_id)
        document = msgspec.msgpack.encode({"role": role})
        await store.write_document("users", doc_id, document, made, expected_revision=0)
    changed = {"doc": msgspec.msgpack.encode({"role": "zero"}), "revision": 2}
    raw["documents"].update_one({"_id": "users/b"}, {"$set": changed})
    new = {"doc": msgspec.msgpack.encode({"role": "middle"}), "revision": 1, "gone": False}
    raw["documents"].insert_one({"_id": "users/d", "v": 1, "carries": [], **new})
    raw["documents"].insert_one({"_id": "users/e", "v": 1, "carries": [], **new, "gone": True})
    before = raw["documents"].find_one({"_id": "users/a"})
    async with opened(url, clock) as later:
        rows = await later.sorted_documents("users", "role")
        assert [each[:2] for each in rows] == [
            ("middle", "d"), ("operator", "c"), ("viewer", "a"), ("zero", "b"),
        ]  # fmt: skip
        assert await later.place_documents() == 0
    assert raw["documents"].find_one({"_id": "users/a"}) == before


@pytest.mark.parametrize("field", FIELDS)
async def test_an_order_is_read_along_its_index(
    store: MongoStore, raw: "Database[dict[str, object]]", field: str
) -> None:
    """Every query of it is bounded and ordered by the keys of one index, in their order, and names that index."""
    found: Any = raw["documents"].index_information()[f"by_{field}"]["key"]
    assert found == [("of", 1), (f"sorted.{field}", 1), ("_id", 1)]
    raw["documents"].insert_many(
        {"_id": f"users/u{at}", "v": 1, "gone": False, "of": "users", "doc": b"", "revision": 1,
         "sorted": {field: at // 10}}
        for at in range(100)
    )  # fmt: skip
    same, behind = _stretches("users", f"sorted.{field}", (5, "u55"), falling=False)
    for where, most in ((same, 10), (behind, 40)):
        told: Any = raw["documents"].find(where).hint(f"by_{field}").explain()
        assert told["queryPlanner"]["winningPlan"]["inputStage"]["indexName"] == f"by_{field}"
        assert told["executionStats"]["totalDocsExamined"] <= most
    raw["documents"].drop_index(f"by_{field}")
    with pytest.raises(StoreError):
        await store.sorted_documents("users", field)


async def test_a_job_that_is_tried_for_ever_stays_small(store: MongoStore) -> None:
    """Of its attempts the newest are kept, each with the end of its traceback."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    error = JobError(type="E", message="m", traceback="x" * 60_000 + "the end")
    steps = []
    for epoch in range(1, ATTEMPTS_MAX + 4):
        steps += [
            move(job, JobEvent.RETRY, epoch=epoch, error=error, due_at=START),
            move(job, JobEvent.DUE),
            move(job, JobEvent.CLAIM),
        ]
    assert all(outcome.applied for outcome in await store.apply(steps))
    kept = await store.attempts(job.id)
    assert [attempt.epoch for attempt in kept] == list(range(4, ATTEMPTS_MAX + 4))
    for attempt in kept:
        assert attempt.error is not None
        assert len(attempt.error.traceback) == TRACEBACK_MAX
        assert attempt.error.traceback.endswith("the end")


async def test_a_job_is_claimed_once_by_all_processes(store: MongoStore, other: MongoStore) -> None:
    """Claims at the same moment, in bulk, from two processes: each job is granted to exactly one."""
    jobs = [make_job() for _ in range(20)]
    await store.insert_jobs(jobs)
    claims = [
        each.apply([move(job, JobEvent.CLAIM, worker=name) for job in jobs])
        for each, name in ((store, "w1"), (other, "w2"), (store, "w3"))
    ]
    answers = await asyncio.gather(*claims)
    granted = [sum(outcome.applied for outcome in each) for each in zip(*answers, strict=True)]
    assert granted == [1] * len(jobs)
    for name, outcomes in zip(("w1", "w2", "w3"), answers, strict=True):
        held = {job for job, _ in await store.held_by(name)}
        assert held == {outcome.id for outcome in outcomes if outcome.applied}
    assert (await other.count_jobs()).states["running"] == len(jobs)


async def test_a_reader_does_not_pass_what_is_written_later(
    store: MongoStore, other: MongoStore
) -> None:
    """While a process has positions that it has not written under, others' later changes wait for it."""
    first, second = make_job(), make_job()
    await store.insert_jobs([first, second])
    start = await store.position()
    taken = await other._shared.jobs.take(1)
    await store.apply([move(second, JobEvent.CLAIM)])
    assert await store.position() == start
    assert await store.changed_jobs(start) == []
    await other._shared.jobs.settle(taken)
    assert [job.id for job in await store.changed_jobs(start)] == [second.id]


async def test_a_writer_that_is_gone_holds_readers_up_for_a_while_only(
    store: MongoStore, other: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """Positions that stay open too long are passed over; if their writer comes back, it finds out."""
    job = make_job()
    await store.insert_jobs([job])
    start = await store.position()
    taken = await other._shared.jobs.take(1)
    await store.apply([move(job, JobEvent.CLAIM)])
    raw["figures"].update_one({"_id": "jobs"}, {"$set": {"open.0.until": 1}})
    assert [found.id for found in await store.changed_jobs(start)] == [job.id]
    await store.apply([move(job, JobEvent.FINISH, epoch=1)])
    assert not await other._shared.jobs.settle(taken)


async def test_a_late_write_comes_again_where_readers_meet_it(
    store: MongoStore, raw: "Database[dict[str, object]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes and log records whose positions were passed over before they were settled get new ones."""
    job = make_job()
    await store.insert_jobs([job])
    settle = type(store._shared.jobs).settle

    async def stand_still(self: object, *arguments: object) -> bool:
        monkeypatch.undo()
        raw["figures"].update_many({}, {"$set": {"open": []}})
        return await settle(self, *arguments)  # type: ignore[arg-type]

    for write in ("jobs", "logs"):
        monkeypatch.setattr(type(store._shared.jobs), "settle", stand_still)
        if write == "jobs":
            [outcome] = await store.apply([move(job, JobEvent.CLAIM)])
            [found] = await store.changed_jobs(outcome.position)
            assert (found.id, found.state) == (job.id, JobState.RUNNING)
        else:
            kept = await store.add_logs([LogRecord(START, "h", "s", 20, "a")])
            assert kept[0].seq == 2
            assert await store.find_logs(LogQuery()) == kept


async def test_figures_that_a_crash_left_wrong_are_put_right(
    store: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """A difference that two looks agree upon is corrected, for the user and for all; a right figure stays."""
    await store.insert_jobs([make_job(), make_job(submitter="bob")])
    raw["figures"].update_one({"_id": "user:ann"}, {"$inc": {"n.queued": 3}})
    raw["figures"].update_one({"_id": "namespace:sample"}, {"$inc": {"n.queued": 2}})
    raw["figures"].update_one({"_id": "jobs"}, {"$inc": {"n.running": 1, "n.queued": -1}})
    assert await store.recount() == 0
    assert await store.recount() == 7
    assert await store.recount() == 0
    assert (await store.submitter_record("ann")).counts == {"queued": 1}
    states = (await store.count_jobs()).states
    assert (states["queued"], states["running"]) == (2, 0)
    assert await store.count_jobs(["sample"]) == await store.count_jobs()


async def test_jobs_of_an_older_version_are_counted_by_their_namespaces(
    store: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """Before, nothing of them was: without any hint the next look counts them, once."""
    await store.insert_jobs([make_job(), make_job(submitter="bob")])
    raw["figures"].delete_many({"_id": {"$regex": "^namespace"}})
    assert (await store.count_jobs(["sample"])).states["queued"] == 0
    await store.mend_counts()
    assert (await store.count_jobs(["sample"])).states["queued"] == 2
    raw["figures"].delete_one({"_id": "namespace:sample"})
    await store.mend_counts()
    assert (await store.count_jobs(["sample"])).states["queued"] == 0


async def test_what_is_settled_again_is_counted_once(store: MongoStore) -> None:
    """An answer that was lost, and the same settling once more."""
    sequence = store._shared.jobs
    taken = await sequence.take(1)
    assert await sequence.settle(taken, {"n.queued": 1})
    assert not await sequence.settle(taken, {"n.queued": 1})
    assert (await store.count_jobs()).states["queued"] == 1


async def test_a_write_that_was_not_counted_is_counted_later(
    store: MongoStore,
    other: MongoStore,
    raw: "Database[dict[str, object]]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that ends between write and count: nothing below none is shown, and others put it right."""
    jobs = [make_job() for _ in range(3)]
    await other.insert_jobs(jobs)

    async def crash(*args: object) -> bool:
        raise StoreUnavailable("killed before it was counted")

    with monkeypatch.context() as patch:
        patch.setattr(other._shared.jobs, "settle", crash)
        with pytest.raises(StoreUnavailable):
            await other.apply([move(job, JobEvent.CLAIM) for job in jobs])
    await store.apply([move(jobs[0], JobEvent.FINISH, epoch=1)])
    assert (await store.count_jobs()).states["running"] == 0  # counted as -1
    raw["figures"].update_one({"_id": "jobs"}, {"$set": {"open.0.until": 1}})
    await store.mend_counts()
    states = (await store.count_jobs()).states
    assert {state: count for state, count in states.items() if count} == {"running": 2, "done": 1}


async def test_jobs_are_not_counted_again_for_nothing(
    store: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """Without a hint no job is looked at, however far off the figures are; one that was followed is none any more."""
    sequence = store._shared.jobs
    await store.insert_jobs([make_job()])
    sequence.doubt()
    await store.mend_counts()
    raw["figures"].update_one({"_id": "jobs"}, {"$inc": {"n.queued": 7}})
    await store.mend_counts()
    assert (await store.count_jobs()).states["queued"] == 8
    sequence.doubt()
    await store.mend_counts()
    assert (await store.count_jobs()).states["queued"] == 1


async def test_a_submission_that_was_cut_off_is_completed_by_its_repetition(
    store: MongoStore, raw: "Database[dict[str, object]]"
) -> None:
    """A crash after the key and some of the jobs: the same request again makes the rest, under the first ids."""
    jobs = [make_job(state=JobState.PENDING) for _ in range(3)]
    assert await store.accept_jobs(jobs, KEY) is None
    raw["jobs"].delete_many({"_id": {"$in": [jobs[0].id, jobs[2].id]}})
    again = [make_job(state=JobState.PENDING) for _ in range(3)]
    assert await store.accept_jobs(again, KEY) == [job.id for job in jobs]
    kept = await store.get_jobs([job.id for job in [*jobs, *again]])
    assert [job.id for job in kept] == [job.id for job in jobs]


@pytest.mark.parametrize("first_look", ["operations", "content"])
async def test_what_a_document_carries_is_seen_with_it(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, first_look: str
) -> None:
    """A crash right after the write of a document: its operation and its content are there with it."""
    first = Operation(
        id="o1", collection="users", doc_id="a", op_type="create", operator="x", timestamp=START
    )
    await store.write_document("users", "a", b"1", first, expected_revision=0)

    async def crash(name: str) -> bool:
        raise StoreUnavailable(f"killed before {name} was moved")

    monkeypatch.setattr(store, "_settle", crash)
    with pytest.raises(StoreUnavailable):
        await store.write_document(
            "users", "a", b"2", CHANGE, expected_revision=1, revision=2, blobs=[("h", b"content")]
        )
    monkeypatch.undo()
    assert await store.get_document("users", "a") == b"2"
    if first_look == "content":
        assert await store.get_blob("h") == b"content"
    assert [found for _, found in await store.operations()] == [CHANGE, first]
    assert await store.get_blob("h") == b"content"


async def test_a_deletion_that_was_cut_off_is_a_deletion(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone at once, stands in nobody's way, and is on record."""
    made = Operation(
        id="o1", collection="users", doc_id="a", op_type="create", operator="x", timestamp=START
    )
    await store.write_document("users", "a", b"1", made, expected_revision=0)

    async def crash(name: str) -> bool:
        raise StoreUnavailable(f"killed before {name} was moved")

    monkeypatch.setattr(store, "_settle", crash)
    with pytest.raises(StoreUnavailable):
        await store.write_document("users", "a", None, CHANGE, expected_revision=1)
    monkeypatch.undo()
    assert await store.get_document("users", "a") is None
    assert await store.find_documents("users") == []
    again = Operation(
        id="o3", collection="users", doc_id="a", op_type="create", operator="x", timestamp=START
    )
    await store.write_document("users", "a", b"3", again, expected_revision=0)
    assert await store.get_document("users", "a") == b"3"
    assert {found.id for _, found in await store.operations()} == {"o1", "o2", "o3"}


async def test_an_upload_that_a_crash_cut_off_is_swept(
    store: MongoStore, raw: "Database[dict[str, object]]", clock: ManualClock
) -> None:
    """Chunks that no job knows go; those of a job's result stay."""
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    large = b'"' + b"x" * (2 << 20) + b'"'
    await store.apply([move(job, JobEvent.FINISH, epoch=1, result=large)])
    raw["chunks"].update_many({}, {"$set": {"loose": 1}})
    raw["chunks"].insert_one(
        {"_id": "u:0", "upload": "u", "job": "nobody", "loose": 1, "data": b"x"}
    )
    clock.advance(60)
    assert await store.drop_uploads(clock.now()) == 1
    assert await store.drop_uploads(clock.now()) == 0
    kept = await store.get_job(job.id)
    assert kept is not None
    assert kept.result == large


@pytest.mark.parametrize(
    "url",
    ["mongodb://127.0.0.1:1/", "mongodb://u:p@h:99999/d", "mongodb://h/d?nothing=known&w=x y"],
)
async def test_a_url_that_names_no_database_is_refused_without_its_password(
    url: str, clock: ManualClock
) -> None:
    """A wrong setting is told as such, at once."""
    with pytest.raises(ConfigError) as caught:
        await open_store(StoreSettings(url=url), clock)
    assert "store.url" in str(caught.value)
    assert ":p@" not in str(caught.value)
