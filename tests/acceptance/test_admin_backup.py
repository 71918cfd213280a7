"""`dts admin backup` of a running stack, and `dts admin restore` into a new folder that a stack then goes on with."""

import shutil
import stat
from pathlib import Path

from tests.acceptance.test_commands import Shell
from tests.support.processes import eventually, up

ONCE = """\
import time
from pathlib import Path

def main(marker: str) -> str:
    path = Path(marker)
    if path.exists():
        return "again"
    path.touch()
    time.sleep(600)
    return "first"
"""


def _secrets(path: Path) -> list[bytes]:
    """What a file of keys is known by: all of it, and each long line, but no remark and no frame of a PEM."""
    whole = path.read_bytes()
    lines = [line for line in whole.splitlines() if len(line) >= 32 and line[:1] not in b"#-"]
    return [whole, *lines]


def test_a_stack_goes_on_from_a_backup_as_after_a_crash(tmp_path: Path) -> None:
    """What ran runs again, charged as lost once; what was over stays so; the audit verifies; no key is in it."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    file, marker = tmp_path / "store.backup", tmp_path / "marker"
    with up(old) as stack, stack.client() as client:
        shell = Shell(stack, old)
        client.namespaces.add("test")
        client.functions.add("test/once", ONCE)
        over = client.submit("sample/echo", args=[7])
        assert client.job(over.id, wait=60).state == "done"
        running = client.submit("test/once", args=[str(marker)])
        eventually(marker.exists, what="it runs")
        eventually(lambda: client.job(running.id).state == "running", what="it is known to run")
        told = shell("admin", "backup", str(file)).stdout
        assert "Not in it: vault.key, signing.key, audit.key, admin.json, plugins." in told
        assert "exists already" in shell("admin", "backup", str(file), status=1).stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = file.read_bytes()
        for name in ("vault.key", "signing.key", "audit.key"):
            assert [each for each in _secrets(stack.data / name) if each in content] == []
        in_use = shell("admin", "restore", str(file), status=1).stderr
        assert "holds a store, which is left as it is" in in_use
        client.namespaces.add("later")
        assert stack.stop() == 0
    data = new / "data"
    said = shell("admin", "restore", str(file), at=f"--data {data}").stdout
    assert "put these into the folder: vault.key, signing.key, audit.key, admin.json." in said
    for name in ("vault.key", "signing.key", "audit.key", "admin.json"):
        shutil.copy2(old / "data" / name, data / name)
    with up(new) as stack, stack.client() as client:
        assert client.job(over.id).result == 7
        eventually(lambda: client.job(running.id).state == "done", what="it ran again")
        done = client.job(running.id)
        assert (done.result, done.losses) == ("again", 1)
        assert "later" not in {each["_id"] for each in client.namespaces.list().items}
        assert client.operations.verify().total == 0
        shell = Shell(stack, new)
        assert "as they were written" in shell("admin", "operations", "verify").stdout


def test_wrong_usage_of_a_restore_is_said_in_one_line(tmp_path: Path) -> None:
    """No folder named is status 2; what is no backup, or is not there, is status 1 and leaves no store."""
    with up(tmp_path, "--no-worker") as stack:
        stack.client(with_worker=False).close()
        shell = Shell(stack, tmp_path)
        (tmp_path / "none").write_text("no backup")
        new = tmp_path / "new"
        for name, why in (("none", "is no backup of dts"), ("missing", "cannot be restored")):
            told = shell("admin", "restore", str(tmp_path / name), status=1, at=f"--data {new}")
            assert why in told.stderr
            assert told.stderr.count("\n") == 1
            assert not (new / "dts.db").exists()
        empty = tmp_path / "empty"
        empty.mkdir()
        said = shell("admin", "backup", str(tmp_path / "b"), status=1, at=f"--data {empty}").stderr
        assert "mongodump" in said
        shell("admin", "restore", status=2)
