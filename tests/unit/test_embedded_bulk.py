"""Statements in numbers: what each of them found is told, whether they were made at once or one by one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_core.errors import StoreError
from dts_core.schema import SCHEMA
from dts_core.sqlite import Connection, connect, prepare
from dts_core.states import JobState
from dts_core.stores.embedded.bulk import MANY, Updates, insert_new, rows_of
from dts_core.stores.embedded.moves import Row
from dts_core.stores.embedded.rows import insertion
from tests.support.jobs import make_job

MOVE = "UPDATE jobs SET changed=? WHERE seq=? AND state=? AND epoch=?"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """An empty store's file, within a transaction."""
    path = tmp_path / "dts.db"
    prepare(path, SCHEMA, {})
    opened = connect(path)
    opened.execute("BEGIN")
    yield opened
    opened.execute("ROLLBACK")
    opened.close()


def _insert(connection: Connection, ids: list[str], first: int = 1) -> list[bool]:
    rows = [
        insertion(make_job(id=job), seq, seq, seq, JobState.QUEUED)
        for seq, job in enumerate(ids, first)
    ]
    return insert_new(connection, rows)


def test_what_is_there_already_is_told_among_what_is_new(connection: Connection) -> None:
    """Nothing of the first try is left when one of them was there."""
    assert _insert(connection, []) == []
    assert _insert(connection, ["a", "b"]) == [True, True]
    assert _insert(connection, ["b"], 10) == [False]
    assert _insert(connection, ["c", "a", "d", "c"], 20) == [True, False, True, False]
    rows = rows_of(connection, ["a", "x", "b", "c", "d", "a"])
    assert {job: row.seq for job, row in rows.items()} == {"a": 1, "b": 2, "c": 20, "d": 22}


def test_many_are_read_as_few_are(connection: Connection) -> None:
    """Whatever ids a worker names, and whatever stands in the row: one step gives what single ones give."""
    odd = ['"', "\\", "a'b", "é\u2028", "a\x00b", "[1]", "", " a", "{}", "1"]
    _insert(connection, [*odd[:-2], "a"])
    connection.execute("UPDATE jobs SET host=?, lease=?, started=NULL", (odd[3] + '"', 1 << 60))
    asked = [*odd, "a", "unknown", "a"]
    one_by_one = {job: row for job in asked for job, row in rows_of(connection, [job]).items()}
    together = rows_of(connection, asked)
    assert len(asked) >= MANY
    assert {job: _values(row) for job, row in together.items()} == {
        job: _values(row) for job, row in one_by_one.items()
    }
    assert set(together) == {*odd[:-2], "a"}


def _values(row: Row) -> list[object]:
    return [getattr(row, name) for name in Row.__slots__]


def test_an_update_that_finds_its_row_changed_spoils_the_whole_write(
    connection: Connection,
) -> None:
    """Of one form or of several; what comes before it is made in order."""
    _insert(connection, ["a", "b"])
    updates = Updates(connection)
    updates.add(MOVE, (5, 1, "queued", 0))
    updates.add(MOVE + " ", (6, 1, "queued", 0))
    updates.add(MOVE + " ", (7, 2, "queued", 0))
    updates.flush()
    updates.flush()
    assert connection.execute("SELECT changed FROM jobs ORDER BY seq").fetchall() == [(6,), (7,)]
    updates.add(MOVE, (8, 1, "queued", 0))
    updates.add(MOVE, (9, 2, "queued", 1))
    with pytest.raises(StoreError, match="only writer"):
        updates.flush()
