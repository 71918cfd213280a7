"""What processes of the version before and of the next write into a store, this one reads, and leaves to them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from dts_core.clock import Clock
from dts_core.model import Function, FunctionVersion, JobError, Namespace, Operation, Parameter
from dts_core.services.access import Caller, Role
from dts_core.services.admin import AdminWriter
from dts_core.services.counters import Counters
from dts_core.services.directory import NAMESPACES
from dts_core.services.documents import Collection
from dts_core.services.events import EventBus
from dts_core.services.functions import FUNCTIONS
from dts_core.states import JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.testing import START
from tests.contract.test_store_hosts import alarm, host, sample
from tests.contract.test_store_letters import letter
from tests.contract.test_store_roles import part
from tests.support.brokers import RecordingBroker
from tests.support.jobs import make_job, move
from tests.support.other_version import NEWER, OLDER, RecordEncoder, unseen

ADMIN = Caller(user="admin", role=Role.ADMIN)
CHANGE = Operation(
    id="o1", collection="users", doc_id="a", op_type="update", operator="admin", timestamp=START
)
ERROR = JobError(type="ValueError", message="no", traceback="Traceback: no")
DOCUMENT = dict[str, Any]


@contextmanager
def written_by(version: str) -> Iterator[None]:
    """Within, every packed value of every store is written as that version does."""
    with pytest.MonkeyPatch.context() as patch:
        modules = [name for name in sys.modules if name.startswith("dts_core.stores.")]
        for name in modules:
            if hasattr(sys.modules[name], "_encoder"):
                patch.setattr(sys.modules[name], "_encoder", RecordEncoder(version))
        yield


@pytest.mark.parametrize("version", [OLDER, NEWER])
async def test_everything_that_another_version_wrote_is_read(store: Store, version: str) -> None:
    """Jobs with their errors and attempts, hosts, samples, alarms, parts, dead letters, operations; and jobs go on."""
    failed, tried = make_job(args=b"[1]", retries=1), make_job(kwargs=b'{"a":2}', retries=1)
    with written_by(version):
        await store.insert_jobs([failed, tried])
        await store.apply([move(each, JobEvent.CLAIM) for each in (failed, tried)])
        await store.apply([
            move(failed, JobEvent.FAIL, epoch=1, error=ERROR, finished_at=START),
            move(tried, JobEvent.RETRY, epoch=1, error=ERROR, due_at=START),
        ])  # fmt: skip
        await store.save_hosts([host("a")], [("a", sample(START, 0.5))])
        assert await store.save_alarm(alarm("a1"))
        await store.add_dead([("k1", letter(1))])
        await store.add_operation(CHANGE)
        await store.save_part(part("p1"))

    def seen(value: Any) -> Any:
        return unseen(value) if version == OLDER else value

    ended, waiting = [await store.get_job(each.id) for each in (failed, tried)]
    assert ended is not None
    assert waiting is not None
    assert (ended.state, ended.args, ended.error) == (JobState.FAILED, b"[1]", seen(ERROR))
    assert (waiting.state, waiting.kwargs, waiting.retries) == (
        JobState.RETRYING,
        b'{"a":2}',
        1,
    )
    [attempt] = await store.attempts(tried.id)
    assert (attempt.epoch, attempt.outcome) == (1, "retry")
    assert await store.hosts() == [seen(host("a"))]
    assert await store.samples("a", START) == [seen(sample(START, 0.5))]
    assert await store.alarms() == [seen(alarm("a1"))]
    [kept] = await store.dead_letters()
    assert (kept.reason, kept.message.body) == ("reason 1", letter(1).message.body)
    assert [each for _, each in await store.operations()] == [seen(CHANGE)]
    assert [each.name for each in await store.parts(within_seconds=1e9)] == ["porter"]
    await store.apply([move(tried, JobEvent.DUE)])
    [claimed] = await store.apply([move(tried, JobEvent.CLAIM)])
    assert (claimed.applied, claimed.epoch) == (True, 2)


def writer(store: Store, clock: Clock) -> AdminWriter:
    counters = Counters()
    broker: Any = RecordingBroker()
    return AdminWriter(store, clock, EventBus(broker, counters), counters)


async def keep(store: Store, collection: Collection[Any], document: DOCUMENT) -> None:
    """A document as another version has left it."""
    doc_id = document["id"]
    operation = msgspec.structs.replace(CHANGE, collection=collection.name, doc_id=doc_id)
    await store.write_document(
        collection.name, doc_id, msgspec.msgpack.encode(document), operation, expected_revision=0
    )


async def stored(store: Store, collection: Collection[Any], doc_id: str) -> DOCUMENT:
    found = await store.get_document(collection.name, doc_id)
    assert found is not None
    return msgspec.msgpack.decode(found, type=DOCUMENT)


def as_map(document: Any) -> DOCUMENT:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(document), type=DOCUMENT)


async def test_change_leaves_a_newer_documents_fields_alone(store: Store, clock: Clock) -> None:
    """What this version knows is changed, in maps too; what it does not know stays as it was."""
    members = {"ann": "admin", "bob": "viewer"}
    made = Namespace(id="etl", members=members, created_at=START, updated_at=START)
    await keep(store, NAMESPACES, as_map(made) | {"quota": {"jobs": 7}, "mood": None})
    before = await NAMESPACES.load(store, "etl")
    assert before == made
    after = msgspec.structs.replace(before, description="new", members={"bob": "admin"})
    written = await writer(store, clock).write(ADMIN, NAMESPACES, before, after)
    assert written.revision == 2
    found = await stored(store, NAMESPACES, "etl")
    assert found == as_map(msgspec.structs.replace(after, revision=2)) | {
        "quota": {"jobs": 7},
        "mood": None,
    }
    assert (await NAMESPACES.load(store, "etl")).description == "new"


async def test_change_leaves_what_lies_within_a_list_alone(store: Store, clock: Clock) -> None:
    """A version that is added to a function takes nothing from those that a newer program has described further."""

    def version(number: int) -> FunctionVersion:
        parameters = [Parameter(name="a", kind="positional")]
        return FunctionVersion(
            hash=str(number) * 64, author="ann", created_at=START, parameters=parameters
        )

    made = Function(
        id="etl/load", namespace="etl", name="load", owner="ann", default="1" * 64,
        versions=[version(1), version(2)], created_at=START, updated_at=START,
    )  # fmt: skip
    document = as_map(made)
    document["versions"][1]["reviewed_by"] = "eve"
    document["versions"][1]["parameters"][0]["unit"] = "s"
    await keep(store, FUNCTIONS, document)
    before = await FUNCTIONS.load(store, "etl/load")
    assert before == made
    after = msgspec.structs.replace(before, versions=[version(2), version(3)])
    await writer(store, clock).write(ADMIN, FUNCTIONS, before, after)
    found = await stored(store, FUNCTIONS, "etl/load")
    assert found["versions"] == [document["versions"][1], as_map(version(3))]
    assert found["versions"][0]["parameters"][0]["unit"] == "s"


async def test_document_of_an_older_version_is_completed(store: Store, clock: Clock) -> None:
    """Fields that were added since have their defaults, and are there after the next change."""
    made = Namespace(id="etl", created_at=START, updated_at=START)
    document = {
        name: part
        for name, part in as_map(made).items()
        if name not in ("members", "revision", "description")
    }
    await keep(store, NAMESPACES, document)
    before = await NAMESPACES.load(store, "etl")
    assert before == made
    after = msgspec.structs.replace(before, members={"ann": "admin"})
    await writer(store, clock).write(ADMIN, NAMESPACES, before, after)
    assert await stored(store, NAMESPACES, "etl") == as_map(
        msgspec.structs.replace(after, revision=2)
    )
