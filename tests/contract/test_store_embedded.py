"""What only the embedded store has: files of older versions."""

import asyncio
from pathlib import Path

import apsw
import pytest

from dts_core.clock import Clock
from dts_core.schema import MIGRATIONS, SCHEMA, SCHEMA_1
from dts_core.sqlite import all_rows, connect, prepare
from dts_core.states import JobEvent
from dts_core.stores.embedded.ordering import _stretches
from dts_core.stores.sorting import FIELDS
from tests.contract.store_backends import embedded
from tests.support.jobs import make_job, move


def test_a_file_of_schema_1_is_migrated_to_what_a_new_file_has(
    tmp_path: Path, clock: Clock
) -> None:
    """Its jobs are there, and everything that was added since works on it."""
    path, other, job = tmp_path / "dts.db", tmp_path / "other.db", make_job()
    prepare(path, SCHEMA_1, {}, version=1)
    prepare(other, SCHEMA, MIGRATIONS)
    connection = connect(path)
    connection.execute(
        "INSERT INTO jobs(seq, id, state, epoch, function, namespace, submitter, created, changed, doc) "
        "VALUES(1, 'old', 'queued', 0, 'sample/noop', 'sample', 'ann', 0, 1, x'')"
    )
    connection.close()

    async def use() -> None:
        async with embedded(tmp_path, clock) as engine:
            store = engine.store
            [outcome] = await store.apply([move("old", JobEvent.CANCEL)])
            assert outcome.applied
            await store.insert_jobs([job])
            assert await store.hold_role("r", "a", 60)
            assert await store.dead_letters() == []
            assert await store.parts() == []

    asyncio.run(use())
    schemas = []
    for file in (path, other):
        connection = connect(file, readonly=True)
        schemas.append(sorted(all_rows(connection, "SELECT type, name FROM sqlite_master")))
        connection.close()
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("field", ["id", *FIELDS])
def test_an_order_is_read_along_its_index(field: str) -> None:
    """Either way and from behind any place: nothing is sorted, nothing is passed over."""
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    for falling in (False, True):
        for behind in (None, (7, "a")):
            for sql, values in _stretches(field, behind, falling=falling):
                rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ("users", *values, 10))
                [plan] = [row[3] for row in rows]
                index = "PRIMARY KEY" if field == "id" else f"INDEX documents_{field}"
                assert plan.startswith(f"SEARCH documents USING {index} (collection=?"), plan
