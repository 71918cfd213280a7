"""Results that came in chunks: kept as rows from the first chunk on, proved once, then used by one job.

An upload belongs to one claim: what another claim sends, even of the same content, never mixes with it. It is partial
until its content is proved, then whole, and used from the FINISH that refers to it. What is not used goes with the end
of its claim, and at the latest with `sweep`.
"""

from typing import Final

from dts_core.model import CHUNK_MAX, BlobChunk
from dts_core.sqlite import Connection, all_rows, one_row
from dts_core.stores.chunks import PARTIAL, WHOLE, check_content, claim_over
from dts_core.stores.limits import SWEEP_MAX

USED: Final = 2
_LIVE: Final = ("running", "cancelling")


def keep(connection: Connection, chunk: BlobChunk, at: int) -> tuple[int, int, bool]:
    """Keep a chunk of a live claim's result.

    A chunk that is there already stays as it is; another content of the same claim takes the place of the former one.

    Returns:
        The upload, its bytes from the start without a gap, and whether it is proved already.

    Raises:
        Conflict: The claim is over, or was never granted.
    """
    job = one_row(connection, "SELECT state, epoch FROM jobs WHERE id=?", (chunk.job,))
    if job is None or job[0] not in _LIVE or job[1] != chunk.epoch:
        raise claim_over(chunk)
    found = one_row(
        connection,
        "SELECT id, hash, size, state FROM uploads WHERE job=? AND epoch=?",
        (chunk.job, chunk.epoch),
    )
    if found is not None and found[1:3] != (chunk.hash, chunk.total):
        drop(connection, found[0])
        found = None
    if found is None:
        connection.execute(
            "INSERT INTO uploads(job, epoch, hash, size, touched, state) VALUES(?,?,?,?,?,?)",
            (chunk.job, chunk.epoch, chunk.hash, chunk.total, at, PARTIAL),
        )
        upload = connection.last_insert_rowid()
    else:
        upload = found[0]
        if found[3] != PARTIAL:
            return upload, chunk.total, True
        connection.execute("UPDATE uploads SET touched=? WHERE id=?", (at, upload))
    connection.execute(
        "INSERT INTO blob_parts(upload, offset, data) VALUES(?,?,?) ON CONFLICT DO NOTHING",
        (upload, chunk.offset, chunk.data),
    )
    return upload, _received(connection, upload, chunk.total), False


def _received(connection: Connection, upload: int, total: int) -> int:
    """Bytes from the start without a gap."""
    received = 0
    rows = connection.execute(
        "SELECT offset FROM blob_parts WHERE upload=? ORDER BY offset", (upload,)
    )
    for (offset,) in rows:
        if offset != received:
            break
        received += CHUNK_MAX
    return min(received, total)


def content(connection: Connection, upload: int) -> bytes:
    """All of it, as far as it is there."""
    rows = connection.execute(
        "SELECT data FROM blob_parts WHERE upload=? ORDER BY offset", (upload,)
    )
    return b"".join(data for (data,) in rows)


def proved(connection: Connection, upload: int, chunk: BlobChunk) -> bytes:
    """The content, when it is what its hash says.

    Raises:
        CodecError: It is not.
    """
    data = content(connection, upload)
    check_content(data, chunk)
    return data


def mark_whole(connection: Connection, upload: int) -> None:
    """Let a FINISH refer to it."""
    connection.execute(
        "UPDATE uploads SET state=? WHERE id=? AND state=?", (WHOLE, upload, PARTIAL)
    )


def use(connection: Connection, job: str, epoch: int, digest: str) -> tuple[int, int] | None:
    """(upload, size) of a claim's whole result, which is a job's own from now on; None when there is none."""
    found: tuple[int, int] | None = one_row(
        connection,
        "SELECT id, size FROM uploads WHERE job=? AND epoch=? AND hash=? AND state=?",
        (job, epoch, digest, WHOLE),
    )
    if found is not None:
        connection.execute("UPDATE uploads SET state=? WHERE id=?", (USED, found[0]))
    return found


def open_jobs(connection: Connection) -> set[str]:
    """Jobs with an upload that is not used."""
    rows = all_rows(connection, "SELECT job FROM uploads INDEXED BY uploads_open WHERE state<2")
    return {job for (job,) in rows}


def drop(connection: Connection, upload: int) -> None:
    """Remove one."""
    connection.execute("DELETE FROM blob_parts WHERE upload=?", (upload,))
    connection.execute("DELETE FROM uploads WHERE id=?", (upload,))


def drop_unused(connection: Connection, job: str) -> None:
    """Remove what a job's claims sent and nobody uses."""
    for (upload,) in all_rows(connection, "SELECT id FROM uploads WHERE job=? AND state<2", (job,)):
        drop(connection, upload)


def sweep(connection: Connection, before: int) -> int:
    """Remove up to SWEEP_MAX unused uploads of which nothing came since; how many.

    A whole one stays as long as its claim lives: its result is on the way.
    """
    rows = all_rows(
        connection,
        "SELECT uploads.id FROM uploads INDEXED BY uploads_open LEFT JOIN jobs ON jobs.id=uploads.job "
        "WHERE uploads.state<2 AND uploads.touched<? AND NOT (uploads.state=1 AND jobs.epoch IS uploads.epoch "
        "AND coalesce(jobs.state, '') IN ('running', 'cancelling')) LIMIT ?",
        (before, SWEEP_MAX),
    )
    for (upload,) in rows:
        drop(connection, upload)
    return len(rows)
