"""`dts admin export` and `dts admin apply` against real stacks: out of one store, into a fresh one, again and again."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.clients import SyncAdminClient
from tests.acceptance.test_admin_commands import SECRET, Shell
from tests.support.processes import environment, up
from tests.support.sshkeys import certificate_of, private_key

LOAD = "def main(day: str) -> str:\n    return day\n"
TIMES = ("created_at", "updated_at", "revision", "versions", "owner")
ORDER = ("users", "namespaces", "functions", "vhosts")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A stack that holds some of everything."""
    folder = tmp_path_factory.mktemp("old")
    with up(folder, "--no-worker") as stack:
        with stack.client(with_worker=False) as client:
            _fill(client, folder)
        yield Shell(stack, folder)


@pytest.fixture(scope="module")
def exported(shell: Shell) -> Path:
    """What it exports."""
    shell("export", str(shell.folder / "declared"))
    return shell.folder / "declared"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Shell]:
    """A stack that holds nothing but what comes with it."""
    with up(tmp_path, "--no-worker") as stack:
        stack.client(with_worker=False).close()
        yield Shell(stack, tmp_path)


def _fill(client: SyncAdminClient, folder: Path) -> None:
    client.users.add("anna", role="submitter", secret=SECRET, groups=["night", "ops"])
    client.users.add("bob", role="viewer", secret=SECRET, disabled=True, address="b@example.org")
    client.namespaces.add(
        "etl", description='Nightly\n"loads"', members={"*": "viewer", "anna": "admin"}
    )
    client.functions.add("etl/load.all", "def main() -> None:\n    pass\n", note="first")
    client.functions.update("etl/load.all", revision=1, source=LOAD, note="second")
    key = private_key()
    (folder / "key.pem").write_text(key)
    client.vhosts.add("z-gate", address="192.0.2.1", user="root")
    client.vhosts.add(
        "a-host.example.org", address="192.0.2.2", user="root", jump="z-gate", auth="certificate",
        ssh_pem_cert=key, certificate=certificate_of(key), labels={"rack": "7"},
    )  # fmt: skip


def _secrets(shell: Shell, folder: Path) -> Path:
    """A file with the secrets that the export leaves out."""
    key = (shell.folder / "key.pem").read_text()
    path = folder / "secrets.toml"
    path.write_text(
        f'[users.anna]\nsecret = "{SECRET}"\n[users.bob]\nsecret = "{SECRET}"\n'
        f'[vhosts."a-host.example.org"]\nssh_pem_cert = """\n{key}"""\n'
    )
    path.chmod(0o600)
    return path


def _documents(shell: Shell) -> dict[str, dict[str, Any]]:
    """Everything that is kept, but times, revisions and what they number."""
    found: dict[str, dict[str, Any]] = {}
    with shell.stack.client(with_worker=False) as client:
        for name in ORDER:
            for each in client.collection(name).list(limit=500).items:
                if not each["_id"].startswith("dts/"):
                    plain = {field: value for field, value in each.items() if field not in TIMES}
                    if name == "functions":
                        plain["source"] = client.functions.source(each["_id"]).source
                    found[f"{name} {each['_id']}"] = plain
    return found


def _operations(shell: Shell) -> list[str]:
    with shell.stack.client(with_worker=False) as client:
        return [
            f"{each.op_type} {each.collection} {each.doc_id}"
            for each in reversed(client.operations.list(limit=500).items)
            if each.collection in ORDER
        ]


def test_an_export_has_no_secret_and_is_always_the_same(shell: Shell, exported: Path) -> None:
    """A file each, only its owner's; the same again; what is not ours stays."""
    files = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert {
        "users/anna.toml", "users/bob.toml", "users/admin.toml", "namespaces/etl.toml",
        "functions/etl/load.all.toml", "functions/etl/load.all.py", "vhosts/z-gate.toml",
        "vhosts/a-host.example.org.toml",
    } <= files  # fmt: skip
    assert not any(name.startswith("functions/dts/") for name in files)
    key = (shell.folder / "key.pem").read_text().splitlines()[1]
    for name in files:
        path = exported / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert SECRET not in path.read_text()
        assert key not in path.read_text()
    assert (exported / "functions/etl/load.all.py").read_bytes() == LOAD.encode()
    assert (exported / "users/anna.toml").read_text() == (
        '# secret: kept in the store\nrole = "submitter"\ndisabled = false\naddress = ""\n'
        'groups = ["night", "ops"]\n'
    )
    (exported / "README").write_text("ours")
    (exported / "users" / "notes.txt").write_text("ours")
    stale = exported / "users" / "gone.toml"
    stale.write_text("")
    again = shell.json("export", str(exported))
    assert (again["files_written"], again["left"]) == (0, ["users/gone.toml"])
    assert shell.json("export", str(exported), "--prune")["removed"] == ["users/gone.toml"]
    assert not stale.exists()
    assert (exported / "README").read_text() == (exported / "users/notes.txt").read_text() == "ours"


