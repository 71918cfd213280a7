"""The tables of the embedded engine's one file, and how older files become newer ones.

Instants are integer microseconds since 1970 UTC. `seq` grows with `created` (a clock stepped back does not take
`created` back), so a page by time is a page by rowid. `counters` and `tallies`, and those of namespaces, change in the
same transaction as the jobs they count: the figures are exact at any moment and cost nothing to load. `blobs` are
sources of functions. A result too large for its job's row is an upload, which jobs.blob refers to. `jobs.owed` is when
a job was queued whose message another broker has not confirmed yet. `letters` are the dead letters of such a broker;
`dead_letters` are those of the embedded one. `documents.sorted` are the values that a document is sorted by
(`stores.sorting`), as JSON.
"""

from collections.abc import Callable
from typing import Final

from dts_core.sqlite import Connection, all_rows
from dts_core.stores.embedded.ordering import sorted_text
from dts_core.stores.sorting import SORTED

_CHUNK: Final = 1000

SCHEMA_1: Final = """
CREATE TABLE messages(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, priority INTEGER NOT NULL, published INTEGER NOT NULL,
  deliveries INTEGER NOT NULL DEFAULT 0, message BLOB NOT NULL);
CREATE INDEX messages_queue ON messages(queue, priority, seq);
CREATE TABLE dead_letters(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, died INTEGER NOT NULL, reason TEXT NOT NULL,
  message BLOB NOT NULL);

CREATE TABLE jobs(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL, function TEXT NOT NULL,
  namespace TEXT NOT NULL, submitter TEXT NOT NULL, host TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '',
  attempt INTEGER NOT NULL DEFAULT 0, losses INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL, queued INTEGER,
  started INTEGER, finished INTEGER, due INTEGER, lease INTEGER, expires INTEGER, changed INTEGER NOT NULL,
  progress REAL NOT NULL DEFAULT 0, progress_text TEXT NOT NULL DEFAULT '', cancelled_by TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '', error BLOB, result_size INTEGER NOT NULL DEFAULT 0,
  blob INTEGER, doc BLOB NOT NULL, result BLOB);
CREATE UNIQUE INDEX jobs_id ON jobs(id);
CREATE INDEX jobs_state ON jobs(state);
CREATE INDEX jobs_function ON jobs(function);
CREATE INDEX jobs_namespace ON jobs(namespace);
CREATE INDEX jobs_host ON jobs(host) WHERE host != '';
CREATE INDEX jobs_submitter ON jobs(submitter);
CREATE INDEX jobs_changed ON jobs(changed);
CREATE INDEX jobs_due ON jobs(due) WHERE due IS NOT NULL;
CREATE INDEX jobs_lease ON jobs(lease) WHERE lease IS NOT NULL;
CREATE INDEX jobs_expires ON jobs(expires)
  WHERE expires IS NOT NULL AND state IN ('scheduled', 'pending', 'queued', 'retrying');
CREATE TABLE counters(submitter TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL,
  PRIMARY KEY(submitter, state)) WITHOUT ROWID;
CREATE TABLE tallies(bucket INTEGER PRIMARY KEY, done INTEGER NOT NULL, failed INTEGER NOT NULL);
CREATE TABLE attempts(
  job TEXT NOT NULL, epoch INTEGER NOT NULL, doc BLOB NOT NULL, PRIMARY KEY(job, epoch)) WITHOUT ROWID;
CREATE TABLE idempotency(
  submitter TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, jobs TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY(submitter, key)) WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency(created);

CREATE TABLE documents(
  collection TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, doc BLOB NOT NULL,
  PRIMARY KEY(collection, id)) WITHOUT ROWID;
CREATE TABLE operations(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, collection TEXT NOT NULL, doc_id TEXT NOT NULL, operator TEXT NOT NULL,
  at INTEGER NOT NULL, doc BLOB NOT NULL);
CREATE INDEX operations_doc ON operations(collection, doc_id);
CREATE TABLE blobs(hash TEXT PRIMARY KEY, created INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE uploads(
  id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, epoch INTEGER NOT NULL, hash TEXT NOT NULL,
  size INTEGER NOT NULL, touched INTEGER NOT NULL, state INTEGER NOT NULL);
CREATE UNIQUE INDEX uploads_claim ON uploads(job, epoch);
CREATE INDEX uploads_open ON uploads(touched, job) WHERE state<2;
CREATE TABLE blob_parts(upload INTEGER NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX blob_parts_at ON blob_parts(upload, offset);

CREATE TABLE hosts(name TEXT PRIMARY KEY, doc BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE samples(host TEXT NOT NULL, grain INTEGER NOT NULL, at INTEGER NOT NULL, sample BLOB NOT NULL,
  PRIMARY KEY(host, grain, at)) WITHOUT ROWID;
CREATE TABLE alarms(
  id TEXT PRIMARY KEY, host TEXT NOT NULL, rule TEXT NOT NULL, opened INTEGER NOT NULL, closed INTEGER,
  doc BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX alarms_opened ON alarms(opened);
CREATE UNIQUE INDEX alarms_open ON alarms(host, rule) WHERE closed IS NULL;

CREATE TABLE logs(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, host TEXT NOT NULL, source TEXT NOT NULL,
  level INTEGER NOT NULL, job TEXT NOT NULL, function TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX logs_job ON logs(job) WHERE job != '';
CREATE INDEX logs_host ON logs(host);
CREATE INDEX logs_loud ON logs(seq) WHERE level>=30;
"""

