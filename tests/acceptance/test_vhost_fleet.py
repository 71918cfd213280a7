"""`dts vhost init` on many hosts at once, behind a bastion with sshd's limits: batches, a budget, again on the rest."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dts_core.cli.entry import dts
from dts_core.clients import SyncAdminClient
from tests.support.ports import free_port
from tests.support.processes import Up
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshfleet import add_all, ssh_hosts

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
HOSTS = 24
BATCH = 4
POOLS = 2
"""The job's and the gateway's."""


@pytest.fixture(name="up")
def up_fixture(tmp_path: Path) -> Iterator[Up]:
    # The gateway logs in too, as these hosts are in mode agent; what it starts does nothing.
    idle = {"DTS_GATEWAY_WORKER": json.dumps(["sleep", "600"])}
    server = Up(tmp_path, "--no-worker", env=idle)
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(name="bastion")
def bastion_fixture() -> Iterator[SshServer]:
    with ssh_server() as server:
        yield server


def init(up: Up, status: int, *words: str) -> dict[str, Any]:
    """`dts vhost init`, which only looks; its job."""
    return vhost(up, status, "init", *words, "--dry-run")


def vhost(up: Up, status: int, *words: str) -> dict[str, Any]:
    """`dts vhost ...`; its job."""
    command = ["vhost", *words, "--json", "--data", str(up.data)]
    done = CliRunner().invoke(dts, command, standalone_mode=False)
    assert done.return_value == status, done.output + repr(done.exception)
    job: dict[str, Any] = json.loads(done.stdout)
    return job


def counts(client: SyncAdminClient, job: str) -> dict[str, int]:
    return client.ssh.changes(job, 0, limit=1).counts


def test_many_hosts_behind_one_bastion(up: Up, bastion: SshServer) -> None:
    """The first batch fails: the others never start. Mended, the same again goes to exactly those that are not done.

    The bastion sees one login of each pool; neither it nor a host behind it refuses one, or drops any.
    """
    with ssh_hosts(HOSTS) as found, up.client(with_worker=False) as client:
        client.vhosts.add("gate", **bastion.vhost())
        before = bastion.log().count("Connection from")
        names = add_all(client, found, jump="gate", mode="agent")
        port = found[2][0].port
        client.vhosts.update("web-3", port=free_port())
        words = ["--batch", str(BATCH), "--failures", "0", "--at-once", str(BATCH)]
        first = init(up, 1, f"web-[1-{HOSTS}]", *words)
        told = first["result"]
        assert told["unreachable"] == ["web-3"], told["hosts"]
        assert set(names[BATCH:]) <= set(told["never_started"])
        done = len(told.get("ok", []))
        assert counts(client, first["id"]) == {
            **({"ok": done} if done else {}), "unreachable": 1, "never_started": HOSTS - 1 - done,
        }  # fmt: skip
        client.vhosts.update("web-3", port=port)
        wanted = client.ssh.again(first["id"], "not_ok", dry_run=True).hosts
        assert set(wanted) == set(names) - set(told.get("ok", []))
        second = vhost(up, 0, "init", "--again", first["id"], "--yes")
        assert second["kwargs"]["dry_run"]
        assert second["result"]["ok"] == wanted
        whole = init(up, 0, "--label", "role=web")
        assert set(whole["result"]["ok"]) == set(names)
        keys = str(found[0][0].folder / "authorized_keys")
        looked = vhost(up, 0, "rotate", "web-[1-2]", "--dry-run", "--authorized-keys", keys)
        assert [each["rotated"] for each in looked["result"]["hosts"].values()] == [False, False]
        assert bastion.log().count("Connection from") - before == POOLS
        for server in {bastion, *(server for server, _ in found)}:
            assert "Failed" not in server.log()
            assert "drop connection" not in server.log()
