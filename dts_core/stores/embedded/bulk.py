"""Many statements of one form at once: each then costs half, for most of a small statement is its way to SQLite."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dts_core.errors import StoreError
from dts_core.sqlite import Connection
from dts_core.stores.embedded.moves import Row
from dts_core.stores.embedded.rows import INSERT

MANY: Final = 8
"""From so many rows on, all of them come in one step: each step gives up the interpreter's lock and waits for it again,
up to 5 ms where the loop's thread is busy."""
_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(list[tuple[Any, ...]])


def rows_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, Row]:
    """What a transition needs of each of these jobs, by id; those that are not there are left out."""
    if len(job_ids) < MANY:
        asked = [(job,) for job in dict.fromkeys(job_ids)]
        return {found[0]: Row(found[1:]) for found in connection.executemany(Row.SELECT, asked)}
    ids = _encoder.encode(list(dict.fromkeys(job_ids))).decode()
    rows: str = connection.execute(Row.SELECT_MANY, (ids,)).get
    return {found[0]: Row(found[1:]) for found in _rows.decode(rows)}


def write_all(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Write many rows by one statement each; False, and none is written, unless each changes exactly its row."""
    before = connection.total_changes()
    connection.execute("SAVEPOINT many")
    connection.executemany(sql, rows)
    is_whole = connection.total_changes() - before == len(rows)
    if not is_whole:
        connection.execute("ROLLBACK TO many")
    connection.execute("RELEASE many")
    return is_whole


def insert_new(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
    """Insert jobs by the parameters of INSERT; whether each was not there yet."""
    if len(rows) > 1 and write_all(connection, INSERT, rows):
        return [True] * len(rows)
    added = []
    for row in rows:
        connection.execute(INSERT, row)
        added.append(connection.changes() > 0)
    return added


class Updates:
    """The guarded updates of a batch, in order; each must change its one row."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = ""
        self._values: list[tuple[Any, ...]] = []

    def add(self, sql: str, values: tuple[Any, ...]) -> None:
        """One more; it may be made only with a later one, or with `flush`.

        Raises:
            StoreError: As `flush`.
        """
        if sql is not self._sql:
            self.flush()
            self._sql = sql
        self._values.append(values)

    def flush(self) -> None:
        """Make those that wait.

        Raises:
            StoreError: One found no row in the state and at the epoch that were read: the whole write must go.
        """
        values, self._values = self._values, []
        if not values:
            return
        before = self._connection.total_changes()
        self._connection.executemany(self._sql, values)
        if self._connection.total_changes() - before != len(values):
            raise StoreError("a job changed under its only writer.")