def test_a_fresh_store_holds_the_same_after_apply(
    shell: Shell, exported: Path, fresh: Shell
) -> None:
    """Everything but times, revisions and histories; in the order of what needs what; a second run changes nothing."""
    secrets = str(_secrets(shell, fresh.folder))
    planned = fresh("apply", "-f", str(exported), "--secrets-file", secrets, "--dry-run", status=1)
    assert "+ users anna" in planned.stdout
    assert "anna" not in "".join(_operations(fresh))
    fresh("apply", "-f", str(exported), "--secrets-file", secrets, typed="n\n", status=130)
    assert "anna" not in "".join(_operations(fresh))
    fresh("apply", "-f", str(exported), "--secrets-file", secrets, typed="y\n")
    assert _documents(fresh) == _documents(shell)
    made = _operations(fresh)
    assert made[-6:] == [
        "create users anna", "create users bob", "create namespaces etl",
        "create functions etl/load.all", "create vhosts z-gate",
        "create vhosts a-host.example.org",
    ]  # fmt: skip
    again = fresh.json("apply", "-f", str(exported), "--secrets-file", secrets, "--prune", "--yes")
    assert (again["plan"], again["held"], again["unchanged"]) == ([], [], len(_documents(shell)))
    assert _operations(fresh) == made
    with fresh.stack.client(with_worker=False) as client:
        assert client.login("anna", SECRET).user == "anna"


def test_a_folder_is_followed_field_by_field(fresh: Shell) -> None:
    """Creates, changes and, with --prune, deletes, in order; what is left out has its default."""
    folder = fresh.folder / "declared"
    fresh("export", str(folder))
    _write(folder, "namespaces/one.toml", 'description = "First"\n')
    _write(folder, "functions/one/f.toml", "")
    _write(folder, "functions/one/f.py", LOAD)
    _write(folder, "vhosts/a.toml", 'address = "h"\nuser = "u"\njump = "b"\n')
    _write(folder, "vhosts/b.toml", 'address = "h"\nuser = "u"\n')
    fresh("apply", "-f", str(folder), "--yes")
    _write(folder, "namespaces/one.toml", "[members]\nann = 'viewer'\n")
    _write(folder, "functions/one/f.py", LOAD + "\n")
    _write(folder, "vhosts/a.toml", 'address = "h"\nuser = "u"\n')
    _write(folder, "vhosts/b.toml", 'address = "H"\nuser = "u"\njump = "a"\n')
    changed = fresh("apply", "-f", str(folder), "--yes").stdout
    assert 'description: "First" -> ""' in changed
    assert changed.count("changed ") == 4
    assert changed.index("changed vhosts a") < changed.index("changed vhosts b")
    # The server writes this address in small letters: that is no difference.
    assert fresh.json("apply", "-f", str(folder), "--yes")["plan"] == []
    for name in (
        "functions/one/f.toml",
        "functions/one/f.py",
        "namespaces/one.toml",
        "vhosts/a.toml",
        "vhosts/b.toml",
    ):
        (folder / name).unlink()
    assert fresh.json("apply", "-f", str(folder), "--yes")["plan"] == []
    (folder / "vhosts").rmdir()
    pruned = fresh("apply", "-f", str(folder), "--yes", "--prune").stdout.splitlines()
    assert pruned[-2:] == ["deleted functions one/f", "deleted namespaces one"]
    (folder / "vhosts").mkdir()
    pruned = fresh("apply", "-f", str(folder), "--yes", "--prune").stdout.splitlines()
    assert pruned[-2:] == ["deleted vhosts b", "deleted vhosts a"]
    (folder / "users" / "admin.toml").unlink()
    own = fresh("apply", "-f", str(folder), "--yes", "--prune", status=1).stdout
    assert "! users admin: this is you" in own


def test_every_mistake_of_a_folder_is_named_at_once(fresh: Shell) -> None:
    """With file, line and field, what shows here and then what the server says; nothing is written."""
    folder = fresh.folder / "declared"
    _write(folder, "users/ann.toml", 'role = "viewer"\nsecret = "x"\nrol = 1\n')
    _write(folder, "users/Bad name.toml", "")
    _write(folder, "users/eve.toml", "role = \n")
    _write(folder, "vhosts/web.toml", 'address = "h"\n')
    _write(folder, "functions/one/f.toml", "")
    _write(folder, "functions/two/g.py", LOAD)
    _write(folder, "functions/h.toml", "")
    _write(folder, "vhost/web.toml", "")
    before = _operations(fresh)
    told = fresh("apply", "-f", str(folder), "--yes", status=1).stderr.splitlines()
    assert [line.split(": ")[0] for line in told[:-1]] == [
        "functions/h.toml", "functions/one/f.toml", "functions/two/g.py", "users/Bad name.toml",
        "users/ann.toml:3", "users/ann.toml:2", "users/eve.toml", "vhost", "vhosts/web.toml",
    ]  # fmt: skip
    assert "did you mean role?" in "".join(told)
    assert told[-1].endswith("nothing was written.")
    for name in ("functions/h.toml", "functions/two/g.py", "users/Bad name.toml", "vhost/web.toml"):
        (folder / name).unlink()
    (folder / "vhost").rmdir()
    _write(folder, "functions/one/f.py", LOAD)
    _write(folder, "users/ann.toml", 'role = "king"\ngroups = ["x y"]\n')
    _write(folder, "users/eve.toml", "")
    _write(folder, "vhosts/web.toml", 'address = "h"\nuser = "u"\njump = "gate"\n')
    told = fresh("apply", "-f", str(folder), "--yes", status=1).stderr.splitlines()
    assert told[:-1] == [
        "functions/one/f.toml: there is no namespace one",
        "vhosts/web.toml:3: jump: there is no virtual host 'gate'",
    ]
    _write(folder, "namespaces/one.toml", 'description = "x"\n')
    _write(folder, "vhosts/gate.toml", 'address = "h"\nuser = "u"\nport = 0\nauth = "key"\n')
    _write(folder, "functions/one/f.py", "def main(:\n")
    told = fresh("apply", "-f", str(folder), "--yes", status=1).stderr.splitlines()
    assert [": ".join(line.split(": ")[:2]) for line in told[:-1]] == [
        "functions/one/f.toml: source", "users/ann.toml:2: groups", "users/ann.toml:1: role",
        "vhosts/gate.toml:3: port",
    ]  # fmt: skip
    assert _operations(fresh) == before
    fresh("apply", status=2)
    fresh("apply", "-f", str(folder), "--json", status=2)
    fresh("apply", "-f", str(folder / "users"), status=1)


