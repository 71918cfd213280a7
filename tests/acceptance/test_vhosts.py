"""Virtual hosts and the vault by command, against a real `dts up`: what is secret stays in the files that gave it."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
from click.testing import CliRunner, Result

from dts_core.cli.entry import dts
from dts_core.errors import DtsError
from tests.support.canaries import PASSWORD, Canaries, files_under
from tests.support.processes import Up, environment
from tests.support.sshkeys import PASSPHRASE, fingerprint_of, private_key, public_line

KEY_FILE = "vault.key"


@pytest.fixture
def up(tmp_path: Path) -> Any:
    server = Up(tmp_path, "--no-worker")
    try:
        server.client(with_worker=False).close()
        yield server
    finally:
        server.end()


class Commands:
    """`dts admin ...` of this server's administrator; everything that was printed is kept."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.printed: list[tuple[str, bytes]] = []

    def __call__(self, *arguments: str, typed: str = "") -> Result:
        given = ["admin", *arguments, "--data", str(self._data)]
        result = CliRunner().invoke(dts, given, input=typed)
        self.printed.append((" ".join(given), result.output.encode()))
        return result

    def json(self, *arguments: str) -> Any:
        """What it prints with --json."""
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def write(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


def test_hosts_by_command(up: Up, tmp_path: Path) -> None:
    """Added from files and prompts, listed, changed and removed; then the secrets lie in no other file or line."""
    canaries, run = Canaries(), Commands(up.data)
    given = tmp_path / "given"
    given.mkdir()
    host_key = private_key()
    options = [
        "--address", "192.0.2.7", "--user", "deploy", "--label", "role=web", "--label", "rack=7",
        "--key-file", write(given, "key.pem", canaries.closed_key),
        "--passphrase-file", write(given, "passphrase", PASSPHRASE + "\n"),
        "--known-host-file", write(given, "known", f"web-1 {public_line(host_key)}\n"),
    ]  # fmt: skip
    added = run("vhosts", "add", "web-1", *options)
    assert (added.exit_code, added.stdout) == (0, "created web-1, revision 1\n")
    gate = ["--address", "gate.example.org", "--user", "root", "--ask-password"]
    assert run("vhosts", "add", "gate", *gate, typed=f"{PASSWORD}\n").exit_code == 0
    changed = run("vhosts", "set", "web-1", "--jump", "gate", "--port", "2222", "--revision", "1")
    assert changed.stdout == "changed web-1, revision 2\n"
    shown = run.json("vhosts", "show", "web-1")
    assert shown["key_fingerprint"] == fingerprint_of(canaries.closed_key, PASSPHRASE)
    assert shown["known_host_fingerprints"] == [f"ssh-ed25519 {fingerprint_of(host_key)}"]
    assert (shown["jump"], shown["port"], shown["labels"]) == (
        "gate", 2222, {"rack": "7", "role": "web"},
    )  # fmt: skip
    listed = run.json("vhosts", "list")["items"]
    assert [(each["_id"], each["has_password"]) for each in listed] == [
        ("gate", True), ("web-1", False),
    ]  # fmt: skip
    toml = tomli.loads(run("vhosts", "list", "--toml").stdout)["vhosts"]
    assert toml == listed
    assert tomli.loads(run("vhosts", "show", "web-1", "--toml").stdout) == shown
    table = run("vhosts", "list").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["VHOST", "gate", "web-1"]
    refused = run("vhosts", "delete", "gate", "--yes")
    assert isinstance(refused.exception, DtsError)
    assert "web-1" in str(refused.exception)
    assert run("vhosts", "set", "web-1", "--forget", "jump").exit_code == 0
    assert run("vhosts", "delete", "gate", typed="n\n").exit_code == 1
    assert run("vhosts", "delete", "gate", typed="y\n").stdout.endswith(
        "removed gate, revision 1\n"
    )
    stored = files_under(up.folder, besides=("key.pem", "passphrase"))
    assert any(name.endswith("dts.db-wal") for name, _ in stored)
    up.stop()
    stored += files_under(up.folder, besides=("key.pem", "passphrase"))
    assert canaries.found([*stored, *run.printed]) == []


def test_keys_rotate_by_command(up: Up, tmp_path: Path) -> None:
    """The key file is private; a rotation seals what there is, also after the server was killed in between."""
    run = Commands(up.data)
    for name in ("a", "b", "c"):
        given = ["--address", "h", "--user", "u", "--ask-password"]
        assert run("vhosts", "add", name, *given, typed="eight letters\n").exit_code == 0
    [first] = run.json("vault", "status")["keys"]
    assert (first["sealed"], first["is_first"]) == (3, True)
    assert stat.S_IMODE((up.data / KEY_FILE).stat().st_mode) == 0o600
    with up.client(with_worker=False) as client:
        page = client.vault.rotate(limit=1)
        assert (page.added, page.sealed, bool(page.next)) == (True, 1, True)
    up.kill()
    again = Up(tmp_path, "--no-worker")
    try:
        again.client(with_worker=False).close()
        done = run.json("vault", "rotate", "--page", "1")
        assert (done["key"], done["added"], done["sealed"], done["failed"]) == (
            page.key, False, 2, [],
        )  # fmt: skip
        keys = run.json("vault", "status")["keys"]
        assert [(each["id"], each["sealed"]) for each in keys] == [(page.key, 3), (first["id"], 0)]
        assert "not needed any more" in run("vault", "status").stdout
    finally:
        again.end()


def test_a_key_file_is_made_by_command(tmp_path: Path) -> None:
    """0600, no server asked; a further key only opens unless it is to be the first."""
    path = tmp_path / "keys"
    run = CliRunner()
    told = [run.invoke(dts, ["admin", "vault", "new-key", str(path), *more]).stdout for more in
            ([], [], ["--first"])]  # fmt: skip
    keys = [line.split()[0] for line in path.read_text().splitlines() if not line.startswith("#")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"with key {keys[1]}, mode 0600" in told[0]
    assert f"added key {keys[2]}, which only opens" in told[1]
    assert f"added key {keys[0]}, which seals" in told[2]
    material = path.read_text().split()[-1]
    assert not any(material in each for each in told)


def test_a_server_refuses_a_key_file_that_others_read(tmp_path: Path) -> None:
    """In one line that says what to do; nothing is started."""
    key = tmp_path / "keys"
    CliRunner().invoke(dts, ["admin", "vault", "new-key", str(key)])
    key.chmod(0o644)
    config = tmp_path / "server.toml"
    url = f'url = "sqlite://{tmp_path}/data"\n'
    config.write_text(
        f'[broker]\n{url}[store]\n{url}[server]\nport = 0\n[vault]\nkey_file = "{key}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "dts_core", "server", "-c", str(config)],
        capture_output=True, text=True, timeout=120, check=False, env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 1
    [line] = [each for each in done.stderr.splitlines() if each.startswith("dts: ")]
    assert f"chmod 600 {key}" in line
    assert "Traceback" not in done.stderr
