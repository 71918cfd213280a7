"""Idempotency keys of the embedded store, kept in the transaction of what they stand for."""

from collections.abc import Sequence
from typing import Any

from dts_core.model import Job
from dts_core.sqlite import Connection, one_row
from dts_core.stores.fields import key_conflict, micros
from dts_core.stores.jobstore import IdempotencyKey


def accepted(connection: Connection, key: IdempotencyKey) -> list[str] | None:
    """The ids accepted under this key, None when it is new."""
    row: tuple[Any, ...] | None = one_row(
        connection,
        "SELECT digest, jobs FROM idempotency WHERE submitter=? AND key=?",
        (key.submitter, key.key),
    )
    if row is None:
        return None
    if row[0] != key.digest:
        raise key_conflict()
    return str(row[1]).split()


def remember(connection: Connection, key: IdempotencyKey, jobs: Sequence[Job]) -> None:
    """Keep what is accepted under a new key."""
    created = max((micros(job.created_at) for job in jobs), default=0)
    connection.execute(
        "INSERT INTO idempotency(submitter, key, digest, jobs, created) VALUES(?,?,?,?,?)",
        (key.submitter, key.key, key.digest, " ".join(job.id for job in jobs), created),
    )