def test_secrets_come_from_a_file_that_nobody_else_reads(fresh: Shell) -> None:
    """Without one a new user is disabled and named; with it they are let in; no message tells of its content."""
    folder, secrets = fresh.folder / "declared", fresh.folder / "secrets.toml"
    _write(folder, "users/ann.toml", 'role = "viewer"\n')
    held = fresh("apply", "-f", str(folder), "--yes", status=1).stdout
    assert "! users ann: it is created disabled" in held
    assert fresh.json("users", "get", "ann")["disabled"] is True
    again = fresh("apply", "-f", str(folder), "--yes", "--json", status=1).stdout
    assert json.loads(again)["plan"] == []
    secrets.write_text(f'[users.ann]\nsecret = "{SECRET}"\n')
    with_secrets = ("apply", "-f", str(folder), "--yes", "--secrets-file", str(secrets))
    secrets.chmod(0o644)
    assert "others may read it" in fresh(*with_secrets, status=1).stderr
    secrets.chmod(0o600)
    assert "secret: from the secrets file" in fresh(*with_secrets).stdout
    assert fresh.json(*with_secrets)["plan"] == []
    with fresh.stack.client(with_worker=False) as client:
        assert client.login("ann", SECRET).user == "ann"
    for wrong in (
        f'[users.ann]\nsecrte = "{SECRET}"\n', f'[users.bob]\nsecret = "{SECRET}"\n',
        f'[users.ann]\nsecret = ["{SECRET}"]\n', f"[users.ann]\nsecret = {SECRET}\n",
        f'[user.ann]\nsecret = "{SECRET}"\n',
    ):  # fmt: skip
        secrets.write_text(wrong)
        fresh(*with_secrets, status=1)


def test_a_document_that_was_changed_meanwhile_stops_the_run(fresh: Shell) -> None:
    """Says what was done, leaves the other's change; the same command again finishes."""
    folder = fresh.folder / "declared"
    for name in ("one", "two"):
        _write(folder, f"namespaces/{name}.toml", 'description = "old"\n')
    fresh("apply", "-f", str(folder), "--yes")
    for name in ("one", "two"):
        _write(folder, f"namespaces/{name}.toml", 'description = "new"\n')
    asking = subprocess.Popen(
        [
            *(sys.executable, "-m", "dts_core.cli", "admin", "apply"),
            *("-f", str(folder), "--data", str(fresh.stack.data)),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(fresh.folder),
    )  # fmt: skip
    assert asking.stderr is not None
    while asking.stderr.read(1) != "?":
        assert asking.poll() is None
    fresh("namespaces", "set", "two", "description=theirs")
    told, refused = asking.communicate("y\n", timeout=60)
    assert asking.returncode == 1
    assert "stopped after 1 of 2 steps, at change namespaces two: somebody changed it" in refused
    assert told.splitlines()[-1] == "changed namespaces one"
    assert fresh.json("namespaces", "get", "two")["description"] == "theirs"
    fresh("apply", "-f", str(folder), "--yes")
    assert fresh.json("namespaces", "get", "two")["description"] == "new"


def test_a_link_does_not_lead_the_export_elsewhere(fresh: Shell, tmp_path: Path) -> None:
    """A folder that is a link is refused; a file that is one is replaced, not followed."""
    folder, elsewhere = tmp_path / "declared", tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "users").symlink_to(elsewhere)
    assert "is a link" in fresh("export", str(folder), status=1).stderr
    assert list(elsewhere.iterdir()) == []
    (folder / "users").unlink()
    (folder / "users").mkdir()
    precious = elsewhere / "precious"
    precious.write_text("kept")
    (folder / "users" / "admin.toml").symlink_to(precious)
    fresh("export", str(folder))
    assert precious.read_text() == "kept"
    assert not (folder / "users" / "admin.toml").is_symlink()


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
