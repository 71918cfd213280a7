"""Audits for tests: written by the real writer, tampered with past the store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dts_core.clock import Clock
from dts_core.model import Namespace, Operation
from dts_core.services.access import Caller, Role
from dts_core.services.admin import AdminWriter
from dts_core.services.chains import Chain
from dts_core.services.counters import Counters
from dts_core.services.directory import NAMESPACES
from dts_core.services.events import EventBus
from dts_core.services.operations import Operations
from dts_core.services.verifying import Reading
from dts_core.sqlite import connect
from dts_core.stores.base import Recorded, Store
from dts_core.stores.fields import micros
from dts_core.testing import START
from dts_core.views.operations import Finding
from tests.support.brokers import RecordingBroker

ADMIN = Caller(user="admin", role=Role.ADMIN, request_id="r1", source="192.0.2.7")


def writer(store: Store, clock: Clock) -> AdminWriter:
    """As a process of its own has one: with its own chain."""
    counters = Counters()
    broker: Any = RecordingBroker()
    return AdminWriter(store, clock, EventBus(broker, counters), counters, key=b"k" * 32)


def audit(store: Store, clock: Clock, chain: Chain | None = None) -> Operations:
    """The audit as a process sees it that has written nothing."""
    return Operations(store, clock, chain or Chain(store))


def namespace(name: str, **fields: Any) -> Namespace:
    return Namespace(id=name, created_at=START, updated_at=START, **fields)


async def create(writing: AdminWriter, name: str) -> Namespace:
    """A namespace, with its operation."""
    made = namespace(name)
    await writing.write(ADMIN, NAMESPACES, None, made)
    return made


async def describe(writing: AdminWriter, before: Namespace, description: str) -> Namespace:
    """A change of one, with its operation."""
    after = msgspec.structs.replace(before, description=description)
    await writing.write(ADMIN, NAMESPACES, before, after)
    return msgspec.structs.replace(after, revision=before.revision + 1)


def recorded(operation: Operation, position: int = 0) -> Recorded:
    """As it lies in a store."""
    return Recorded(
        position or operation.position,
        operation.id,
        operation.collection,
        operation.doc_id,
        operation.operator,
        micros(operation.timestamp),
        msgspec.msgpack.encode(operation),
    )


def findings(records: Sequence[Recorded], **known: Any) -> list[Finding]:
    """What a reading of exactly these tells."""
    reading = Reading(**known)
    for record in records:
        reading.read(record)
    return reading.end()


class SqliteTamper:
    """Somebody who writes to the data file past dts."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "dts.db"

    def do(self, sql: str, *values: Any) -> None:
        # By the same library: a second one in the process would let go of the first one's locks.
        connection = connect(self._path)
        connection.execute(sql, values)
        connection.close()

    def set(self, position: int, content: bytes) -> None:
        self.do("UPDATE operations SET doc=? WHERE seq=?", content, position)

    def move(self, position: int, to: int) -> None:
        self.do("UPDATE operations SET seq=? WHERE seq=?", to, position)

    def remove(self, position: int) -> None:
        self.do("DELETE FROM operations WHERE seq=?", position)


class MongoTamper:
    """Somebody who writes to the database past dts."""

    def __init__(self, url: str) -> None:
        self._url = url

    def set(self, position: int, content: bytes) -> None:
        with self._operations() as operations:
            operations.update_one({"seq": position}, {"$set": {"doc": content}})

    def move(self, position: int, to: int) -> None:
        with self._operations() as operations:
            operations.update_one({"seq": position}, {"$set": {"seq": to}})

    def remove(self, position: int) -> None:
        with self._operations() as operations:
            operations.delete_one({"seq": position})

    @contextmanager
    def _operations(self) -> Iterator[Any]:
        from pymongo import MongoClient  # only where a server is asked for: it takes its time

        with MongoClient[dict[str, Any]](self._url) as client:
            yield client.get_default_database()["operations"]
