"""`dts vhost import` against a real `dts up`: files become virtual hosts, and no secret of theirs leaves them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dts_core.cli.entry import dts
from dts_core.errors import DtsError
from tests.support.processes import Up
from tests.support.sshkeys import private_key, public_line

SECRET = "Canary-of-an-import-91c4"
KEY = public_line(private_key())


@pytest.fixture
def up(tmp_path: Path) -> Any:
    server = Up(tmp_path, "--no-worker")
    try:
        server.client(with_worker=False).close()
        yield server
    finally:
        server.end()


def test_hosts_of_files(up: Up, tmp_path: Path) -> None:
    """Planned, written in the order of their ways, the same the second time; refused ones leave the others alone."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "config").write_text(
        "Host inner\n HostName Inner.Example.org\n ProxyJump gate\n IdentityFile ~/.ssh/id\n"
        "Host gate\n User ops\n Port 2222\nHost odd\n ProxyCommand nc %h %p\n"
    )
    (given / "known").write_text(f"[gate]:2222 {KEY}\n")
    (given / "hosts.ini").write_text(
        f"[web]\nweb[1:2] ansible_user=deploy ansible_password={SECRET}\nbad ansible_user='a;b'\n"
    )
    printed = []

    def run(*words: str, typed: str = "") -> Result:
        files = ["--ssh-config", "config", "--known-hosts", "known", "--inventory", "hosts.ini"]
        paths = [str(given / word) if word[0] != "-" else word for word in files]
        command = ["vhost", "import", *paths, "--user", "root", *words, "--data", str(up.data)]
        done = CliRunner().invoke(dts, command, input=typed, standalone_mode=False)
        printed.append(done.output)
        return done

    planned = run("--dry-run", "--json")
    assert planned.return_value == 1
    told = json.loads(planned.stdout)
    assert list(told["create"]) == ["gate", "web1", "web2", "inner"]
    assert set(told["refused"]) == {"odd", "bad"}
    assert told["refused"]["bad"].startswith("user: ")
    with up.client(with_worker=False) as client:
        assert client.vhosts.list().items == []
        part = run("inner", typed="y\n")
        assert "created gate\ncreated inner\n" in part.output, part.output
        assert "without a pinned key" in part.output
        inner = client.vhosts.get("inner")
        assert (inner["address"], inner["jump"], inner["user"]) == (
            "inner.example.org", "gate", "root",
        )  # fmt: skip
        gate = client.vhosts.get("gate")
        assert (gate["port"], gate["user"], gate["known_host_key"]) == (2222, "ops", KEY)
        assert run("inner", "--dry-run").return_value == 0
        assert run("--yes").return_value == 1
        web = client.vhosts.get("web1")
        assert (web["labels"], web["user"], web["has_password"]) == (
            {"group/web": ""}, "deploy", False,
        )  # fmt: skip
        before = client.vhosts.list().items
        again = json.loads(run("--yes", "--json").stdout)
        assert (again["create"], again["change"], again["done"]) == ({}, {}, 0)
        assert again["same"] == ["gate", "inner", "web1", "web2"]
        assert client.vhosts.list().items == before
    (given / "hosts.ini").write_text(f"web1\nweb2 {SECRET}\n")
    wrong = run("--yes")
    assert isinstance(wrong.exception, DtsError)
    assert "hosts.ini, line 2:" in wrong.output
    assert SECRET not in "".join(printed) + str(wrong.exception)
    up.stop()
    assert SECRET not in up.said()
