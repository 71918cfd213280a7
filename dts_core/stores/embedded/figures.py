"""The dashboard's figures: changed in the transaction that moves the jobs, so they are exact at any moment."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

from dts_core.model import JobCounts
from dts_core.sqlite import Connection, all_rows
from dts_core.states import JobState
from dts_core.stores.limits import BUCKET_SECONDS, TALLY_SECONDS

Deltas = dict[tuple[str, str, str], int]
"""(submitter, namespace, state) -> jobs more or fewer."""
Tallies = dict[tuple[str, int], tuple[int, int]]
"""(namespace, bucket) -> jobs done and failed."""
_COUNT: Final = """INSERT INTO counters(submitter, state, jobs) VALUES(?,?,?)
ON CONFLICT(submitter, state) DO UPDATE SET jobs=jobs+excluded.jobs"""
_COUNT_WITHIN: Final = """INSERT INTO namespace_counters(namespace, state, jobs) VALUES(?,?,?)
ON CONFLICT(namespace, state) DO UPDATE SET jobs=jobs+excluded.jobs"""
_TALLY: Final = """INSERT INTO tallies(bucket, done, failed) VALUES(?,?,?)
ON CONFLICT(bucket) DO UPDATE SET done=done+excluded.done, failed=failed+excluded.failed"""
_TALLY_WITHIN: Final = """INSERT INTO namespace_tallies(namespace, bucket, done, failed) VALUES(?,?,?,?)
ON CONFLICT(namespace, bucket) DO UPDATE SET done=done+excluded.done, failed=failed+excluded.failed"""
_WITHIN: Final = "namespace IN (SELECT value FROM json_each(?))"


def count(connection: Connection, deltas: Deltas) -> None:
    """Jobs that came, went or changed their state."""
    users: Counter[tuple[str, str]] = Counter()
    namespaces: Counter[tuple[str, str]] = Counter()
    for (submitter, namespace, state), delta in deltas.items():
        users[submitter, state] += delta
        namespaces[namespace, state] += delta
    for sql, counted in ((_COUNT, users), (_COUNT_WITHIN, namespaces)):
        for key, delta in counted.items():
            if delta:
                connection.execute(sql, (*key, delta))


def tally(connection: Connection, tallies: Tallies) -> None:
    """Jobs that ended; what is older than TALLY_SECONDS goes."""
    everywhere: dict[int, tuple[int, int]] = {}
    for (namespace, bucket), (done, failed) in tallies.items():
        connection.execute(_TALLY_WITHIN, (namespace, bucket, done, failed))
        before = everywhere.get(bucket, (0, 0))
        everywhere[bucket] = (before[0] + done, before[1] + failed)
    for bucket, ended in everywhere.items():
        connection.execute(_TALLY, (bucket, *ended))
        old = (bucket - TALLY_SECONDS // BUCKET_SECONDS,)
        connection.execute("DELETE FROM tallies WHERE bucket<?", old)
        connection.execute("DELETE FROM namespace_tallies WHERE bucket<?", old)


def load(connection: Connection, now: int, namespaces: Sequence[str] | None) -> JobCounts:
    """All figures, or those of these namespaces; `now` in microseconds."""
    bucket = now // (BUCKET_SECONDS * 1_000_000)
    minute, hour = bucket - 60 // BUCKET_SECONDS, bucket - 3600 // BUCKET_SECONDS
    if namespaces is None:
        states = all_rows(connection, "SELECT state, sum(jobs) FROM counters GROUP BY state")
        ended = all_rows(
            connection, "SELECT bucket, done, failed FROM tallies WHERE bucket>?", (hour,)
        )
    else:
        within = json.dumps(sorted(namespaces))
        states = all_rows(
            connection,
            f"SELECT state, sum(jobs) FROM namespace_counters WHERE {_WITHIN} GROUP BY state",
            (within,),
        )
        ended = all_rows(
            connection,
            f"SELECT bucket, done, failed FROM namespace_tallies WHERE {_WITHIN} AND bucket>?",
            (within, hour),
        )
    return JobCounts(
        states={state.value: 0 for state in JobState}
        | {str(state): jobs for state, jobs in states},
        done_last_minute=sum(done for at, done, _ in ended if at > minute),
        failed_last_minute=sum(failed for at, _, failed in ended if at > minute),
        done_last_hour=sum(done for _, done, _ in ended),
        failed_last_hour=sum(failed for _, _, failed in ended),
    )