_ADDED_IN_2: Final = """
ALTER TABLE jobs ADD COLUMN owed INTEGER;
CREATE INDEX jobs_owed ON jobs(owed) WHERE owed IS NOT NULL;
CREATE TABLE letters(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, queue TEXT NOT NULL, doc BLOB NOT NULL);
CREATE TABLE roles(role TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE parts(id TEXT PRIMARY KEY, name TEXT NOT NULL, seen INTEGER NOT NULL, doc BLOB NOT NULL) WITHOUT ROWID;
"""

_ADDED_IN_3: Final = """
ALTER TABLE jobs ADD COLUMN ran TEXT NOT NULL DEFAULT '';
"""

_ADDED_IN_4: Final = """
CREATE TABLE outcomes(
  job TEXT NOT NULL, host TEXT NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, state TEXT NOT NULL,
  doc BLOB NOT NULL, output BLOB);
CREATE UNIQUE INDEX outcomes_host ON outcomes(job, host);
CREATE INDEX outcomes_seq ON outcomes(job, seq, state);
CREATE TABLE namespace_counters(namespace TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL,
  PRIMARY KEY(namespace, state)) WITHOUT ROWID;
CREATE TABLE namespace_tallies(namespace TEXT NOT NULL, bucket INTEGER NOT NULL, done INTEGER NOT NULL,
  failed INTEGER NOT NULL, PRIMARY KEY(namespace, bucket)) WITHOUT ROWID;
CREATE INDEX namespace_tallies_bucket ON namespace_tallies(bucket);
"""

_ADDED_IN_5: Final = "ALTER TABLE documents ADD COLUMN sorted TEXT;\n" + "".join(
    f"CREATE INDEX documents_{field} ON documents(collection, json_extract(sorted, '$.{field}'), id)\n"
    f"  WHERE json_extract(sorted, '$.{field}') IS NOT NULL;\n"
    for field in (
        "address", "auth", "created_at", "disabled", "mode", "owner", "role", "updated_at", "user",
    )
)  # fmt: skip

SCHEMA: Final = SCHEMA_1 + _ADDED_IN_2 + _ADDED_IN_3 + _ADDED_IN_4 + _ADDED_IN_5


def _to_2(connection: Connection) -> None:
    connection.execute(_ADDED_IN_2)


def _to_3(connection: Connection) -> None:
    connection.execute(_ADDED_IN_3)


def _to_4(connection: Connection) -> None:
    """What ended within the last hour is tallied by namespace from now on alone."""
    connection.execute(_ADDED_IN_4)
    connection.execute(
        "INSERT INTO namespace_counters(namespace, state, jobs) "
        "SELECT namespace, state, count(*) FROM jobs GROUP BY namespace, state"
    )


def _to_5(connection: Connection) -> None:
    """The documents that are there take their place in every order."""
    connection.execute(_ADDED_IN_5)
    for collection in SORTED:
        after = ""
        while rows := all_rows(
            connection,
            "SELECT id, doc FROM documents WHERE collection=? AND id>? ORDER BY id LIMIT ?",
            (collection, after, _CHUNK),
        ):
            connection.executemany(
                "UPDATE documents SET sorted=? WHERE collection=? AND id=?",
                [(sorted_text(collection, doc), collection, doc_id) for doc_id, doc in rows],
            )
            after = rows[-1][0]


MIGRATIONS: Final[dict[int, Callable[[Connection], None]]] = {
    1: _to_2,
    2: _to_3,
    3: _to_4,
    4: _to_5,
}
