"""The schema of a data file: made, left alone, migrated after a copy, or refused untouched."""

import hashlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dts_core.errors import SchemaMismatch, StoreUnavailable
from dts_core.schema import MIGRATIONS, SCHEMA, SCHEMA_1
from dts_core.sqlite import SCHEMA_VERSION, Connection, all_rows, connect, prepare
from dts_core.stores.sorting import FIELDS

OLD = "CREATE TABLE t(x); INSERT INTO t VALUES(7);"
NEW = "CREATE TABLE t(x, y);"


def add_column(connection: Connection) -> None:
    connection.execute("ALTER TABLE t ADD COLUMN y; UPDATE t SET y = x * 2;")


def old_file(path: Path, version: int = 1) -> Path:
    prepare(path, OLD, {}, version=version)
    return path


def content(path: Path, sql: str = "SELECT * FROM t") -> tuple[int, list[tuple[object, ...]]]:
    connection = connect(path, readonly=True)
    try:
        return int(connection.pragma("user_version")), all_rows(connection, sql)
    finally:
        connection.close()


def digests(folder: Path) -> dict[str, str]:
    """Every file of a folder but the shared memory, by its content; an empty log is no log."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if not file.name.endswith("-shm") and file.stat().st_size
    }


def test_a_new_file_gets_the_whole_schema(tmp_path: Path) -> None:
    """Version and tables are there, only its owner may read it, and a second time changes nothing."""
    path = tmp_path / "dts.db"
    prepare(path, SCHEMA, MIGRATIONS)
    version, tables = content(path, "SELECT name FROM sqlite_master WHERE type='table'")
    assert version == SCHEMA_VERSION
    assert {"jobs", "messages", "documents", "logs"} <= {name for (name,) in tables}
    assert path.stat().st_mode & 0o777 == 0o600
    before = digests(tmp_path)
    prepare(path, SCHEMA, MIGRATIONS)
    assert digests(tmp_path) == before


def test_every_released_schema_can_be_migrated() -> None:
    """From each version before this one there is a step to the next."""
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def test_jobs_of_an_older_file_are_counted_by_their_namespaces(tmp_path: Path) -> None:
    """The figures of a namespace are right from the first moment after the migration."""
    path = tmp_path / "dts.db"
    prepare(path, SCHEMA_1, {}, version=1)
    connection = connect(path)
    for number, (namespace, state) in enumerate(
        [("etl", "done"), ("etl", "done"), ("etl", "queued"), ("ops", "done")]
    ):
        connection.execute(
            "INSERT INTO jobs(id, state, epoch, function, namespace, submitter, created, changed, doc) "
            "VALUES(?,?,0,'f',?,'ann',0,?,x'')",
            (str(number), state, namespace, number),
        )
    connection.close()
    prepare(path, SCHEMA, MIGRATIONS)
    _, counted = content(
        path, "SELECT namespace, state, jobs FROM namespace_counters ORDER BY 1, 2"
    )
    assert counted == [("etl", "done", 2), ("etl", "queued", 1), ("ops", "done", 1)]


def test_documents_of_an_older_file_stand_in_every_order(tmp_path: Path) -> None:
    """From the first moment after the migration, as if they had been written since; each field has its index."""
    path = tmp_path / "dts.db"
    prepare(path, SCHEMA_1, {}, version=1)
    connection = connect(path)
    documents = {("users", "ann"): {"role": "admin"}, ("users", "ben"): {"disabled": True}}
    documents[("queues", "q")] = {"role": "none"}
    connection.executemany(
        "INSERT INTO documents(collection, id, revision, doc) VALUES(?,?,1,?)",
        [(*names, msgspec.msgpack.encode(each)) for names, each in documents.items()],
    )
    connection.close()
    prepare(path, SCHEMA, MIGRATIONS)
    _, rows = content(path, "SELECT id, sorted FROM documents ORDER BY id")
    assert [name for name, text in rows if text is None] == ["q"]
    told = {name: msgspec.json.decode(str(text)) for name, text in rows if text is not None}
    assert {name: each["role"] for name, each in told.items()} == {
        "ann": "admin",
        "ben": "submitter",
    }
    assert told["ben"]["disabled"] == 1
    _, indexes = content(path, "SELECT name FROM sqlite_master WHERE tbl_name='documents'")
    assert {f"documents_{field}" for field in FIELDS} <= {name for (name,) in indexes}


def test_a_newer_file_is_refused_untouched(tmp_path: Path) -> None:
    """The error names both versions and what to do; not one byte changes."""
    path = old_file(tmp_path / "dts.db", version=9)
    before = digests(tmp_path)
    with pytest.raises(SchemaMismatch) as caught:
        prepare(path, NEW, {}, version=2)
    assert "schema 9" in str(caught.value)
    assert "reads 2" in str(caught.value)
    assert caught.value.advice
    assert digests(tmp_path) == before


def test_a_file_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    """Tables without a version are not ours, a file that is no database neither."""
    path = tmp_path / "other.db"
    connection = connect(path)
    connection.pragma("journal_mode", "delete")
    connection.execute("CREATE TABLE notes(x)")
    connection.close()
    text = tmp_path / "text.db"
    text.write_text("no database at all, " * 100)
    before = digests(tmp_path)
    with pytest.raises(SchemaMismatch):
        prepare(path, NEW, {}, version=2)
    with pytest.raises(StoreUnavailable) as caught:
        prepare(text, NEW, {}, version=2)
    assert "damaged" in str(caught.value)
    assert digests(tmp_path) == before


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    """A start that was cut off right after creating the file is made up for."""
    path = tmp_path / "dts.db"
    path.touch()
    prepare(path, NEW, {}, version=2)
    assert content(path) == (2, [])


def test_an_older_file_is_migrated_after_a_copy(tmp_path: Path) -> None:
    """The new schema, the old data in it, and the whole old file beside it."""
    path = old_file(tmp_path / "dts.db")
    prepare(path, NEW, {1: add_column}, version=2)
    assert content(path) == (2, [(7, 14)])
    copy = tmp_path / "dts.db.schema1.bak"
    assert content(copy) == (1, [(7,)])
    assert copy.stat().st_mode & 0o777 == 0o600


def test_several_versions_are_stepped_through_in_order(tmp_path: Path) -> None:
    """Each step meets the schema that the one before it left."""
    path = old_file(tmp_path / "dts.db")

    def rename(connection: Connection) -> None:
        connection.execute("ALTER TABLE t RENAME COLUMN y TO z")

    prepare(path, NEW, {1: add_column, 2: rename}, version=3)
    assert content(path, "SELECT x, z FROM t") == (3, [(7, 14)])


def test_a_file_too_old_is_refused_untouched(tmp_path: Path) -> None:
    """Where a step is missing nothing is begun, and no copy is left."""
    path = old_file(tmp_path / "dts.db")
    before = digests(tmp_path)
    with pytest.raises(SchemaMismatch):
        prepare(path, NEW, {2: add_column}, version=3)
    assert digests(tmp_path) == before


def test_a_migration_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """All steps are one transaction; the next try begins anew, over a stale copy too."""
    path = old_file(tmp_path / "dts.db")

    def wrong(connection: Connection) -> None:
        connection.execute("UPDATE t SET x = 99")
        connection.execute("SELECT nothing FROM nowhere")

    with pytest.raises(StoreUnavailable):
        prepare(path, NEW, {1: add_column, 2: wrong}, version=3)
    assert content(path) == (1, [(7,)])
    prepare(path, NEW, {1: add_column}, version=2)
    assert content(path) == (2, [(7, 14)])


CRASH = """
import os, sys
from pathlib import Path
from dts_core.sqlite import prepare

def step(connection):
    connection.execute("ALTER TABLE t ADD COLUMN y; UPDATE t SET y = x * 2;")
    connection.cache_flush()
    os.kill(os.getpid(), 9)

prepare(Path(sys.argv[1]), "", {1: step}, version=2)
"""


def test_a_crash_in_the_middle_of_a_migration_leaves_the_old_file(tmp_path: Path) -> None:
    """Killed with half of it already in the log: the old schema and data are found, and can be migrated."""
    path = old_file(tmp_path / "dts.db")
    killed = subprocess.run([sys.executable, "-c", CRASH, str(path)], check=False, timeout=60)
    assert killed.returncode == -9
    assert content(path) == (1, [(7,)])
    prepare(path, NEW, {1: add_column}, version=2)
    assert content(path) == (2, [(7, 14)])
    assert content(tmp_path / "dts.db.schema1.bak") == (1, [(7,)])
